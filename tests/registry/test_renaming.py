"""Renaming a model: what goes with it, what is refused, and what others do meanwhile."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.permissions import OutsideToken, RoleMissing
from core.text import BadName
from registry import errors
from registry.lifecycle import State
from registry.models import Delivery, FormerName, Model, Promotion, Version
from registry.past import find_past_model, resolve_at
from registry.policy import Scope
from registry.references import parse
from registry.resolving import resolve
from registry.services import aliases, catalog, policies, promotions, webhooks
from registry.services.catalog import Origin, renaming
from tests import make
from tests.registry.test_races import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def churn(requester: Actor) -> Model:
    model = make.model(requester)
    make.version(requester)
    make.version(requester)
    return model


def numbers(actor: Actor, name: str) -> list[int]:
    return sorted(Version.objects.visible_to(actor).filter(model_name=name).values_list("number", flat=True))


def test_everything_goes_with_the_name(churn: Model, requester: Actor, maintainer: Actor) -> None:
    aliases.set_alias(requester, "churn", "best", 2)
    catalog.delete_version(requester, "churn", 1)
    before = Model.objects.get()
    renamed = catalog.rename_model(maintainer, "churn", "leavers")
    assert (renamed.pk, renamed.name, renamed.revision) == (churn.pk, "leavers", before.revision + 1)
    assert (renamed.generation, renamed.updated_at > before.updated_at) == (before.generation + 1, True)
    assert (numbers(requester, "leavers"), numbers(requester, "churn")) == ([2], [])
    assert resolve(requester, parse("models:/leavers@best")).version == 2
    assert Version.objects.get(number=2).updated_at == renamed.updated_at
    with pytest.raises(errors.ModelNotFound):
        resolve(requester, parse("models:/churn/2"))
    assert make.version(requester, "leavers").number == 3
    entry = AuditEntry.objects.get(verb="model.renamed")
    assert (entry.subject, entry.data["previous_name"], entry.data["model"]) == ("model churn", "churn", "leavers")
    assert AuditEntry.objects.get(verb="model.created").data["model"] == "churn"


def test_a_former_name_is_free_and_its_past_is_found_by_it(churn: Model, requester: Actor, maintainer: Actor) -> None:
    then = timezone.now()
    catalog.rename_model(maintainer, "churn", "leavers")
    between = timezone.now()
    catalog.rename_model(maintainer, "leavers", "gone")
    assert find_past_model(requester, "churn") == churn
    again = make.model(requester, "churn")
    make.version(requester, "churn")
    assert find_past_model(requester, "churn") == again
    for name, at, found in (
        ("churn", then, churn),
        ("leavers", between, churn),
        ("gone", timezone.now(), churn),
        ("churn", timezone.now(), again),
    ):
        past = resolve_at(requester, parse(f"models:/{name}/1"), at).found
        assert (past.name, past.model_id) == (name, found.pk)
    for name, at in (("leavers", then), ("gone", then), ("churn", between), ("leavers", timezone.now())):
        with pytest.raises(errors.ModelNotThen):
            resolve_at(requester, parse(f"models:/{name}/1"), at)
    assert list(churn.former_names.order_by("ended_at").values_list("name", flat=True)) == ["churn", "leavers"]


def test_the_past_of_a_name_is_shown_to_tokens_that_reach_the_present_one(
    churn: Model, requester: Actor, maintainer: Actor
) -> None:
    then = timezone.now()
    catalog.rename_model(maintainer, "churn", "secret")
    with pytest.raises(errors.ModelNotThen):
        resolve_at(make.by_token(requester, model_glob="churn*"), parse("models:/churn/1"), then)


def test_maintainers_rename_and_their_tokens_must_reach_both_names(
    churn: Model, requester: Actor, reviewer: Actor, maintainer: Actor, outsider: Actor
) -> None:
    for actor in (requester, reviewer):
        with pytest.raises(RoleMissing):
            catalog.rename_model(actor, "churn", "leavers")
    with pytest.raises(errors.ModelNotFound):
        catalog.rename_model(outsider, "churn", "leavers")
    with pytest.raises(OutsideToken):
        catalog.rename_model(make.by_token(maintainer, model_glob="chu*"), "churn", "leavers")
    with pytest.raises(errors.ModelNotFound):
        catalog.rename_model(make.by_token(maintainer, model_glob="leav*"), "churn", "leavers")
    assert catalog.rename_model(make.by_token(maintainer, model_glob="*u*"), "churn", "u2").name == "u2"


def test_the_new_name_obeys_the_rules_of_names(churn: Model, requester: Actor, maintainer: Actor) -> None:
    make.model(requester, "Taken")
    for name, refusal in (
        ("a/b", BadName),
        ("", BadName),
        (5, BadName),
        ("Taken", errors.ModelExists),
        ("taken", errors.LooksLikeAnother),
    ):
        with pytest.raises(refusal):
            catalog.rename_model(maintainer, "churn", name)
    with pytest.raises(errors.Stale):
        catalog.rename_model(maintainer, "churn", "leavers", expected=1)
    assert catalog.rename_model(maintainer, "churn", "Churn").name == "Churn"  # its own name in another case


def test_a_repeated_rename_gives_the_renamed_model_and_no_second_event(churn: Model, maintainer: Actor) -> None:
    for _ in range(2):
        assert catalog.rename_model(maintainer, "churn", "leavers").pk == churn.pk
    assert catalog.rename_model(maintainer, "leavers", "leavers").pk == churn.pk
    assert AuditEntry.objects.filter(verb="model.renamed").count() == 1
    FormerName.objects.update(ended_at=timezone.now() - datetime.timedelta(minutes=11))
    with pytest.raises(errors.ModelNotFound):
        catalog.rename_model(maintainer, "churn", "leavers")


def test_what_serves_keeps_its_name(churn: Model, requester: Actor, reviewer: Actor, administrator: Actor) -> None:
    make.in_production(requester, reviewer, Version.objects.get(number=1))
    with pytest.raises(errors.StageInUse, match="Production"):
        catalog.rename_model(administrator, "churn", "leavers")
    promotions.transition(administrator, "churn", 1, "Archived")
    aliases.set_alias(requester, "churn", "champion", 1)
    policies.write(administrator, Scope(), "@champion", {"approvals": 1})
    with pytest.raises(errors.AliasInUse):
        catalog.rename_model(administrator, "churn", "leavers")
    aliases.remove_alias(administrator, "churn", "champion")
    assert catalog.rename_model(administrator, "churn", "leavers").name == "leavers"


@pytest.mark.parametrize("target", ["Production", "@champion"])
def test_no_policy_for_a_pattern_loses_a_model_by_its_name(churn: Model, administrator: Actor, target: str) -> None:
    strict = {"approvals": 2, "gates": [{"gate": "required_tags", "keys": ["owner"]}]}
    policies.write(administrator, Scope(pattern="chu*"), target, strict)
    with pytest.raises(errors.LoosensPolicy, match=f"less for {target}"):
        catalog.rename_model(administrator, "churn", "leavers")
    assert catalog.rename_model(administrator, "churn", "churn-2").name == "churn-2"
    policies.write(administrator, Scope(model="churn-2"), target, strict)
    assert catalog.rename_model(administrator, "churn-2", "leavers").name == "leavers"


def test_open_promotions_are_held_to_the_stricter_policy_of_the_new_name(
    churn: Model, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    policies.write(administrator, Scope(pattern="bank*"), "Production", {"approvals": 2})
    asked = promotions.request(requester, "churn", 1, "Production")
    catalog.rename_model(administrator, "churn", "bank-leavers")
    assert AuditEntry.objects.filter(verb="promotion.reopened").count() == 1
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(Promotion.objects.get()))
    assert Promotion.objects.get().state == State.OPEN
    promotions.approve(second_reviewer, asked.pk, evidence=make.evidence(Promotion.objects.get()))
    assert Promotion.objects.get().state == State.PROMOTED
    assert resolve(requester, parse("models:/bank-leavers/Production")).version == 1


def test_an_approval_outlives_a_rename_that_changes_no_policy(
    churn: Model, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    policies.write(administrator, Scope(), "Production", {"approvals": 2})
    asked = promotions.request(requester, "churn", 1, "Production")
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    catalog.rename_model(administrator, "churn", "leavers")
    promotions.approve(second_reviewer, asked.pk, evidence=make.evidence(Promotion.objects.get()))
    assert Promotion.objects.get().state == State.PROMOTED


def test_webhooks_for_either_name_hear_of_it(churn: Model, maintainer: Actor) -> None:
    for pattern in ("churn*", "leav*", "other*"):
        webhooks.create(maintainer, url="https://hooks.example/x", scope=Scope(pattern=pattern), name=pattern)
    catalog.rename_model(maintainer, "churn", "leavers")
    heard = Delivery.objects.filter(verb="model.renamed").values_list("webhook__name", flat=True)
    assert sorted(heard) == ["churn*", "leav*"]


def test_a_long_model_is_renamed_some_versions_at_a_time(
    churn: Model, requester: Actor, maintainer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renaming, "_AT_ONCE", 2)
    for _ in range(3):
        make.version(requester)
    catalog.rename_model(maintainer, "churn", "leavers")
    assert numbers(requester, "leavers") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("column", ["name", "workspace"])
def test_the_database_refuses_a_version_that_does_not_name_its_model(
    churn: Model, outsider: Actor, column: str
) -> None:
    wrong: dict[str, Any] = {"model_name": "other"} if column == "name" else {"workspace_id": outsider.workspace_id}
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(IntegrityError, match="version_names_its_model"), transaction.atomic():
            Version.objects.filter(number=1).update(**wrong)


# --- Races ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_version_registered_during_a_rename_has_the_name_of_its_model(requester: Actor, maintainer: Actor) -> None:
    make.model(requester)
    results = at_once(
        lambda: catalog.rename_model(maintainer, "churn", "leavers"),
        *(
            lambda n=n: catalog.register_version(requester, "churn", Origin(source=f"s3://bucket/{n}"))
            for n in range(8)
        ),
    )
    made = [result for result in results[1:] if not isinstance(result, Exception)]
    refused = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(refusal, errors.ModelNotFound) for refusal in refused), refused
    assert numbers(requester, "leavers") == list(range(1, len(made) + 1))


@pytest.mark.django_db(transaction=True)
def test_of_two_models_that_take_one_name_at_once_one_gets_it(requester: Actor, maintainer: Actor) -> None:
    for name in ("a", "b"):
        make.model(requester, name)
        make.version(requester, name)
    results = at_once(*(lambda name=name: catalog.rename_model(maintainer, name, "c") for name in ("a", "b")))
    assert sorted(type(result).__name__ for result in results) == ["Model", "ModelExists"]
    assert numbers(requester, "c") == [1]


@pytest.mark.django_db(transaction=True)
def test_a_model_is_not_renamed_under_a_version_that_goes_to_production(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    asked = promotions.request(requester, "churn", 1, "Production")
    seen = make.evidence(asked)
    approved, renamed = at_once(
        lambda: promotions.approve(reviewer, asked.pk, evidence=seen),
        lambda: catalog.rename_model(maintainer, "churn", "leavers"),
    )
    assert isinstance(approved, Promotion)
    assert isinstance(renamed, Model | errors.StageInUse)
    name = "leavers" if isinstance(renamed, Model) else "churn"
    assert resolve(requester, parse(f"models:/{name}/Production")).version == 1
