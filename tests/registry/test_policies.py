"""Policies: which one is in force, what an edit does to what is open, who may write which."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, User, UserKind
from accounts.permissions import BeyondToken, RoleMissing
from accounts.queries import session_actor, system_actor
from accounts.roles import Role, Scope
from accounts.services import people
from core.errors import Invalid
from registry import errors, queries
from registry.lifecycle import State
from registry.models import Delivery, Model, Policy, PolicyRevision, Promotion, Webhook
from registry.outlook import outlook
from registry.policy import Scope as Of
from registry.review import review
from registry.ruling import ruling, rulings
from registry.services import aliases, catalog, following, policies, promotions
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def churn(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    make.version(requester)


@pytest.fixture
def asked(churn: None, requester: Actor) -> Promotion:
    return promotions.request(requester, "churn", 1, "Production")


def team(name: str, *members: str) -> None:
    people.set_team(system_actor(make.workspace()), name=name, usernames=list(members))


def approve(actor: Actor, promotion: Promotion) -> Promotion:
    return promotions.approve(actor, promotion.pk, evidence=make.evidence(promotion))


def missing(promotion: Promotion) -> tuple[str, ...]:
    return outlook(Promotion.objects.select_related("model", "version__manifest").get(pk=promotion.pk)).missing


# --- Which one is in force --------------------------------------------------------------------------------------------


def test_the_most_specific_policy_is_in_force_and_says_why(maintainer: Actor) -> None:
    model = make.model(maintainer, "Risk-Retail")
    order = [
        (None, "shipped default, reviewed", ""),
        (Of(), "all models", "it is written for all models of the workspace; no other policy for Production fits"),
        (Of(pattern="*"), "models *", "which is more specific than all models"),
        (Of(pattern="R*"), "models r*", "its pattern r* fits the name Risk-Retail"),
        (Of(pattern="risk-*"), "models risk-*", "more specific than models r* and models * and all models"),
        (Of(pattern="risk-retai?"), "models risk-retai?", "more specific than models risk-*"),
        (Of(model="Risk-Retail"), "model Risk-Retail", "it is written for the model Risk-Retail"),
    ]
    for scope, name, why in order:
        if scope:
            policies.write(maintainer, scope, "production", {"approvals": 2})
        found = ruling(model, "Production").terms
        assert name in found.name
        assert why in found.why
    policies.write(maintainer, Of(pattern="sales-*"), "Production", {"approvals": 9})
    assert ruling(model, "Production").terms.approvals == 2


def test_of_two_patterns_as_specific_the_first_by_the_alphabet_is_in_force(maintainer: Actor) -> None:
    model = make.model(maintainer)
    policies.write(maintainer, Of(pattern="*urn"), "Production", {"approvals": 3})
    policies.write(maintainer, Of(pattern="chu*"), "Production", {"approvals": 2})
    found = ruling(model, "Production").terms
    assert found.approvals == 3
    assert "as specific as models chu* and comes first by the alphabet" in found.why


def test_a_pattern_in_other_letters_is_the_same_policy(maintainer: Actor) -> None:
    first = policies.write(maintainer, Of(pattern="Churn*"), "Production", {"approvals": 2})
    again = policies.write(maintainer, Of(pattern="cHURN*"), "Production", {"approvals": 3})
    assert (again.pk, again.revision, again.pattern) == (first.pk, 2, "churn*")


def test_what_is_in_force_for_every_target_costs_one_query(maintainer: Actor, django_assert_num_queries: Any) -> None:
    model = make.model(maintainer)
    for n in range(5):
        policies.write(maintainer, Of(pattern="c*"), f"@alias-{n}", {})
    with django_assert_num_queries(1):
        found = rulings(model)
    assert list(found)[:4] == ["None", "Staging", "Production", "Archived"]
    assert len(found) == 9


def test_the_same_again_is_no_revision_and_each_edit_is_one(maintainer: Actor) -> None:
    policies.write(maintainer, Of(), "Production", {"approvals": 2}, comment="two pairs of eyes")
    same = policies.write(maintainer, Of(), "Production", {"approvals": 2, "teams": []})
    assert same.revision == 1
    policies.write(maintainer, Of(), "Production", {"approvals": 1}, expected=1)
    with pytest.raises(errors.Stale):
        policies.write(maintainer, Of(), "Production", {"approvals": 0}, expected=1)
    with pytest.raises(errors.Stale):
        policies.write(maintainer, Of(), "Production", {"approvals": 0}, expected=0)
    with pytest.raises(errors.Stale):
        policies.retire(maintainer, Of(), "Production", expected=1)
    policies.retire(maintainer, Of(), "Production", expected=2)
    with pytest.raises(errors.PolicyNotFound, match="no policy for Production of all models"):
        policies.retire(maintainer, Of(), "Production")
    told = PolicyRevision.objects.order_by("number").values_list("number", "comment", "rules__approvals")
    assert list(told) == [(1, "two pairs of eyes", 2), (2, "", 1), (3, "", None)]
    assert policies.write(maintainer, Of(), "Production", {}, expected=0).revision == 1


def test_a_change_is_an_audit_entry_and_is_owed_to_webhooks(churn: None, maintainer: Actor) -> None:
    for model in (None, Model.objects.get()):
        Webhook.objects.create(workspace=make.workspace(), model=model, url="https://example.org/")
    following.follow()
    policies.write(maintainer, Of(), "Production", {"approvals": 2})
    policies.write(maintainer, Of(model="churn"), "Production", {"approvals": 2})
    following.follow()
    entries = AuditEntry.objects.filter(verb="policy.changed").order_by("id")
    assert [entry.data["scope"] for entry in entries] == ["all models", "model churn"]
    assert [Delivery.objects.filter(entry=entry).count() for entry in entries] == [1, 2]


# --- Who may ----------------------------------------------------------------------------------------------------------


def test_a_maintainer_of_one_model_writes_its_policy_and_no_other(churn: None, requester: Actor) -> None:
    model = make.model(requester, "sales")
    operator = system_actor(make.workspace())
    user = people.create_user(operator, username="owner", password=make.PASSWORD)
    people.give(operator, Role.MAINTAINER, user=user, model_id=model.pk)
    owner = session_actor(user, make.workspace())
    assert policies.write(owner, Of(model="sales"), "Production", {"approvals": 2}).revision == 1
    for scope in (Of(), Of(pattern="sales"), Of(pattern="s*")):
        with pytest.raises(RoleMissing):
            policies.write(owner, scope, "Production", {"approvals": 0})
    with pytest.raises(errors.ModelNotFound):
        policies.write(owner, Of(model="churn"), "Production", {"approvals": 0})


def test_a_token_for_some_models_writes_their_policies_only(churn: None, maintainer: Actor) -> None:
    bound = make.by_token(maintainer, Scope.ADMIN, model_glob="churn*")
    assert policies.write(bound, Of(model="churn"), "Production", {}).revision == 1
    with pytest.raises(BeyondToken):
        policies.write(bound, Of(pattern="churn*"), "Production", {})


def test_one_sees_the_policies_that_are_for_models_one_sees(churn: None, requester: Actor, maintainer: Actor) -> None:
    make.model(requester, "secret_plan")
    for scope in (Of(), Of(pattern="c?urn*"), Of(pattern="secret_*"), Of(model="churn"), Of(model="secret_plan")):
        policies.write(maintainer, scope, "Production", {})
    operator = system_actor(make.workspace())
    user = people.create_user(operator, username="guest", password=make.PASSWORD)
    people.give(operator, Role.VIEWER, user=user, model_id=Model.objects.get(name="churn").pk)

    def seen(actor: Actor) -> list[str]:
        return sorted(str(policy.scope) for policy in queries.policies(actor))

    assert seen(session_actor(user, make.workspace())) == ["all models", "model churn", "models c?urn*"]
    assert seen(make.by_token(maintainer, model_glob="secret*")) == [
        "all models", "model secret_plan", "models secret_*"
    ]  # fmt: skip
    assert len(seen(requester)) == 5
    assert seen(make.actor("nobody")) == seen(make.actor("outsider", *Role, slug="elsewhere")) == []


def test_another_workspace_has_policies_of_its_own(churn: None, requester: Actor, outsider: Actor) -> None:
    policies.write(outsider, Of(), "Staging", {"approvals": 5})
    assert promotions.request(requester, "churn", 1, "Staging").state == State.PROMOTED
    with pytest.raises(errors.ModelNotFound):
        policies.write(outsider, Of(model="churn"), "Staging", {})
    owner = make.actor("owner", Role.MAINTAINER)
    people.set_team(outsider, name="theirs", usernames=[])
    with pytest.raises(errors.NoSuchTeam, match="no team of this workspace"):
        policies.write(owner, Of(), "Staging", {"teams": ["theirs"]})


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"approvals": -1}, "approvals"),
        ({"approvals": True}, "approvals"),
        ({"aprovals": 2}, "aprovals"),
        ({"teams": "risk"}, "teams"),
        ({"teams": ["ok", "not ok"]}, "teams[1]"),
        ({"teams": ["nobody-made-it"]}, "teams[0]"),
        ({"teams": ["risk"], "excluded_teams": ["risk"]}, "excluded_teams"),
        ({"gates": [{"gate": "nonsense"}]}, "gates[0].gate"),
        ({"gates": [{"gate": "metric_threshold", "metric": "auc"}]}, "gates[0]"),
        ({"gates": [{"gate": "metric_threshold", "metric": "auc", "at_least": float("nan")}]}, "gates[0].at_least"),
        ({"gates": [{"gate": "metric_threshold", "metric": "auc", "at_least": 10**400}]}, "gates[0].at_least"),
        ({"gates": [{"gate": "metric_threshold", "metric": "a\0", "at_least": 1}]}, "gates[0].metric"),
        ({"exclusive": None}, "exclusive"),
        ({"lifetime_days": 0}, "lifetime_days"),
        ({"approval_days": 1.5}, "approval_days"),
    ],
)  # fmt: skip
def test_rules_that_will_not_do_are_refused_with_the_field(maintainer: Actor, rules: Any, field: str) -> None:
    team("risk")
    with pytest.raises(Invalid) as refused:
        policies.write(maintainer, Of(), "Production", rules)
    assert refused.value.at_field == field
    assert not Policy.objects.exists()


@pytest.mark.parametrize(
    ("scope", "target"),
    [(Of(pattern="a/b"), "Production"), (Of(pattern="[ab]*"), "Production"), (Of(), "@latest"), (Of(), "Prod")],
)
def test_scopes_and_targets_that_will_not_do_are_refused(maintainer: Actor, scope: Of, target: str) -> None:
    with pytest.raises((errors.BadScope, errors.BadTarget)):
        policies.write(maintainer, scope, target, {})


def test_what_a_policy_leaves_out_of_exclusiveness_is_as_shipped_for_its_target(maintainer: Actor) -> None:
    told = {
        target: policies.write(maintainer, Of(), target, {}).rules["exclusive"]
        for target in ("None", "Staging", "Production", "Archived", "@champion")
    }
    assert told == {"None": False, "Staging": False, "Production": True, "Archived": False, "@champion": True}
    assert policies.write(maintainer, Of(), "Staging", {"exclusive": True}).rules["exclusive"]
    with pytest.raises(errors.BadRules, match="exclusive is true for Archived"):
        policies.write(maintainer, Of(), "Archived", {"exclusive": True})


# --- Edits and what is open -------------------------------------------------------------------------------------------


def test_a_tightened_policy_reopens_and_says_what_it_asks(
    asked: Promotion, maintainer: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    policies.write(maintainer, Of(), "Production", {"approvals": 2})
    approve(reviewer, asked)
    policies.write(maintainer, Of(pattern="churn"), "Production", {"approvals": 2, "bypass": False})
    event = AuditEntry.objects.filter(verb="promotion.reopened").latest("id")
    assert event.data["reason"] == "the policy asks for no bypass"
    assert missing(asked) == ("2 more approvals by a reviewer who had no part in it",)
    [vouched] = review(maintainer, asked.pk).approvals
    assert "the policy was Production of all models, revision 1 then" in vouched.stale
    assert "Production of models churn, revision 1 now (which asks for no bypass)" in vouched.stale
    approve(reviewer, asked)
    assert approve(second_reviewer, asked).state == State.PROMOTED


def test_a_loosened_policy_keeps_what_is_open_under_the_old_one(
    asked: Promotion, maintainer: Actor, reviewer: Actor
) -> None:
    policies.write(maintainer, Of(), "Production", {"approvals": 2})
    approve(reviewer, asked)
    policies.write(maintainer, Of(), "Production", {"approvals": 0})
    assert missing(asked) == ("1 more approval by a reviewer who had no part in it",)
    policies.write(maintainer, Of(model="churn"), "Production", {"approvals": 1})
    assert AuditEntry.objects.filter(verb="promotion.reopened").count() == 1  # when it asked for two


def test_retiring_the_looser_one_reopens(churn: None, requester: Actor, maintainer: Actor) -> None:
    policies.write(maintainer, Of(), "Production", {"approvals": 3})
    policies.write(maintainer, Of(model="churn"), "Production", {"approvals": 1})
    asked = promotions.request(requester, "churn", 1, "Production")
    assert "1 more" in missing(asked)[0]
    policies.retire(maintainer, Of(model="churn"), "Production")
    assert "3 more" in missing(asked)[0]


def test_an_approval_that_meets_a_tightened_policy_is_refused_and_the_page_shows_the_new_one(
    asked: Promotion, maintainer: Actor, reviewer: Actor, second_reviewer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the edit was cut short after its own transaction."""
    seen = make.evidence(asked)
    monkeypatch.setattr(policies, "hold_open_promotions", lambda *args: [])
    policies.write(maintainer, Of(), "Production", {"approvals": 2})
    assert make.evidence(asked) == seen
    with pytest.raises(errors.EvidenceChanged):
        promotions.approve(reviewer, asked.pk, evidence=seen)
    assert make.evidence(asked) != seen
    assert approve(reviewer, asked).state == State.OPEN
    assert approve(second_reviewer, asked).state == State.PROMOTED


