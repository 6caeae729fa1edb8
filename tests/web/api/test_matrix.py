"""Who may do what: every route of the native API by every role, in its own and another workspace (SECURITY: roles)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Grant, Token, User, UserKind
from accounts.roles import Role
from lineage.services import experiments, runs
from registry.models import Delivery, Following, Model, Promotion, Version
from registry.policy import Scope
from registry.services import aliases, catalog, checks, discussion, policies, promotions, webhooks
from tests import make
from tests.web.api.conftest import Api, api_of
from web.api.urls import urlpatterns

pytestmark = pytest.mark.django_db

ALL = frozenset(Role)
ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
MAINTAINERS = ADMINISTRATOR | {Role.MAINTAINER}
CONTRIBUTORS = MAINTAINERS | {Role.CONTRIBUTOR}
REVIEWERS = MAINTAINERS | {Role.REVIEWER}
ASKERS = CONTRIBUTORS | REVIEWERS
NOBODY: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Row:
    """A request and who may make it.

    `may`: the roles that succeed. `lacking`: what the other roles get. `nobody`: what a user without any role gets.
    `other`: what somebody gets who is everything in another workspace; 200 or 201 means that he acts in his own, so the
    answer must not show anything of this one. `before` is done first, whoever asks.
    """

    may: frozenset[Role]
    body: Any = None
    query: str = ""
    before: Callable[[], object] = lambda: None
    lacking: int = 403
    nobody: int = 404
    other: int = 404


_VERSION = "models/<str:name>/versions/<str:number>"
_PROMOTION = "promotions/<str:promotion_id>"
_WEBHOOK = "webhooks/<str:webhook_id>"
_RECEIVER = "https://receiver.example/hook"
_EVERY_LIST = {"nobody": 200, "other": 200}
_EVIDENCE = "the evidence of the promotion"

ROWS: dict[tuple[str, str], list[Row]] = {
    ("GET", "resolve"): [
        Row(ALL, query="?uri=models:/churn/1"),
        Row(ALL, query="?uri=models:/churn/1&at=<now>"),
    ],
    ("GET", "models"): [Row(ALL, **_EVERY_LIST)],
    ("POST", "models"): [Row(CONTRIBUTORS, {"name": "new"}, nobody=403, other=201)],
    ("GET", "models/<str:name>"): [Row(ALL)],
    ("PATCH", "models/<str:name>"): [Row(CONTRIBUTORS, {"description": "x"})],
    ("DELETE", "models/<str:name>"): [Row(MAINTAINERS)],
    ("PUT", "models/<str:name>/tags/<str:key>"): [Row(CONTRIBUTORS, {"value": "x"})],
    ("DELETE", "models/<str:name>/tags/<str:key>"): [Row(CONTRIBUTORS)],
    ("GET", "models/<str:name>/aliases"): [Row(ALL)],
    ("PUT", "models/<str:name>/aliases/<str:alias>"): [Row(CONTRIBUTORS, {"version": 1})],
    ("DELETE", "models/<str:name>/aliases/<str:alias>"): [Row(CONTRIBUTORS)],
    ("GET", "models/<str:name>/following"): [Row(ALL, before=lambda: everybody_follows())],
    ("PUT", "models/<str:name>/following"): [Row(ALL, {}), Row(ALL, {"muted": True})],
    ("DELETE", "models/<str:name>/following"): [Row(ALL)],
    ("GET", "models/<str:name>/history"): [Row(ALL)],
    ("GET", "models/<str:name>/policies"): [Row(ALL)],
    ("POST", "models/<str:name>/rollback"): [Row(REVIEWERS, {"target": "@former", "reason": "it was right"})],
    ("GET", "models/<str:name>/versions"): [Row(ALL)],
    ("POST", "models/<str:name>/versions"): [Row(CONTRIBUTORS, {"source": "s3://bucket/m"})],
    ("GET", _VERSION): [Row(ALL)],
    ("PATCH", _VERSION): [Row(CONTRIBUTORS, {"description": "x"})],
    ("DELETE", _VERSION): [Row(MAINTAINERS)],  # a contributor deletes those that he registered, which this one is not
    ("PUT", f"{_VERSION}/tags/<str:key>"): [Row(CONTRIBUTORS, {"value": "x"})],
    ("DELETE", f"{_VERSION}/tags/<str:key>"): [Row(CONTRIBUTORS)],
    ("GET", f"{_VERSION}/files"): [Row(ALL)],
    ("GET", f"{_VERSION}/files/<path:path>"): [Row(ALL)],
    ("GET", f"{_VERSION}/history"): [Row(ALL)],
    ("GET", f"{_VERSION}/evidence"): [Row(MAINTAINERS)],
    ("GET", f"{_VERSION}/checks"): [Row(ALL)],
    ("POST", f"{_VERSION}/checks"): [Row(CONTRIBUTORS, {"check": "tests", "state": "passed"})],
    ("GET", f"{_VERSION}/checks/<path:check>"): [Row(ALL)],
    ("POST", "checks"): [Row(CONTRIBUTORS, {"model": "churn", "version": 1, "check": "tests", "state": "failed"})],
    ("GET", f"{_VERSION}/comments"): [Row(ALL)],
    ("POST", f"{_VERSION}/comments"): [Row(ASKERS, {"text": "x"})],
    ("GET", f"{_PROMOTION}/comments"): [Row(ALL)],
    ("POST", f"{_PROMOTION}/comments"): [Row(ASKERS, {"text": "x"})],
    ("GET", "comments/<str:comment_id>"): [Row(ALL)],
    ("PATCH", "comments/<str:comment_id>"): [Row(NOBODY, {"text": "x"})],  # only who wrote it
    ("DELETE", "comments/<str:comment_id>"): [Row(MAINTAINERS)],  # and who wrote it
    ("GET", "uploads/<str:upload>"): [Row(NOBODY, lacking=404)],  # only who sent it
    ("PUT", "uploads/<str:upload>/files/<path:path>"): [Row(CONTRIBUTORS, b"x", nobody=403, other=201)],
    ("GET", "promotions"): [Row(ALL, **_EVERY_LIST)],
    ("POST", "promotions"): [
        Row(ASKERS, {"model": "churn", "version": 1, "stage": "Production"}),
        Row(ASKERS, {"model": "churn", "version": 1, "stage": "Staging"}),
    ],
    ("GET", _PROMOTION): [Row(ALL)],
    ("POST", f"{_PROMOTION}/approve"): [Row(REVIEWERS, {"evidence": _EVIDENCE})],
    ("POST", f"{_PROMOTION}/reject"): [Row(REVIEWERS, {"reason": "no"})],
    ("POST", f"{_PROMOTION}/withdraw"): [Row(MAINTAINERS)],  # and who asked for it
    ("POST", f"{_PROMOTION}/reopen"): [Row(ASKERS, {"reason": "again"})],
    ("POST", f"{_PROMOTION}/reviewers"): [Row(REVIEWERS, {"reviewers": ["free-reviewer"]})],  # and who asked for it
    ("DELETE", f"{_PROMOTION}/reviewers/<str:username>"): [Row(REVIEWERS)],  # and who asked for it
    ("POST", f"{_PROMOTION}/bypass"): [Row(ADMINISTRATOR, {"reason": "incident"})],
    ("GET", "policies"): [Row(ALL, **_EVERY_LIST)],
    ("PUT", "policies"): [
        Row(MAINTAINERS, {"target": "Staging"}, nobody=403, other=200),
        Row(MAINTAINERS, {"target": "Staging", "pattern": "c*"}, nobody=403, other=200),
        Row(MAINTAINERS, {"target": "Staging", "model": "churn"}),
    ],
    ("GET", "policies/<str:policy_id>"): [Row(ALL)],
    ("DELETE", "policies/<str:policy_id>"): [Row(MAINTAINERS)],
    ("GET", "policies/<str:policy_id>/revisions"): [Row(ALL)],
    ("POST", f"{_PROMOTION}/review"): [Row(REVIEWERS, {"agrees": True}, before=lambda: carried_out())],
    ("POST", f"{_PROMOTION}/revalidate"): [Row(REVIEWERS, {}, before=lambda: carried_out(approval_days=365))],
    ("GET", "webhooks"): [Row(ALL, **_EVERY_LIST)],
    ("POST", "webhooks"): [
        Row(MAINTAINERS, {"url": _RECEIVER}, nobody=403, other=201),
        Row(MAINTAINERS, {"url": _RECEIVER, "pattern": "c*"}, nobody=403, other=201),
        Row(MAINTAINERS, {"url": _RECEIVER, "model": "churn"}),
    ],
    ("GET", _WEBHOOK): [Row(MAINTAINERS, lacking=404)],
    ("PATCH", _WEBHOOK): [Row(MAINTAINERS, {"name": "x"}, lacking=404)],
    ("DELETE", _WEBHOOK): [Row(MAINTAINERS, lacking=404)],
    ("POST", f"{_WEBHOOK}/secret"): [Row(MAINTAINERS, {}, lacking=404)],
    ("POST", f"{_WEBHOOK}/test"): [Row(MAINTAINERS, lacking=404)],
    ("POST", f"{_WEBHOOK}/redeliver"): [Row(MAINTAINERS, {"since": "2026-01-01T00:00:00Z"}, lacking=404)],
    ("GET", f"{_WEBHOOK}/deliveries"): [Row(MAINTAINERS, lacking=404)],
    ("GET", f"{_WEBHOOK}/deliveries/<str:delivery_id>"): [Row(MAINTAINERS, lacking=404)],
    ("POST", f"{_WEBHOOK}/deliveries/<str:delivery_id>/redeliver"): [Row(MAINTAINERS, lacking=404)],
    ("GET", "notifications"): [Row(ALL, **_EVERY_LIST)],
    ("PUT", "notifications"): [Row(ALL, {"mail": "digest", "muted": False}, **_EVERY_LIST)],
    ("GET", "notifications/recent"): [Row(ALL, **_EVERY_LIST)],
    ("GET", "notifications/models"): [Row(ALL, **_EVERY_LIST, before=lambda: everybody_follows())],
    ("GET", "me"): [Row(ALL, **_EVERY_LIST)],
    ("GET", "tokens"): [Row(ALL, **_EVERY_LIST)],
    ("POST", "tokens"): [
        Row(ALL, {"name": "t", "scopes": ["read"]}, nobody=201, other=201),
        Row(ADMINISTRATOR, {"name": "t", "scopes": ["read"], "owner": "registrar"}, nobody=403),
    ],
    ("DELETE", "tokens/<str:token_id>"): [Row(ADMINISTRATOR, lacking=404)],
    ("GET", "users"): [Row(ADMINISTRATOR, nobody=403, other=200)],
    ("POST", "users"): [Row(ADMINISTRATOR, {"username": "new"}, nobody=403, other=201)],
    ("PATCH", "users/<str:username>"): [Row(ADMINISTRATOR, {"active": False}, nobody=403)],
    ("PUT", "teams/<str:team>"): [Row(MAINTAINERS, {"members": []}, nobody=403, other=200)],
    ("GET", "grants"): [Row(MAINTAINERS, nobody=403, other=200)],
    ("POST", "grants"): [
        Row(MAINTAINERS, {"role": "viewer", "user": "newcomer"}, nobody=403, other=201),
        Row(MAINTAINERS, {"role": "viewer", "user": "newcomer", "model": "churn"}),
        Row(ADMINISTRATOR, {"role": "administrator", "user": "newcomer"}, nobody=403, other=201),
    ],
    ("DELETE", "grants/<str:grant_id>"): [Row(MAINTAINERS, nobody=403)],
    ("GET", "audit"): [Row(ALL, query="?model=churn"), Row(ALL, **_EVERY_LIST)],
    ("GET", "audit/export"): [Row(MAINTAINERS, query="?model=churn"), Row(MAINTAINERS, nobody=403, other=200)],
    ("GET", "audit/verify"): [Row(MAINTAINERS, query="?model=churn"), Row(MAINTAINERS, nobody=403, other=200)],
    ("GET", "events"): [Row(ALL, query="?model=churn"), Row(ALL, **_EVERY_LIST)],
    ("GET", "runs/<str:run_id>"): [Row(ALL)],
}
# What anybody may read, without a token.
OPEN = {("GET", "openapi.yaml"), ("GET", "docs")}


def routes() -> Iterator[tuple[str, str]]:
    """(method, route) of everything in the URLconf but what answers unknown paths."""
    for pattern in urlpatterns:
        route = str(pattern.pattern)
        if route:
            view = getattr(pattern.callback, "cls", None)
            methods = ("get", "post", "put", "patch", "delete")
            yield from ((m.upper(), route) for m in methods if (hasattr(view, m) if view else m == "get"))


def test_every_route_has_a_row() -> None:
    assert set(routes()) == set(ROWS) | OPEN, "write who may use the new route into ROWS"


@pytest.fixture
def world() -> dict[str, str]:
    """churn with version 1 in no stage, an alias, a tag, an open promotion; what the routes' parameters name.

    Version 2 has a promotion that was withdrawn.
    """
    registrar = account("registrar", Role.CONTRIBUTOR)
    make.model(registrar)
    version = make.version(registrar)
    aliases.set_alias(registrar, "churn", "champion", 1)
    aliases.set_alias(registrar, "churn", "former", 1)
    aliases.remove_alias(registrar, "churn", "former")
    catalog.tag_model(registrar, "churn", "team", "risk")
    promotion = promotions.request(registrar, "churn", 1, "Production")
    policy = policies.write(account("owner", Role.MAINTAINER), Scope(model="churn"), "@protected", {})
    make.version(registrar)
    withdrawn = promotions.withdraw(registrar, promotions.request(registrar, "churn", 2, "Production").pk)
    comment = discussion.comment(registrar, "churn", 1, "registrar said it", promotion=promotion.pk)
    checks.report(registrar, "churn", 1, check="lint", state="passed")
    account("free-reviewer", Role.REVIEWER)
    account("asked-reviewer", Role.REVIEWER)
    discussion.request_review(registrar, promotion.pk, ["asked-reviewer"])
    api_of(registrar).upload("build", "a", b"a")
    run = runs.create(registrar, experiments.create(registrar, name="trees", tags={}), tags={})
    webhook = webhooks.create(account("owner"), url=_RECEIVER, scope=Scope(model="churn")).webhook
    account("newcomer", Role.VIEWER, slug="third")
    assert isinstance(version, Version)
    return {
        "<str:name>": "churn",
        "<str:number>": "1",
        "<str:key>": "team",
        "<str:alias>": "champion",
        "<path:path>": "model.bin",
        "<str:upload>": "build",
        "<str:promotion_id>/reopen": f"{withdrawn.pk}/reopen",
        "<str:promotion_id>/reviewers/<str:username>": f"{promotion.pk}/reviewers/asked-reviewer",
        "<str:promotion_id>": str(promotion.pk),
        "<str:policy_id>": str(policy.pk),
        "<str:comment_id>": str(comment.pk),
        "<path:check>": "lint",
        "<str:webhook_id>": str(webhook.pk),
        "<str:delivery_id>": str(Delivery.objects.get(webhook=webhook).pk),
        "<str:token_id>": str(Token.objects.get(user_id=registrar.user_id).pk),
        "<str:username>": "registrar",
        "<str:team>": "risk",
        "<str:grant_id>": str(Grant.objects.get(user_id=registrar.user_id).pk),
        "<str:run_id>": run.id.hex,
        "<now>": f"{timezone.now():%Y-%m-%dT%H:%M:%S.%fZ}",
        _EVIDENCE: make.evidence(promotion),
    }


def account(username: str, *roles: Role, slug: str = "default") -> Actor:
    """An account without a password: hashing one for each would take most of the time here."""
    return make.actor(username, *roles, slug=slug, kind=UserKind.SERVICE)


def everybody_follows() -> None:
    """Also who cannot see the model any more, or never could."""
    churn = Model.objects.get(name="churn")
    Following.objects.bulk_create(Following(model=churn, user=user) for user in User.objects.all())


def carried_out(**terms: object) -> None:
    """The open promotion, carried out by a bypass under such terms."""
    asked = Promotion.objects.get(state="open")
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, **terms})
    promotions.bypass(account("root", Role.ADMINISTRATOR), asked.pk, reason="incident")


def send(caller: Api, method: str, route: str, row: Row, world: dict[str, str]) -> Any:
    """The request of a row; what it changes is undone."""
    path = route + row.query
    for parameter, value in world.items():
        path = path.replace(parameter, value)
    body = {"evidence": world[_EVIDENCE]} if row.body == {"evidence": _EVIDENCE} else row.body
    undo = transaction.savepoint()
    try:
        row.before()
        if isinstance(body, bytes):
            return caller.upload(world["<str:upload>"], "new", body)
        return caller(method, path, body)
    finally:
        transaction.savepoint_rollback(undo)


@pytest.mark.parametrize(("method", "route"), ROWS)
def test_each_role_does_what_it_may_and_no_more(method: str, route: str, world: dict[str, str]) -> None:
    for row in ROWS[method, route]:
        for role in Role:
            answer = send(api_of(account(f"a-{role}", role)), method, route, row, world)
            if role in row.may:
                assert answer.status_code in (200, 201, 202, 204), (role, row, answer.content)
            else:
                assert answer.status_code == row.lacking, (role, row, answer.status_code)
        nobody = send(api_of(account("nobody")), method, route, row, world)
        assert nobody.status_code == row.nobody, (row, nobody.content)
        assert b"churn" not in nobody.content or nobody.status_code == 404


@pytest.mark.parametrize(("method", "route"), ROWS)
def test_another_workspace_is_neither_changed_nor_shown(method: str, route: str, world: dict[str, str]) -> None:
    outsider = api_of(account("outsider", *Role, slug="elsewhere"))
    for row in ROWS[method, route]:
        answer = send(outsider, method, route, row, world)
        assert answer.status_code == row.other, (row, answer.content)
        if answer.status_code < 300:
            shown = b"".join(answer.streaming_content) if answer.streaming else answer.content
            assert b"churn" not in shown
            assert b"registrar" not in shown


@pytest.mark.parametrize(("method", "route"), ROWS)
def test_without_a_token_nothing_is_answered(method: str, route: str, world: dict[str, str]) -> None:
    for row in ROWS[method, route]:
        answer = send(Api(""), method, route, row, world)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="Vouch"')
