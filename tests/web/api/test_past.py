"""Asking the native API for the past: `at=`, the history of a target, the evidence pack."""

from __future__ import annotations

import datetime
import io
import zipfile
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from accounts.actor import Actor
from registry.models import Model, Occupancy, Promotion
from registry.services import catalog
from tests import make
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def promoted(requester: Actor, reviewer: Actor) -> Promotion:
    """churn: v1 went to Production, then v2, which is returned."""
    make.model(requester)
    make.in_production(requester, reviewer, make.version(requester))
    return make.in_production(requester, reviewer, make.version(requester))


def at(moment: datetime.datetime, what: str = "churn/Production") -> str:
    return f"resolve?uri=models:/{what}&at={quote(moment.isoformat())}"


def test_resolve_at_a_moment(ci: Api, admin: Api, promoted: Promotion) -> None:
    change = promoted.decided_at
    assert change
    before = ci("GET", at(change - datetime.timedelta(microseconds=1)))
    body = before.json()
    assert (body["version"], body["stage"], body["deleted"], body["generation"]) == (1, "Production", False, None)
    assert body["promotion"]["target"] == "Production"
    assert body["promotion"]["approved_by"] == ["reviewer"]
    assert (body["promotion"]["bypass"], body["promotion"]["rollback"]) == (False, False)
    assert body["artifact_uri"].endswith("/models/churn/versions/1/files")
    assert ci("GET", at(change)).json()["version"] == 2
    admin("DELETE", "models/churn/versions/1")
    after = ci("GET", at(change - datetime.timedelta(microseconds=1))).json()
    assert (after["version"], after["deleted"], after["artifact_uri"]) == (1, True, None)


def test_the_moment_may_be_told_in_any_zone(ci: Api, promoted: Promotion) -> None:
    change = promoted.decided_at
    assert change
    for hours in (-11, 0, 5.5, 14):
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        assert ci("GET", at(change.astimezone(zone))).json()["version"] == 2
        assert ci("GET", at((change - datetime.timedelta(microseconds=1)).astimezone(zone))).json()["version"] == 1
    # Finer than a microsecond: cut off, not rounded up into the next version.
    finer = (change - datetime.timedelta(microseconds=1)).isoformat().replace("+00:00", "999Z")
    assert ci("GET", f"resolve?uri=models:/churn/Production&at={finer}").json()["version"] == 1


def test_the_etag_of_the_past_stays_while_the_present_moves(ci: Api, requester: Actor, promoted: Promotion) -> None:
    assert promoted.decided_at
    path = at(promoted.decided_at)
    past, present = ci("GET", path)["ETag"], ci("GET", "resolve?uri=models:/churn/Production")["ETag"]
    assert past != present
    make.version(requester)
    assert ci("GET", "resolve?uri=models:/churn/Production")["ETag"] != present
    assert ci("GET", path, If_None_Match=past).status_code == 304
    assert ci("GET", path, If_None_Match=present).status_code == 200


@pytest.mark.parametrize(
    "moment",
    [
        "now",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+01:00",  # a + in a query is a space
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00%2B24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00%2B23:00",
        "9999-12-31T23:59:59-23:00",
        "1700000000",
        "%D9%A2026-01-01T00:00:00Z",
    ],
)
def test_what_is_no_moment_is_refused_with_the_way_out(ci: Api, promoted: Promotion, moment: str) -> None:
    answer = ci("GET", f"resolve?uri=models:/churn/1&at={moment}")
    assert (answer.status_code, answer.json()["field"], answer.json()["code"]) == (400, "at", "bad-moment")
    assert "2026-07-01T12:00:00Z" in answer.json()["detail"]


def test_the_future_and_waiting_for_the_past_are_refused(ci: Api, promoted: Promotion) -> None:
    later = ci("GET", at(timezone.now() + datetime.timedelta(minutes=1)))
    assert (later.status_code, later.json()["code"]) == (400, "not-yet")
    for wait in ("0", "5"):
        waiting = ci("GET", at(timezone.now()) + f"&wait={wait}")
        assert (waiting.status_code, waiting.json()["field"]) == (400, "wait")
    assert ci("GET", "resolve?uri=models:/churn/1&at=").status_code == 400
    assert ci("GET", "resolve?uri=models:/churn/1&at=0001-01-01T00:00:00Z").status_code == 404
    assert ci("GET", at(timezone.now(), "nobody/1")).json()["code"] == "model-not-then"


