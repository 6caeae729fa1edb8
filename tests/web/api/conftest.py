"""Callers of the native API, each with a token."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from tests import make

API = "/api/v1/"


class Api:
    """Django's test client with a token, speaking JSON."""

    def __init__(self, token: str):
        self.client = Client(raise_request_exception=False, enforce_csrf_checks=True)
        self.token = token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """`headers` with underscores for hyphens; `body` is JSON, or bytes as they are."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = sent.pop("Content-Type", "application/json")
        return self.client.generic(method, API + path, data, content_type=kind, headers=sent)

    def upload(self, upload: str, path: str, content: bytes, **headers: str) -> Any:
        headers.setdefault("X_Content_SHA256", hashlib.sha256(content).hexdigest())
        where = f"uploads/{upload}/files/{path}"
        return self("PUT", where, content, **{"Content_Type": "application/octet-stream", **headers})


def api_of(actor: Actor) -> Api:
    return Api(make.token(actor))


@pytest.fixture
def ci(requester: Actor) -> Api:
    return api_of(requester)


@pytest.fixture
def review(reviewer: Actor) -> Api:
    return api_of(reviewer)


@pytest.fixture
def admin(administrator: Actor) -> Api:
    return api_of(administrator)
