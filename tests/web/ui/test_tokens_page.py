"""The page of one's own tokens."""

from __future__ import annotations

import re

import pytest

from accounts.actor import Actor
from accounts.models import Token
from accounts.services import tokens
from tests import make
from tests.web.ui.conftest import signed_in

pytestmark = pytest.mark.django_db


def test_a_token_is_shown_once_and_revoked(requester: Actor) -> None:
    client = signed_in(requester)
    sent = {"name": "CI <b>", "scopes": ["read", "request"], "days": "30", "model_glob": "churn*"}
    response = client.post("/tokens", sent)
    plain = re.search(r"vch-[0-9A-Za-z]{40}", response.content.decode())
    assert plain
    assert "no-store" in response["Cache-Control"]
    assert tokens.authenticate(plain[0], address=None, request_id="").model_glob == "churn*"
    again = client.get("/tokens").content.decode()
    assert plain[0] not in again
    assert "CI &lt;b&gt;" in again
    token = Token.objects.get()
    assert client.post("/tokens", {"act": "revoke", "token": str(token.pk)}).status_code == 302
    with pytest.raises(tokens.BadToken):
        tokens.authenticate(plain[0], address=None, request_id="")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"name": ""}, "name"), ({"name": "x" * 101}, "name"), ({"scopes": []}, "scopes"), ({"scopes": ["all"]}, "scopes"),
     ({"days": "0"}, "days"), ({"days": "ten"}, "days"), ({"days": "9" * 5000}, "days"), ({"days": "٣"}, "days")],
)  # fmt: skip
def test_a_token_form_that_is_wrong_comes_back_with_what_was_typed(
    requester: Actor, wrong: dict[str, object], field: str
) -> None:
    sent = {"name": "CI", "scopes": ["read"], "days": "90", "model_glob": "typed-before", **wrong}
    response = signed_in(requester).post("/tokens", sent)
    assert response.status_code == 400
    page = response.content.decode()
    assert f'href="#{field}"' in page
    assert 'aria-invalid="true"' in page
    assert 'value="typed-before"' in page
    assert not Token.objects.exists()


@pytest.mark.parametrize("token", ["", "nonsense", "00000000-0000-7000-8000-000000000000"])
def test_only_ones_own_tokens_are_listed_and_revoked(requester: Actor, reviewer: Actor, token: str) -> None:
    make.token(reviewer)
    client = signed_in(requester)
    assert "vch-" + Token.objects.get().public_id not in client.get("/tokens").content.decode()
    for target in (token, str(Token.objects.get().pk)):
        assert client.post("/tokens", {"act": "revoke", "token": target}).status_code == 404
    assert Token.objects.get().revoked_at is None