def test_the_history_of_a_stage(ci: Api, promoted: Promotion, django_assert_num_queries: Any) -> None:
    body = ci("GET", "models/churn/history").json()
    newest, oldest = body["items"]
    assert (newest["version"], newest["ended_at"], newest["ending"]) == (2, None, None)
    assert oldest["ended_at"] == newest["started_at"]
    assert oldest["ending"] == {"how": "replaced", "version": 2, "stage": "Archived", "promotion": str(promoted.pk)}
    assert oldest["approvals"][0]["reviewer"] == "reviewer"
    assert (oldest["promotion"]["requested_by"], oldest["promotion"]["promoted_by"]) == ("requester", "reviewer")
    assert oldest["manifest"]
    first = ci("GET", "models/churn/history?page_size=1").json()
    second = ci("GET", f"models/churn/history?page_size=1&page_token={first['next_page_token']}").json()
    assert [page["items"][0]["version"] for page in (first, second)] == [2, 1]
    assert second["next_page_token"] == ""
    assert ci("GET", "models/churn/history?target=@champion").json()["items"] == []
    assert [each["version"] for each in ci("GET", "models/churn/history?target=none").json()["items"]] == [2, 1]


def test_who_was_there_on_a_day(ci: Api, promoted: Promotion) -> None:
    start = datetime.datetime(2024, 2, 28, 23, 59, 59, tzinfo=datetime.UTC)
    change = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)
    Occupancy.objects.filter(stage="Production", version__number=1).update(started_at=start, ended_at=change)
    Occupancy.objects.filter(stage="Production", version__number=2).update(started_at=change)

    def on(since: str, until: str) -> list[int]:
        answer = ci("GET", f"models/churn/history?from={since}&until={until}")
        assert answer.status_code == 200, answer.content
        return [each["version"] for each in answer.json()["items"]]

    assert on("2024-02-27", "2024-02-27") == []
    assert on("2024-02-28", "2024-02-28") == [1]
    assert on("2024-02-29", "2024-02-29") == [1]
    assert on("2024-03-01", "2024-03-01") == [2]
    assert on("2024-02-29", "2024-03-01") == [2, 1]
    assert on("2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z") == [2]
    assert on("2024-03-01T00:30:00%2B01:00", "2024-03-01T00:59:59%2B01:00") == [1]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("target=Prod", "target"),
        ("target=@latest", "target"),
        ("target=", "target"),
        ("from=yesterday", "from"),
        ("until=2026-13-01", "until"),
        ("from=2024-02-02&until=2024-02-01", "until"),
        ("on=2024-02-02", "on"),
    ],
)
def test_the_history_refuses_what_it_cannot_read(ci: Api, promoted: Promotion, asked: str, field: str) -> None:
    answer = ci("GET", f"models/churn/history?{asked}")
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_a_deleted_model_keeps_its_history(ci: Api, requester: Actor, maintainer: Actor, outsider: Actor) -> None:
    make.model(requester)
    make.version(requester)
    catalog.delete_model(maintainer, "churn")
    [held] = ci("GET", "models/churn/history?target=None").json()["items"]
    assert (held["deleted"], held["ending"]["how"]) == (True, "deleted")
    assert api_of(outsider)("GET", "models/churn/history?target=None").status_code == 404
    assert Model.objects.filter(name="churn", deleted_at__isnull=False).exists()


def test_the_evidence_pack_is_a_file_to_save(ci: Api, admin: Api, promoted: Promotion) -> None:
    answer = admin("GET", "models/churn/versions/2/evidence")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert answer["Content-Disposition"] == 'attachment; filename="churn-v2-evidence.zip"'
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
    content = b"".join(answer.streaming_content)
    assert len(content) == int(answer["Content-Length"])
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    assert ci("GET", "models/churn/versions/2/evidence").status_code == 403
    assert admin("GET", "models/churn/versions/3/evidence").status_code == 404
    assert admin("GET", "models/churn/versions/x/evidence").status_code == 400