def test_the_sweep_finds_what_an_edit_that_was_cut_short_has_left(
    asked: Promotion, maintainer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = timezone.now()
    with monkeypatch.context() as cut_short:
        cut_short.setattr(policies, "hold_open_promotions", lambda *args: [])
        policies.write(maintainer, Of(), "Production", {"approvals": 2})
    assert policies.hold_after_edits(before) == 1
    assert policies.hold_after_edits(before) == 0
    assert "2 more" in missing(asked)[0]


# --- Teams ------------------------------------------------------------------------------------------------------------


def test_each_named_team_gives_one_and_one_person_fills_two(
    churn: None, requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor
) -> None:
    team("risk", "reviewer")
    team("legal", "reviewer", "second-reviewer")
    policies.write(maintainer, Of(), "Production", {"approvals": 1, "teams": ["risk", "legal"]})
    first = promotions.request(requester, "churn", 1, "Production")
    assert approve(second_reviewer, first).state == State.OPEN
    assert missing(first) == ("an approval by a member of the team risk",)
    assert approve(reviewer, first).state == State.PROMOTED
    assert approve(reviewer, promotions.request(requester, "churn", 2, "Production")).state == State.PROMOTED


def test_who_leaves_the_team_does_not_count_for_it_any_more(
    churn: None, requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor
) -> None:
    team("risk", "reviewer")
    policies.write(maintainer, Of(), "Production", {"approvals": 2, "teams": ["risk"]})
    asked = promotions.request(requester, "churn", 1, "Production")
    approve(reviewer, asked)
    team("risk")
    assert approve(second_reviewer, asked).state == State.OPEN
    assert missing(asked) == ("an approval by a member of the team risk",)


def test_a_person_is_one_under_two_accounts_and_left_out_under_both(
    churn: None, requester: Actor, reviewer: Actor, second_reviewer: Actor, maintainer: Actor, administrator: Actor
) -> None:
    robot = people.create_user(
        administrator, username="robot", kind=UserKind.SERVICE, responsible=User.objects.get(pk=reviewer.user_id)
    )
    people.give(administrator, Role.REVIEWER, user=robot)
    by_robot = session_actor(robot, make.workspace())
    team("authors", "second-reviewer")
    policies.write(maintainer, Of(), "Production", {"approvals": 2, "excluded_teams": ["authors"]})
    asked = promotions.request(requester, "churn", 1, "Production")
    approve(reviewer, asked)
    assert approve(by_robot, asked).state == State.OPEN
    assert "1 more approval" in missing(asked)[0]
    with pytest.raises(errors.SelfApproval, match="leaves out the team authors"):
        approve(second_reviewer, asked)
    # The person joins the team that is left out: the account that answers to him does not count either.
    team("authors", "reviewer")
    assert "2 more approvals" in missing(asked)[0]
    with pytest.raises(errors.SelfApproval, match="leaves out the team authors"):
        approve(by_robot, asked)


# --- Protected aliases ------------------------------------------------------------------------------------------------


def test_a_protected_alias_moves_by_promotion_and_stays_put(
    churn: None, requester: Actor, reviewer: Actor, maintainer: Actor, administrator: Actor
) -> None:
    policies.write(maintainer, Of(), "@champion", {"approvals": 1})
    aliases.set_alias(requester, "churn", "free", 1)
    with pytest.raises(errors.ReviewNeeded, match=r"1 more approval .* See promotion"):
        aliases.set_alias(requester, "churn", "champion", 1)
    asked = Promotion.objects.get()
    assert (asked.target, asked.stage, asked.alias) == ("@champion", None, "champion")
    assert approve(reviewer, asked).state == State.PROMOTED
    assert queries.version_at_alias(requester, "churn", "champion").number == 1
    with pytest.raises(errors.AliasProtected):
        aliases.remove_alias(requester, "churn", "champion")
    with pytest.raises(errors.AliasInUse):
        catalog.delete_version(maintainer, "churn", 1)
    assert aliases.set_alias(administrator, "churn", "champion", 2).version.number == 2
    bypass = Promotion.objects.latest("requested_at")
    assert (bypass.bypass, bypass.to_review, bypass.reviewed_at) == (True, True, None)
    catalog.delete_version(maintainer, "churn", 1)


def test_a_policy_without_bypass_holds_administrators_too(churn: None, maintainer: Actor, administrator: Actor) -> None:
    policies.write(maintainer, Of(), "@champion", {"approvals": 1, "bypass": False})
    with pytest.raises(errors.ReviewNeeded):
        aliases.set_alias(administrator, "churn", "champion", 1)
    with pytest.raises(errors.BypassForbidden, match="@champion of all models, revision 1"):
        promotions.bypass(administrator, Promotion.objects.get().pk, reason="now")
