"""API tokens: form, life, scopes."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, Token, User, UserKind
from accounts.roles import Role, Scope
from accounts.services import people, tokens
from core.errors import Denied
from tests import make

pytestmark = pytest.mark.django_db

ROBOT: dict[str, Any] = {"username": "robot", "kind": UserKind.SERVICE}


def authenticate(plain: str, address: str | None = "192.0.2.7") -> Actor:
    return tokens.authenticate(plain, address=address, request_id="")


def test_a_token_has_the_form_that_scanners_and_clients_expect(requester: Actor) -> None:
    assert re.fullmatch(r"vch-[A-Za-z0-9]{40}", make.token(requester))


def test_only_the_hash_of_a_token_is_stored(requester: Actor) -> None:
    plain = make.token(requester)
    row = Token.objects.values().get()
    assert plain[12:38] not in repr(row)


def test_a_token_acts_as_its_owner_within_its_scopes(requester: Actor) -> None:
    actor = authenticate(make.token(requester, Scope.READ))
    assert (actor.user_id, actor.scopes, actor.roles) == (requester.user_id, {Scope.READ}, {Role.CONTRIBUTOR})


def test_mistyped_tokens_fall_at_the_checksum_without_a_query(requester: Actor) -> None:
    plain = make.token(requester)
    wrong = plain[:20] + ("A" if plain[20] != "A" else "B") + plain[21:]
    with CaptureQueriesContext(connection) as queries, pytest.raises(tokens.BadToken):
        authenticate(wrong)
    assert len(queries) == 0


def test_a_right_id_with_another_secret_is_refused(requester: Actor) -> None:
    plain = make.token(requester)
    body = plain[4:12] + "0" * 26
    with pytest.raises(tokens.BadToken):
        authenticate(f"vch-{body}{tokens._checksum(body)}")


@pytest.mark.parametrize(
    "plain", ["", "vch-", "vch-" + "é" * 40, "vch-" + "A" * 41, "x" * 10_000, "vch-\x00" + "A" * 39]
)
def test_what_is_no_token_is_refused(db: None, plain: str) -> None:
    with pytest.raises(tokens.BadToken):
        authenticate(plain)


def test_a_revoked_token_is_dead_at_once(requester: Actor) -> None:
    plain = make.token(requester)
    actor = authenticate(plain)
    assert actor.token_id
    tokens.revoke(requester, actor.token_id)
    with pytest.raises(tokens.BadToken):
        authenticate(plain)


def test_the_tokens_of_a_disabled_user_are_dead_at_once(requester: Actor, administrator: Actor) -> None:
    plain = make.token(requester)
    people.set_active(administrator, "requester", False)
    with pytest.raises(tokens.BadToken):
        authenticate(plain)


def test_an_expired_token_says_so(requester: Actor) -> None:
    plain = make.token(requester, days=1)
    with (
        time_machine.travel(timezone.now() + datetime.timedelta(days=1, seconds=1)),
        pytest.raises(tokens.TokenExpired, match="expired at"),
    ):
        authenticate(plain)


@pytest.mark.parametrize("days", [0, 366, -1, True])
def test_a_token_lives_from_a_day_to_a_year(requester: Actor, days: int) -> None:
    with pytest.raises(tokens.BadLifetime):
        tokens.create(requester, name="x", days=days)


def test_a_token_cannot_make_one_with_more_scopes(requester: Actor) -> None:
    by_token = authenticate(make.token(requester, Scope.ADMIN, Scope.REGISTER))
    with pytest.raises(tokens.BadScope):
        tokens.create(by_token, name="x", scopes=["review"])


def test_a_token_without_the_scope_admin_cannot_renew_itself(requester: Actor) -> None:
    by_token = authenticate(make.token(requester, Scope.READ, Scope.REGISTER))
    with pytest.raises(tokens.NotByToken):
        tokens.create(by_token, name="x", scopes=["read"])


def test_a_token_bound_to_models_only_makes_tokens_bound_to_them(requester: Actor) -> None:
    by_token = authenticate(make.token(requester, model_glob="churn-*"))
    assert tokens.create(by_token, name="x", scopes=["read"]).token.model_glob == "churn-*"
    for other in ("*", "churn-eu"):
        with pytest.raises(tokens.BadGlob):
            tokens.create(by_token, name="x", scopes=["read"], model_glob=other)


def test_the_last_use_is_written_at_most_once_a_minute(requester: Actor) -> None:
    plain = make.token(requester)
    authenticate(plain)
    with CaptureQueriesContext(connection) as queries:
        authenticate(plain)
    assert len(queries) == 1
    first = Token.objects.get().last_used_at
    with time_machine.travel(timezone.now() + datetime.timedelta(seconds=61)):
        authenticate(plain)
    assert Token.objects.get().last_used_at > first


def test_use_from_a_new_address_is_audited_once(requester: Actor) -> None:
    plain = make.token(requester)
    for _ in range(3):
        authenticate(plain, "192.0.2.1")
        authenticate(plain, "2001:db8::1")
    assert AuditEntry.objects.filter(verb="token.used_from_new_address").count() == 2


def test_creation_and_revocation_are_audited(requester: Actor) -> None:
    issued = tokens.create(requester, name="build")
    tokens.revoke(requester, issued.token.pk)
    tokens.revoke(requester, issued.token.pk)
    told = list(AuditEntry.objects.filter(subject="token build").order_by("id").values_list("verb", flat=True))
    assert told == ["token.created", "token.revoked"]


def test_nobody_revokes_anothers_token_but_an_administrator(
    requester: Actor, maintainer: Actor, administrator: Actor
) -> None:
    issued = tokens.create(requester, name="build")
    with pytest.raises(tokens.TokenNotFound):
        tokens.revoke(maintainer, issued.token.pk)
    assert tokens.revoke(administrator, issued.token.pk).revoked_at


def test_tokens_for_others_are_for_service_accounts_and_by_administrators(
    requester: Actor, maintainer: Actor, administrator: Actor
) -> None:
    person, robot = User.objects.get(username="requester"), people.create_user(administrator, **ROBOT)
    with pytest.raises(Denied):
        tokens.create(maintainer, name="x", owner=robot)
    with pytest.raises(tokens.NotForAnotherPerson):
        tokens.create(administrator, name="x", owner=person)
    assert tokens.create(administrator, name="x", owner=robot).token.created_by_id == administrator.user_id
