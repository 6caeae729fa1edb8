"""Rolling back: one person puts an earlier version there again, if its bytes are still those of then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.permissions import RoleMissing
from accounts.roles import Role
from lineage.models import ManifestFile
from lineage.storage import local
from registry import earlier, errors
from registry.lifecycle import Stage, State
from registry.models import Alias, Occupancy, Pointing, Promotion, Version
from registry.policy import Scope
from registry.queries import find_version
from registry.services import aliases, catalog, policies, promotions, rollback
from registry.services.catalog import Origin
from tests import make

# Files are read again with nothing locked: a transaction around the test would be refused.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def churn(requester: Actor, reviewer: Actor) -> None:
    """v1 and then v2 were approved into Production."""
    make.model(requester)
    for _ in range(2):
        make.in_production(requester, reviewer, make.version(requester))


def in_production() -> list[int]:
    held = Occupancy.objects.filter(stage=Stage.PRODUCTION, ended_at__isnull=True)
    return list(held.values_list("number", flat=True))


@contextmanager
def refused(kind: type[Exception], words: str) -> Iterator[None]:
    """It is refused in these words, and nothing moves."""
    before, count = in_production(), Promotion.objects.count()
    with pytest.raises(kind, match=words):
        yield
    assert (in_production(), Promotion.objects.count()) == (before, count)


def file_of(number: int) -> Path:
    file = ManifestFile.objects.get(manifest=Version.objects.get(number=number).manifest)
    return local.path_of(file.sha256)


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o640)
    path.write_bytes(content)


@pytest.mark.usefixtures("churn")
def test_a_reviewer_puts_the_version_before_there_again(second_reviewer: Actor) -> None:
    first = Promotion.objects.get(version__number=1)
    done = rollback.roll_back(second_reviewer, "churn", "production", reason="v2 scores everybody zero")
    assert in_production() == [1]
    assert find_version(second_reviewer, "churn", 2).stage == Stage.ARCHIVED
    done.refresh_from_db()
    assert (done.state, done.rollback, done.bypass, done.to_review) == (State.PROMOTED, True, False, True)
    assert (done.requester_id, done.decided_by_id) == (second_reviewer.user_id,) * 2
    assert done.terms.approvals == 1
    *_, told, archived, put_back = AuditEntry.objects.order_by("pk")
    assert told.verb == "promotion.rolled_back"
    assert told.hash == done.entry_hash
    assert told.data["previous"] == [2]
    assert told.data["restores"] == str(first.pk)
    assert told.data["reason"] == "v2 scores everybody zero"
    moves = [(e.verb, e.data["version"], e.data["stage"]) for e in (archived, put_back)]
    assert moves == [("version.transitioned", 2, "Archived"), ("version.transitioned", 1, "Production")]
    word = earlier.words([done])[done.pk]
    assert (word.promotion, word.by) == (first, "approved by reviewer")


@pytest.mark.usefixtures("churn")
def test_back_and_forth_stands_on_the_word_that_was_given(reviewer: Actor) -> None:
    rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    forth = rollback.roll_back(reviewer, "churn", "Production", reason="it was the data")
    back = rollback.roll_back(reviewer, "churn", "Production", reason="it was not")
    assert in_production() == [1]
    words = earlier.words([forth, back])
    assert [words[p.pk].promotion.version.number for p in (forth, back)] == [2, 1]
    assert not any(word.promotion.rollback for word in words.values())


@pytest.mark.usefixtures("churn")
def test_an_empty_stage_gets_its_last_occupant_again(requester: Actor, reviewer: Actor) -> None:
    promotions.transition(requester, "churn", 2, "Archived")
    rollback.roll_back(reviewer, "churn", "Production", reason="archived by mistake")
    assert in_production() == [2]


@pytest.mark.usefixtures("churn")
def test_any_earlier_occupant_can_be_named(requester: Actor, reviewer: Actor) -> None:
    make.in_production(requester, reviewer, make.version(requester))
    rollback.roll_back(reviewer, "churn", "Production", to=1, reason="v2 and v3 are both bad")
    assert in_production() == [1]


@pytest.mark.usefixtures("churn")
def test_it_takes_the_role_of_a_reviewer_and_a_reason(requester: Actor, viewer: Actor, reviewer: Actor) -> None:
    for actor in (requester, viewer):
        with refused(RoleMissing, "promotion.roll-back"):
            rollback.roll_back(actor, "churn", "Production", reason="because")
    with refused(errors.ReasonMissing, "reason must not be empty"):
        rollback.roll_back(reviewer, "churn", "Production", reason=" ")


@pytest.mark.usefixtures("churn")
def test_whoever_had_part_in_the_version_may_roll_back_to_it(requester: Actor) -> None:
    both = make.actor(requester.username, Role.REVIEWER)
    rollback.roll_back(both, "churn", "Production", reason="bad")
    assert in_production() == [1]


@pytest.mark.usefixtures("churn")
def test_a_policy_that_forbids_a_bypass_lets_one_roll_back_and_gates_are_not_asked(
    maintainer: Actor, reviewer: Actor
) -> None:
    rules = {"approvals": 2, "bypass": False, "gates": [{"gate": "required_checks", "names": ["ci"]}]}
    policies.write(maintainer, Scope(), "Production", rules)
    done = rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    assert in_production() == [1]
    assert (done.terms.approvals, done.terms.bypass) == (2, False)


@pytest.mark.usefixtures("churn")
def test_a_byte_that_differs_on_the_disk_refuses_it(reviewer: Actor) -> None:
    path = file_of(1)
    content = path.read_bytes()
    overwrite(path, content[:-1] + bytes([content[-1] ^ 1]))
    with refused(errors.BytesDiffer, r"model\.bin has the SHA-256 .* Do not serve it"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    overwrite(path, content)
    rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    assert in_production() == [1]


@pytest.mark.usefixtures("churn")
def test_a_file_that_is_lost_refuses_it_and_another_version_is_named(requester: Actor, reviewer: Actor) -> None:
    make.in_production(requester, reviewer, make.version(requester))
    file_of(2).unlink()
    with refused(errors.BytesDiffer, "is missing: .* or roll back to 1"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")


@pytest.mark.usefixtures("churn")
def test_another_manifest_given_to_the_version_in_the_database_refuses_it(requester: Actor, reviewer: Actor) -> None:
    other = make.version(requester)
    Version.objects.filter(number=1).update(manifest=other.manifest)
    with refused(errors.BytesDiffer, "its files were [0-9a-f]{12} then and are"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    # And when the promotion was made to fit.
    first = Promotion.objects.get(version__number=1)
    first.decided_on["manifest"] = other.manifest.digest
    first.save()
    with refused(errors.BytesDiffer, "is not what the log says"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")


@pytest.mark.usefixtures("churn")
def test_another_file_written_into_the_manifest_refuses_it(requester: Actor, reviewer: Actor) -> None:
    evil = ManifestFile.objects.get(manifest=make.version(requester).manifest)
    listed = ManifestFile.objects.filter(manifest=Version.objects.get(number=1).manifest)
    listed.update(sha256=evil.sha256, size=evil.size)
    with refused(errors.BytesDiffer, "the list of its files was altered"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")


@pytest.mark.usefixtures("churn")
def test_a_manifest_changed_after_it_was_read_again_refuses_it(requester: Actor, reviewer: Actor) -> None:
    seen = rollback.reread(reviewer, "churn", "Production")
    Version.objects.filter(number=1).update(manifest=make.version(requester).manifest)
    with refused(errors.MovedMeanwhile, "look at what is there now"):
        rollback.roll_back_to(reviewer, "churn", "Production", seen, reason="bad")


@pytest.mark.usefixtures("churn")
def test_the_occupant_that_changes_meanwhile_is_not_displaced_unseen(requester: Actor, reviewer: Actor) -> None:
    seen = rollback.reread(reviewer, "churn", "Production")
    make.in_production(requester, reviewer, make.version(requester))
    with refused(errors.MovedMeanwhile, "look at what is there now"):
        rollback.roll_back_to(reviewer, "churn", "Production", seen, reason="bad")
    assert in_production() == [3]


@pytest.mark.usefixtures("churn")
def test_what_cannot_be_rolled_back_to_is_refused_and_says_the_way_out(
    requester: Actor, reviewer: Actor, administrator: Actor
) -> None:
    make.version(requester)
    cases: list[tuple[object, object, type[Exception], str]] = [
        ("Production", 3, errors.NeverThere, "never in Production.*ask for one, or roll back to 1"),
        ("Production", 2, errors.AlreadyThere, "in Production already"),
        ("Production", 9, errors.VersionNotFound, "no version 9"),
        ("Production", "x", errors.BadVersionNumber, "not a version"),
        ("Staging", None, errors.SeveralAtOnce, "several versions at once.*ask for the promotion"),
        ("@champion", None, errors.NothingBefore, "Nothing else was in @champion"),
        ("nowhere", None, errors.BadTarget, "neither a stage nor an alias"),
    ]
    for target, to, kind, words in cases:
        with refused(kind, words):
            rollback.roll_back(reviewer, "churn", target, to=to, reason="bad")
    Version.objects.filter(number=1).update(status="failed")
    with refused(errors.CannotServe, "as it is failed"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    Version.objects.filter(number=1).update(status="ready")
    catalog.delete_version(administrator, "churn", 1)
    with refused(errors.CannotServe, "as it was deleted: ask for the promotion of another version"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")


def test_bytes_elsewhere_are_not_rolled_back_to(requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    there = catalog.register_version(requester, "churn", Origin("s3://bucket/model")).version
    make.in_production(requester, reviewer, there)
    make.in_production(requester, reviewer, make.version(requester))
    with refused(errors.NothingToCompare, "ask for a promotion"):
        rollback.roll_back(reviewer, "churn", "Production", reason="bad")


@pytest.mark.usefixtures("churn")
def test_the_open_promotion_of_the_same_is_superseded_and_those_of_others_become_stale(
    requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    same = promotions.request(requester, "churn", 1, "Production")
    make.version(requester)
    other = promotions.request(requester, "churn", 3, "Production")
    seen = make.evidence(other)
    rollback.roll_back(reviewer, "churn", "Production", reason="bad")
    same.refresh_from_db()
    assert (same.state, same.reason) == (State.SUPERSEDED, "reviewer rolled back to it")
    with pytest.raises(errors.EvidenceChanged):
        promotions.approve(second_reviewer, other.pk, evidence=seen)
    promotions.approve(second_reviewer, other.pk, evidence=make.evidence(other))
    assert in_production() == [3]


# --- Aliases ----------------------------------------------------------------------------------------------------------


def pointed_at(alias: str) -> int:
    return Alias.objects.get(name=alias).version.number


def test_a_protected_alias_goes_back_by_the_promotion_that_pointed_it_there(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    policies.write(maintainer, Scope(), "@champion", {"approvals": 1})
    for _ in range(2):
        asked = promotions.request(requester, "churn", make.version(requester).number, "@champion")
        promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    done = rollback.roll_back(reviewer, "churn", "@champion", reason="bad")
    assert pointed_at("champion") == 1
    assert Pointing.objects.get(ended_at__isnull=True).promotion == done
    assert [e.verb for e in AuditEntry.objects.order_by("pk")][-2:] == ["promotion.rolled_back", "alias.set"]
    assert AuditEntry.objects.get(verb="promotion.rolled_back").data["previous"] == [2]


def test_a_free_alias_goes_back_and_one_protected_since_does_not(
    requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    for _ in range(2):
        aliases.set_alias(requester, "churn", "champion", make.version(requester).number)
    rollback.roll_back(reviewer, "churn", "@champion", reason="bad")
    assert pointed_at("champion") == 1
    policies.write(maintainer, Scope(), "@champion", {"approvals": 1})
    with refused(errors.NeverThere, "never in @champion by a promotion"):
        rollback.roll_back(reviewer, "churn", "@champion", reason="bad")


# --- What it costs ----------------------------------------------------------------------------------------------------


def test_the_queries_do_not_grow_with_the_history(requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    for _ in range(2):
        make.in_production(requester, reviewer, make.version(requester))

    def queries() -> tuple[int, int]:
        with CaptureQueriesContext(
            connection,
        ) as rolling:
            rollback.roll_back(reviewer, "churn", "Production", reason="bad")
        model = Promotion.objects.latest("requested_at").model
        with CaptureQueriesContext(connection) as offering:
            found = earlier.offered(model, ["Production", "@champion"])
            earlier.words([each.promotion for each in found["Production"] if each.promotion])
        return len(rolling), len(offering)

    before = queries()
    for _ in range(6):
        make.in_production(requester, reviewer, make.version(requester))
    assert queries() == before
    assert before[1] <= 4
