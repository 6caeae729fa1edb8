"""Lists: filters, pages, and how many queries they take."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.roles import Role
from accounts.services import people
from registry.models import Notification, Policy, Promotion, Webhook
from registry.policy import Scope
from registry.services import aliases, catalog, checks, discussion, policies, promotions, subscriptions, webhooks
from tests import make
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db

# Queries for a page, whatever its length: 1 for the token and 1 for the rows, then what the rows bring along.
QUERIES = {
    "models": 4,
    "models/churn/aliases": 5,
    "models/churn/history?target=none": 3,
    "models/churn/versions": 7,
    "models/churn/versions/1/files": 5,
    "models/churn/versions/1/history": 5,
    "models/churn/versions/1/checks": 5,
    "models/churn/versions/1/checks/tests": 5,
    "models/churn/versions/1/comments": 6,
    "promotions/{promotion_id}/comments": 4,
    "uploads/u": 3,
    "promotions": 2,
    "policies": 2,
    "policies/{policy_id}/revisions": 3,
    "webhooks": 2,
    "webhooks/{webhook_id}/deliveries": 3,
    "webhooks/{webhook_id}/deliveries?state=pending&type=version.registered&model=churn&since=2026-01-01T00:00:00Z": 4,
    "tokens": 2,
    "users": 2,
    "grants": 2,
    # The horizon, and for those who ask for some events only, how far was looked.
    "events": 3,
    "events?type=version.registered": 4,
    "events?since=2026-01-01T00:00:00Z": 5,
    "events?model=churn": 5,
    "notifications/models": 2,
    "notifications/recent": 2,
    "audit?model=churn": 6,
    "audit": 2,
    "audit?verb=version.registered&actor=administrator&since=2026-01-01T00:00:00Z": 3,
}


def fill(actor: Actor, times: int) -> None:
    """More of everything that is listed."""
    for _ in range(times):
        number = make.version(actor, tags={"a": "1", "b": "2"}).number
        aliases.set_alias(actor, "churn", f"alias-{number}", number)
        first = promotions.request(actor, "churn", number, "Production").model.promotions.get(version__number=1)
        checks.report(actor, "churn", 1, check="tests", state="failed", summary=f"build {number}")
        checks.report(actor, "churn", 1, check=f"check-{number}", state="passed")
        discussion.comment(actor, "churn", 1, f"@{actor.username} {number}", promotion=first.pk)
        make.model(actor, f"other-{number}")
        policies.write(actor, Scope(model=f"other-{number}"), "Production", {})
        policies.write(actor, Scope(pattern="other-*"), "Staging", {"lifetime_days": number})
        catalog.tag_model(actor, f"other-{number}", "team", "risk")
        user = make.actor(f"user-{number}", Role.VIEWER)
        people.set_team(actor, name=f"team-{number}", usernames=[user.username])
        webhooks.create(actor, url="https://receiver.example/", scope=Scope(model="churn"))
        make.token(actor)
        subscriptions.follow(actor, f"other-{number}")
        told = AuditEntry.objects.order_by("-pk")[:3]
        Notification.objects.bulk_create(
            Notification(entry=entry, user_id=actor.user_id, channel="mail", reason="follower", due_at=entry.at)
            for entry in told
        )
        api_of(actor).upload("u", f"file-{number}", b"x")


@pytest.mark.parametrize("path", QUERIES)
def test_a_list_takes_as_many_queries_for_ten_rows_as_for_one(path: str, administrator: Actor) -> None:
    expected = QUERIES[path]
    make.model(administrator)
    caller = api_of(administrator)
    counts = []
    for times in (1, 3):
        fill(administrator, times)
        path = path.replace("{policy_id}", str(Policy.objects.order_by("created_at")[0].pk))
        path = path.replace("{webhook_id}", str(Webhook.objects.order_by("id")[0].pk))
        path = path.replace("{promotion_id}", str(Promotion.objects.order_by("requested_at")[0].pk))
        caller("GET", path)  # notes the first use of the token
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert caller("GET", path).status_code == 200
        counts.append(len(queries))
    wanted = [expected] * 2
    assert counts == wanted, (
        f"GET /{path} took {counts} queries for few and for many rows. If both are the same and the new number is "
        f"meant, write it into QUERIES; if they differ, a row fetches something of its own: select_related or prefetch "
        f"it.\n" + "\n".join(query["sql"][:200] for query in queries)
    )


def test_every_list_of_the_api_is_counted_here() -> None:
    import yaml

    from web.api.docs import document

    def is_list(operation: dict) -> bool:
        return any(parameter["name"] == "page_token" for parameter in operation.get("parameters", []))

    paths = yaml.safe_load(document())["paths"]
    listed = {path.removeprefix("/api/v1/") for path, methods in paths.items() if is_list(methods.get("get", {}))}
    for known, value in {"{name}": "churn", "{number}": "1", "{upload}": "u", "{check}": "tests"}.items():
        listed = {path.replace(known, value) for path in listed}
    assert listed <= {path.partition("?")[0] for path in QUERIES}, "write the new list into QUERIES"


def test_pages_follow_each_other_without_gap_or_repetition(ci: Api, requester: Actor) -> None:
    for number in range(7):
        make.model(requester, f"m{number}")
    seen, token = [], ""
    while True:
        page = ci("GET", f"models?page_size=3{f'&page_token={token}' if token else ''}").json()
        seen += [model["name"] for model in page["items"]]
        token = page["next_page_token"]
        if not token:
            break
    assert seen == [f"m{number}" for number in range(7)]


def test_a_page_token_serves_the_query_and_the_workspace_that_it_was_given_for(
    ci: Api, outsider: Actor, requester: Actor
) -> None:
    elsewhere = api_of(outsider)
    for owner in (requester, outsider):
        make.model(owner, "a")
        make.model(owner, "b")
    token = ci("GET", "models?page_size=1").json()["next_page_token"]
    assert ci("GET", f"models?page_size=1&page_token={token}").status_code == 200
    for caller, path in (
        (elsewhere, f"models?page_token={token}"),
        (ci, f"models?name=a&page_token={token}"),
        (ci, f"promotions?page_token={token}"),
        (ci, f"models?page_token={token[:-2]}xx"),
        (ci, "models?page_token=%00"),
    ):
        refused = caller("GET", path)
        assert (refused.status_code, refused.json()["field"]) == (400, "page_token"), path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("models?name=churn", ["churn"]),
        ("models?name=chur", []),
        ("models?name_contains=HUR", ["churn"]),
        ("models?tag=team", ["churn"]),
        ("models?tag=team%3Drisk", ["churn"]),
        ("models?tag=team%3Dsales", []),
    ],
)
def test_models_are_found_by_name_and_tag(path: str, found: list[str], ci: Api, requester: Actor) -> None:
    make.model(requester)
    make.model(requester, "fraud")
    catalog.tag_model(requester, "churn", "team", "risk")
    assert [model["name"] for model in ci("GET", path).json()["items"]] == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [3, 2, 1]),
        ("?stage=Staging", [2]),
        ("?stage=None", [3, 1]),
        ("?run=r-3", [3]),
        ("?status=ready", [3, 2, 1]),
        ("?status=failed", []),
    ],
)
def test_versions_are_found_by_stage_run_and_status(query: str, found: list[int], ci: Api, requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    promotions.request(requester, "churn", make.version(requester).number, "Staging")
    ci("POST", "models/churn/versions", {"source": "s3://b/m", "run_id": "r-3"})
    assert [version["version"] for version in ci("GET", f"models/churn/versions{query}").json()["items"]] == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=open", ["Production"]),
        ("?stage=Staging", ["Staging"]),
        ("?model=churn&requester=requester", ["Production", "Staging"]),
        ("?requester=reviewer", []),
    ],
)
def test_promotions_are_found_by_state_stage_model_and_requester(
    query: str, found: list[str], ci: Api, requester: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    promotions.request(requester, "churn", 1, "Staging")
    promotions.request(requester, "churn", 1, "Production")
    assert [one["stage"] for one in ci("GET", f"promotions{query}").json()["items"]] == found


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("models?page_size=0", "page_size"),
        ("models?page_size=501", "page_size"),
        ("models?page_size=1e1", "page_size"),
        ("models?nmae=churn", "nmae"),
        ("models?name=", "name"),
        ("models?name=%00", "name"),
        ("models?tag=a%0Ab", "tag"),
        ("audit?model=%00", "model"),
        ("audit?verb=model.made", "verb"),
        ("audit?since=yesterday", "since"),
        ("audit?until=0001-01-01T00:00:00%2B14:00", "until"),
        ("audit/export?format=xlsx", "format"),
        ("promotions?state=done", "state"),
        ("me?x=1", "x"),
        ("resolve?uri=models:/a/1&x=1", "x"),
        ("events?after=x", "after"),
        ("events?after=-1", "after"),
        ("events?after=%D9%A3", "after"),
        ("events?after=9223372036854775808", "after"),
        ("events?after=9223372036854775807", "after"),
        ("events?after=1&since=2026-01-01T00:00:00Z", "since"),
        ("events?since=yesterday", "since"),
        ("events?type=model.eaten", "type"),
        ("events?type=model.created,", "type"),
        ("events?limit=1001", "limit"),
        ("events?wait=61", "wait"),
        ("resolve?uri=models:/a/1&wait=61", "wait"),
        ("resolve?uri=models:/a/1&wait=-1", "wait"),
        ("resolve?uri=models:/a/1&wait=%D9%A3", "wait"),
        ("resolve?uri=file:///etc/passwd", "uri"),
        ("resolve", "uri"),
    ],
)
def test_a_query_that_is_wrong_is_refused_by_name(path: str, field: str, ci: Api) -> None:
    refused = ci("GET", path)
    assert (refused.status_code, refused.json()["field"]) == (400, field), refused.content
