"""Every event that the services produce, in every format that has words for it."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, Grant, User
from accounts.roles import Role
from accounts.services import people, sign_in, tokens
from accounts.verbs import Verb
from registry.errors import ReviewNeeded
from registry.formats import Format, Told, expresses, sentence, tells, written
from registry.models import Promotion
from registry.policy import Scope
from registry.services import afterwards, aliases, audits, catalog, checks, clock, discussion, policies, promotions
from registry.services.rollback import roll_back
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

NOT_PRODUCED_YET = {verb for verb in Verb if verb.startswith("webhook.")}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def told(entry: AuditEntry) -> Told:
    return Told(
        id=str(entry.pk),
        verb=Verb(entry.verb),
        at=entry.at,
        subject=entry.subject,
        workspace="default",
        model=entry.data.get("model") or "" if entry.chain.subject_id else "",
        sequence=entry.sequence,
        hash=entry.hash,
        actor=entry.actor_name,
        data=entry.data,
        link="https://vouch.example.org/models/churn",
        address="https://vouch.example.org",
    )


def entries() -> list[Told]:
    return [told(entry) for entry in AuditEntry.objects.select_related("chain").order_by("pk")]


@pytest.fixture
def story(requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor) -> list[Told]:
    """One of each, at least."""
    _of_accounts(administrator)
    _of_models(make.by_token(requester), administrator)
    _of_promotions(requester, reviewer, second_reviewer, administrator)
    catalog.delete_version(requester, "churn", 5)
    make.model(requester, "spare")
    catalog.rename_model(administrator, "spare", "spare part")
    catalog.delete_model(administrator, "spare part")
    return entries()


def _of_accounts(administrator: Actor) -> None:
    plain = make.token(administrator)
    tokens.authenticate(plain, address="192.0.2.7", request_id="")
    tokens.revoke(administrator, tokens.visible(administrator).get().pk)
    people.set_team(administrator, name="risk", usernames=["reviewer", "second-reviewer"])
    people.set_team(administrator, name="risk", usernames=["reviewer"])
    people.take(administrator, Grant.objects.get(user__username="reviewer").pk)
    people.give(administrator, Role.REVIEWER, user=User.objects.get(username="reviewer"))
    people.set_active(administrator, "second-reviewer", False)
    people.set_active(administrator, "second-reviewer", True)
    people.create_workspace(administrator, slug="lab", name="Laboratory")
    people.edit_workspace(administrator, "lab", name="The laboratory", folds_repeated_creates=False)
    sign_in.begin(User.objects.get(username="administrator"), address=None, request_id="")
    list(audits.write_out(administrator, "jsonl"))


def _of_models(by_token: Actor, administrator: Actor) -> None:
    catalog.create_model(by_token, name="churn", description="Who leaves", tags={"team": "risk"})
    catalog.describe_model(by_token, "churn", "Who leaves us")
    catalog.tag_model(by_token, "churn", "team", "growth")
    catalog.tag_model(by_token, "churn", "team", None)
    first = make.version(by_token, description="The first", tags={"kind": "tree"})
    catalog.register_version(by_token, "churn", catalog.Origin(source="s3://models/churn"))
    catalog.register_version(by_token, "churn", catalog.Origin(source="s3://models/churn"))
    catalog.describe_version(by_token, "churn", first.number, "The very first")
    catalog.tag_version(by_token, "churn", first.number, "kind", "forest")
    catalog.tag_version(by_token, "churn", first.number, "kind", None)
    aliases.set_alias(by_token, "churn", "candidate", 1)
    aliases.set_alias(by_token, "churn", "candidate", 2)
    aliases.remove_alias(by_token, "churn", "candidate")
    checks.report(by_token, "churn", 1, check="evaluation", state="passed", summary="AUC 0.93.")
    said = discussion.comment(by_token, "churn", 1, "Look at this,\n@reviewer")
    discussion.edit(by_token, said.pk, "Never mind")
    discussion.delete(administrator, said.pk)


def _of_promotions(requester: Actor, reviewer: Actor, second: Actor, administrator: Actor) -> None:
    rules: dict[str, Any] = {"approvals": 1, "approval_days": 30}
    policies.write(administrator, Scope(model="churn"), "Production", rules)
    policies.write(administrator, Scope(model="churn"), "@champion", {"approvals": 1})
    for _ in range(3):
        make.version(requester)

    asked = promotions.request(requester, "churn", 1, "Production", comment="better")
    discussion.request_review(requester, asked.pk, ["reviewer", "second-reviewer"])
    discussion.unask(requester, asked.pk, "second-reviewer")
    promotions.reject(reviewer, asked.pk, reason="no card")
    promotions.reopen(requester, asked.pk, reason="has one now")
    promotions.withdraw(requester, asked.pk, reason="later")
    promotions.reopen(requester, asked.pk, reason="now")
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    with time_machine.travel(timezone.now() + datetime.timedelta(days=31), tick=True):
        clock.announce_lapsed(timezone.now())
        afterwards.revalidate(second, asked.pk, comment="still good")

    promotions.transition(administrator, "churn", 3, "Production", comment="an outage")
    afterwards.review_afterwards(reviewer, Promotion.objects.get(bypass=True).pk, agrees=False, note="it was none")
    roll_back(reviewer, "churn", "Production", reason="3 is worse.")

    with pytest.raises(ReviewNeeded):
        aliases.set_alias(requester, "churn", "champion", 4)
    pointing = Promotion.objects.get(target="@champion")
    promotions.approve(reviewer, pointing.pk, evidence=make.evidence(pointing))

    gated = {**rules, "gates": [{"gate": "required_tags", "keys": ["owner"]}]}
    policies.write(administrator, Scope(model="churn"), "Production", gated)
    blocked = promotions.request(requester, "churn", 2, "Production")
    promotions.approve(reviewer, blocked.pk, evidence=make.evidence(blocked))
    promotions.request(requester, "churn", 5, "Production")  # superseded when the version is deleted
    policies.retire(administrator, Scope(model="churn"), "@champion")
    with time_machine.travel(timezone.now() + datetime.timedelta(days=90), tick=True):
        clock.expire_due(timezone.now())
    promotions.request(requester, "churn", 5, "Production")


def test_every_event_is_written_in_every_format_that_has_words_for_it(story: list[Told]) -> None:
    assert {event.verb for event in story} == set(Verb) - NOT_PRODUCED_YET, "the story lacks a verb, or has a new one"
    rendered = {form: set() for form in Format}
    for event in story:
        for form in Format:
            if not expresses(form, event):
                continue
            assert event.verb in tells(form)
            secrets = [] if form == Format.SLACK else [SECRET]
            message = written(form, event, delivery_id="d", at=event.at, secrets=secrets, webhook_id="w")
            assert json.loads(message.body), (form, event.verb)
            rendered[form].add(event.verb)
    assert rendered == {form: tells(form) - NOT_PRODUCED_YET for form in Format}


def test_every_event_is_a_plain_sentence_in_which_nothing_is_left_open(story: list[Told]) -> None:
    said = {event.verb: sentence(event) for event in story}
    for verb, words in said.items():
        assert words.endswith("."), (verb, words)
        assert not any(hole in words for hole in ("  ", " .", " ,", "..", "None.", " v.", "{", ": ;")), (verb, words)
    assert said[Verb.PROMOTION_APPROVED] == "reviewer approved the promotion of churn v2 to Production."
    assert said[Verb.PROMOTION_BYPASSED] == (
        "administrator carried out the promotion of churn v3 to Production, in place of v1, bypassing its policy: "
        "an outage."
    )
    assert said[Verb.PROMOTION_ROLLED_BACK] == (
        "reviewer rolled Production of churn back to v1, in place of v3: 3 is worse."
    )
    assert said[Verb.ALIAS_SET] == "reviewer pointed the alias champion of churn at v4."
    assert said[Verb.COMMENT_CREATED] == "requester commented on churn v1: “Look at this, @reviewer”."
    assert said[Verb.CHECK_REPORTED] == "requester reported the check evaluation of churn v1 as passed: AUC 0.93."
    assert said[Verb.GRANT_REVOKED] == "administrator took the role reviewer from reviewer."
    assert said[Verb.TEAM_UPDATED] == "administrator changed the team risk, now with reviewer."


def test_what_a_receiver_deploys_on_tells_of_the_bytes_and_of_what_was_there(
    requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    make.model(requester)
    old, new = make.version(requester), make.version(requester)
    make.in_production(requester, reviewer, old)
    make.in_production(requester, reviewer, new)
    aliases.set_alias(requester, "churn", "candidate", 1)
    aliases.set_alias(requester, "churn", "candidate", 2)
    archived, promoted = (e.data for e in entries()[-4:-2])
    assert (archived["version"], archived["stage"], archived["previous"]) == (1, "Archived", [])
    assert (archived["manifest"], archived["source"]) == (old.manifest.digest, old.source)
    assert (promoted["version"], promoted["stage"], promoted["previous"]) == (2, "Production", [1])
    assert (promoted["manifest"], promoted["source"]) == (new.manifest.digest, new.source)
    first, second = (e.data for e in entries()[-2:])
    assert (first["previous"], second["previous"]) == ([], [1])
    assert (second["manifest"], second["source"]) == (new.manifest.digest, new.source)
