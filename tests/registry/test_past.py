"""What was there then: resolving at a moment, the history of a stage or an alias, and one day in words."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Grant
from accounts.roles import Role
from core import times
from registry.errors import AliasNotThen, ModelNotFound, ModelNotThen, NothingInStageThen, VersionNotThen
from registry.history import How, Window, WindowBackwards, intervals, on_day, told
from registry.models import Model, Occupancy, Pointing, Promotion, Version
from registry.past import find_past_model, resolve_at
from registry.policy import Scope
from registry.references import parse
from registry.resolving import resolve
from registry.services import aliases, catalog, policies, promotions
from tests import make

pytestmark = pytest.mark.django_db
TICK = datetime.timedelta(microseconds=1)


def then(actor: Actor, uri: str, at: datetime.datetime) -> int:
    return resolve_at(actor, parse(f"models:/{uri}"), at).found.version


@pytest.fixture
def two(requester: Actor, reviewer: Actor) -> tuple[Promotion, Promotion]:
    """churn: v1 went to Production, then v2."""
    make.model(requester)
    first = make.in_production(requester, reviewer, make.version(requester))
    return first, make.in_production(requester, reviewer, make.version(requester))


def moved_at(promotion: Promotion) -> datetime.datetime:
    assert promotion.decided_at
    return promotion.decided_at


# --- Resolving --------------------------------------------------------------------------------------------------------


def test_at_the_very_moment_of_a_change_the_new_version_is_there(two: Any, viewer: Actor) -> None:
    first, second = two
    assert then(viewer, "churn/Production", moved_at(second)) == 2
    assert then(viewer, "churn/Production", moved_at(second) - TICK) == 1
    assert then(viewer, "churn/Production", moved_at(first)) == 1
    with pytest.raises(NothingInStageThen):
        then(viewer, "churn/Production", moved_at(first) - TICK)


def test_the_past_tells_on_whose_word(two: Any, viewer: Actor) -> None:
    first, _ = two
    found = resolve_at(viewer, parse("models:/churn/Production"), moved_at(first))
    assert not found.deleted
    assert found.found.promotion_id == first.pk
    assert found.found.promotion_target == "Production"
    assert (found.found.promoted_by, found.found.approved_by) == ("reviewer", ["reviewer"])
    assert found.found.entry_hash == first.entry_hash
    assert [file["path"] for file in found.found.files] == ["model.bin"]


def test_a_version_tells_the_stage_that_it_was_in_then(two: Any, viewer: Actor) -> None:
    first, second = two
    stages = [
        resolve_at(viewer, parse("models:/churn/1"), at).found.stage
        for at in (moved_at(first) - TICK, moved_at(first), moved_at(second) - TICK, moved_at(second))
    ]
    assert stages == ["None", "Production", "Production", "Archived"]
    registered = Version.objects.get(number=1).created_at
    with pytest.raises(VersionNotThen):
        then(viewer, "churn/1", registered - TICK)
    assert then(viewer, "churn/1", registered) == 1


def test_of_several_in_a_stage_the_highest_was_meant(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    for number in (1, 2, 3):
        make.version(requester)
        promotions.transition(requester, "churn", number, "Staging")
    with_all = timezone.now()
    promotions.transition(requester, "churn", 3, "Archived")
    assert then(viewer, "churn/Staging", with_all) == 3
    assert then(viewer, "churn/Staging", timezone.now()) == 2
    second_came = Occupancy.objects.get(version__number=2, stage="Staging").started_at
    assert then(viewer, "churn/Staging", second_came - TICK) == 1


def test_beside_one_that_was_alone_a_higher_one_counts(two: Any, requester: Actor, viewer: Actor) -> None:
    _, second = two
    v3 = make.version(requester)
    Occupancy.objects.filter(version=v3).update(stage="Production", started_at=moved_at(second))
    Version.objects.filter(pk=v3.pk).update(created_at=moved_at(second))
    assert then(viewer, "churn/Production", moved_at(second)) == 3
    assert then(viewer, "churn/Production", moved_at(second) - TICK) == 1


def test_latest_is_the_highest_that_was_registered_and_not_deleted_then(
    requester: Actor, maintainer: Actor, viewer: Actor
) -> None:
    make.model(requester)
    for _ in range(3):
        make.version(requester)
    before = timezone.now()
    catalog.delete_version(maintainer, "churn", 3)
    deleted = Version.objects.get(number=3).deleted_at
    assert deleted
    assert then(viewer, "churn/latest", before) == 3
    assert then(viewer, "churn/latest", deleted) == 2
    assert then(viewer, "churn/latest", Version.objects.get(number=2).created_at - TICK) == 1
    with pytest.raises(VersionNotThen):
        then(viewer, "churn/latest", Version.objects.get(number=1).created_at - TICK)


def test_a_deleted_version_answers_for_the_time_before(two: Any, maintainer: Actor, viewer: Actor) -> None:
    first, _ = two
    catalog.delete_version(maintainer, "churn", 1)
    gone = Version.objects.get(number=1).deleted_at
    assert gone
    found = resolve_at(viewer, parse("models:/churn/Production"), moved_at(first))
    assert (found.found.version, found.deleted) == (1, True)
    assert then(viewer, "churn/1", gone - TICK) == 1
    with pytest.raises(VersionNotThen):
        then(viewer, "churn/1", gone)


def test_an_alias_answers_for_where_it_pointed(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    for number in (1, 2):
        make.version(requester)
        aliases.set_alias(requester, "churn", "champion", number)
    aliases.remove_alias(requester, "churn", "champion")
    first, second = Pointing.objects.order_by("pk")
    assert then(viewer, "churn@champion", first.started_at) == 1
    assert then(viewer, "churn@champion", second.started_at - TICK) == 1
    assert then(viewer, "churn@champion", second.started_at) == 2
    assert second.ended_at
    assert then(viewer, "churn@champion", second.ended_at - TICK) == 2
    for nothing in (first.started_at - TICK, second.ended_at):
        with pytest.raises(AliasNotThen):
            then(viewer, "churn@champion", nothing)


def test_a_protected_alias_tells_of_the_promotion_that_pointed_it(
    two: Any, requester: Actor, reviewer: Actor, maintainer: Actor, viewer: Actor
) -> None:
    policies.write(maintainer, Scope("churn"), "@champion", {"approvals": 1})
    asked = promotions.request(requester, "churn", 2, "@champion")
    pointed = promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    now = resolve(viewer, parse("models:/churn@champion"))
    past = resolve_at(viewer, parse("models:/churn@champion"), moved_at(pointed)).found
    for found in (now, past):
        assert (found.promotion_id, found.promotion_target) == (pointed.pk, "@champion")
        assert (found.stage, found.entry_hash) == ("Production", pointed.entry_hash)
    assert resolve(viewer, parse("models:/churn/2")).promotion_target == "Production"


def test_a_name_that_was_used_again_means_the_model_that_lived_then(
    requester: Actor, maintainer: Actor, viewer: Actor
) -> None:
    old = make.model(requester)
    make.version(requester, content=b"old")
    catalog.delete_model(maintainer, "churn")
    new = make.model(requester)
    make.version(requester, content=b"new")
    Model.objects.filter(pk=old.pk).update(deleted_at=timezone.now() - datetime.timedelta(hours=1))
    Model.objects.filter(pk=old.pk).update(created_at=timezone.now() - datetime.timedelta(hours=2))
    Version.objects.filter(model=old).update(
        created_at=timezone.now() - datetime.timedelta(hours=2),
        deleted_at=timezone.now() - datetime.timedelta(hours=1),
    )
    Occupancy.objects.filter(model=old).update(started_at=timezone.now() - datetime.timedelta(hours=2))
    long_ago = resolve_at(viewer, parse("models:/churn/1"), timezone.now() - datetime.timedelta(minutes=90))
    assert (long_ago.found.model_id, long_ago.deleted) == (old.pk, True)
    lately = resolve_at(viewer, parse("models:/churn/1"), timezone.now())
    assert (lately.found.model_id, lately.deleted) == (new.pk, False)
    with pytest.raises(ModelNotThen):
        then(viewer, "churn/1", timezone.now() - datetime.timedelta(minutes=30))


def test_a_deleted_model_is_for_those_who_may_read_the_whole_workspace(
    requester: Actor, maintainer: Actor, viewer: Actor, outsider: Actor
) -> None:
    model = make.model(requester)
    make.version(requester)
    alive = timezone.now()
    only_here = make.actor("only-here")
    Grant.objects.create(workspace_id=viewer.workspace_id, user_id=only_here.user_id, role=Role.VIEWER, model=model)
    only_here = make.actor("only-here")
    assert then(only_here, "churn/1", alive) == 1
    catalog.delete_model(maintainer, "churn")
    assert then(viewer, "churn/1", alive) == 1
    assert find_past_model(viewer, "churn") == model
    for stranger in (only_here, outsider, make.by_token(viewer, model_glob="other*")):
        with pytest.raises(ModelNotThen):
            then(stranger, "churn/1", alive)
        with pytest.raises(ModelNotFound):
            find_past_model(stranger, "churn")


def test_a_long_past_is_answered_from_a_few_rows(requester: Actor, viewer: Actor) -> None:
    """100,000 occupancies of one model, each way in which they can lie; a scan of them would be 100,000 rows."""
    model = make.model(requester)
    v1 = make.version(requester)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO registry_version (id, model_id, workspace_id, model_name, number, description, source, run_ref,
                   run_link, status, status_message, registrar_id, request_digest, created_at, updated_at, revision,
                   location)
            SELECT gen_random_uuid(), %(model)s, %(workspace)s, 'churn', n, '', '', '', '', 'ready', '', %(user)s, '',
                   s, s, 1, ''
              FROM (SELECT n, timestamptz '2020-01-01Z' + n * interval '1 minute' AS s
                      FROM generate_series(2, 34001) n) v""",
            {"model": model.pk, "workspace": model.workspace_id, "user": requester.user_id},
        )
        cursor.execute(
            """
            INSERT INTO registry_occupancy (model_id, version_id, number, stage, exclusive, started_at, ended_at)
            SELECT %(model)s, v.id, v.number, kind.stage, kind.alone, v.created_at + kind.after,
                   v.created_at + kind.after + interval '1 minute'
              FROM registry_version v CROSS JOIN (VALUES ('Production', true, interval '0'),
                   ('Staging', false, interval '1 minute')) kind(stage, alone, after)
             WHERE v.model_id = %(model)s AND v.number > 1""",
            {"model": model.pk},
        )
        cursor.execute(
            """INSERT INTO registry_occupancy (model_id, version_id, number, stage, exclusive, started_at)
            SELECT %(model)s, id, number, 'Archived', false, created_at + interval '2 minutes'
              FROM registry_version WHERE model_id = %(model)s AND number > 1""",
            {"model": model.pk},
        )
        cursor.execute("ANALYZE registry_version, registry_occupancy")
    Version.objects.filter(pk=v1.pk).update(created_at=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    Occupancy.objects.filter(version=v1).update(started_at=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    Model.objects.filter(pk=model.pk).update(created_at=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    for number in (2, 17_000, 33_990):
        at = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) + number * datetime.timedelta(minutes=1)
        for uri, found in (
            ("Production", number),
            ("Staging", number - 1),
            ("Archived", number - 2),
            ("latest", number),
        ):
            if found > 1:
                assert then(viewer, f"churn/{uri}", at) == found
                assert rows_read(viewer, f"models:/churn/{uri}", at) < 200, uri


def rows_read(actor: Actor, uri: str, at: datetime.datetime) -> float:
    """How many rows the statement reads from tables and indexes, as PostgreSQL counts them."""
    statements: list[tuple[str, Any]] = []
    with connection.execute_wrapper(
        lambda run, sql, given, many, how: statements.append((sql, given)) or run(sql, given, many, how)
    ):
        resolve_at(actor, parse(uri), at)
    with connection.cursor() as cursor:
        [(sql, given)] = statements
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", given)
        plan = cursor.fetchone()[0]

    def read(node: dict[str, Any]) -> float:
        here = (
            node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
            if "Scan" in node["Node Type"]
            else 0
        )
        return here + sum(read(child) for child in node.get("Plans", []))

    return read(plan[0]["Plan"])


# --- History ----------------------------------------------------------------------------------------------------------


def history(actor: Actor, target: str = "Production", **window: Any) -> list[Any]:
    rows = intervals(find_past_model(actor, "churn"), target, Window(**window))
    return told(list(rows.order_by("-started_at", "-id")))


def test_the_history_of_a_stage_tells_who_vouched_and_what_ended_it(two: Any, viewer: Actor) -> None:
    first, second = two
    newest, oldest = history(viewer)
    assert (newest.held.version.number, newest.held.ended_at, newest.ending) == (2, None, None)
    assert (oldest.held.version.number, oldest.held.ended_at) == (1, moved_at(second))
    assert [approval.reviewer.username for approval in oldest.approvals] == ["reviewer"]
    assert (oldest.ending.how, oldest.ending.version, oldest.ending.promotion) == (How.REPLACED, 2, second)
    assert oldest.held.promotion == first


def test_what_ended_it_is_told_apart(two: Any, requester: Actor, administrator: Actor, viewer: Actor) -> None:
    promotions.transition(administrator, "churn", 2, "Archived")
    make.version(requester)
    promotions.transition(requester, "churn", 3, "Staging")
    catalog.delete_version(administrator, "churn", 3)
    newest, _ = history(viewer)
    assert (newest.ending.how, newest.ending.stage, newest.ending.version) == (How.MOVED, "Archived", None)
    assert [(row.ending.how, row.held.version.number) for row in history(viewer, "Staging")] == [(How.DELETED, 3)]


def test_the_history_of_an_alias(requester: Actor, maintainer: Actor, viewer: Actor) -> None:
    make.model(requester)
    for number in (1, 2):
        make.version(requester)
        aliases.set_alias(requester, "churn", "champion", number)
    aliases.remove_alias(requester, "churn", "champion")
    aliases.set_alias(requester, "churn", "champion", 1)
    catalog.delete_version(maintainer, "churn", 1)
    rows = history(viewer, "@champion")
    assert [(row.held.version.number, row.ending.how, row.ending.version) for row in rows] == [
        (1, How.DELETED, None),
        (2, How.REMOVED, None),
        (1, How.REPLACED, 2),
    ]


def test_a_window_leaves_what_touches_it(two: Any, viewer: Actor) -> None:
    first, second = two
    change = moved_at(second)

    def seen(since: datetime.datetime | None, until: datetime.datetime | None) -> list[int]:
        return [row.held.version.number for row in history(viewer, since=since, until=until)]

    assert seen(None, change - TICK) == [1]
    assert seen(change - TICK, change) == [2, 1]
    assert seen(change, None) == [2]
    assert seen(None, moved_at(first) - TICK) == []
    with pytest.raises(WindowBackwards):
        seen(change, change - TICK)


def test_the_history_costs_the_same_however_long_it_is(
    requester: Actor, reviewer: Actor, viewer: Actor, django_assert_num_queries: Any
) -> None:
    make.model(requester)
    for _ in range(4):
        make.in_production(requester, reviewer, make.version(requester))
    model = find_past_model(viewer, "churn")
    with django_assert_num_queries(3):
        rows = told(list(intervals(model, "Production").order_by("-started_at")))
        assert [row.held.promotion.requester.username for row in rows] == ["requester"] * 4


def test_a_day_is_answered_in_a_sentence(two: Any, viewer: Actor) -> None:
    model = find_past_model(viewer, "churn")
    started = datetime.datetime(2024, 2, 28, 9, tzinfo=datetime.UTC)
    changed = datetime.datetime(2024, 3, 1, 10, 31, 2, tzinfo=datetime.UTC)
    Occupancy.objects.filter(version__number=1, stage="Production").update(started_at=started, ended_at=changed)
    Occupancy.objects.filter(version__number=1, stage="Archived").update(started_at=changed)
    Occupancy.objects.filter(version__number=2, stage="Production").update(started_at=changed)
    word = "promoted by reviewer and approved by reviewer"

    def said(day: str) -> str:
        return on_day(model, "Production", *times.past_day("on", day))

    assert said("2024-02-27") == "On 27 February 2024 (UTC) nothing was in Production."
    assert said("2024-02-28") == f"On 28 February 2024 (UTC) Production was held by v1 from 09:00:00 on, {word}."
    assert said("2024-02-29") == f"On 29 February 2024 (UTC) Production was held by v1 all day, {word}."
    both = f"v1 until 10:31:02, {word}; then v2 from 10:31:02 on, {word}"
    assert said("2024-03-01") == f"On 1 March 2024 (UTC) Production was held by {both}."
    with pytest.raises(times.NotYet):
        said("2999-01-01")
    for bad in ("2023-02-29", "yesterday", "2024-3-1"):
        with pytest.raises(times.NoDay):
            said(bad)
