"""What all views of this door share: who calls, what is accepted, preconditions, repetition."""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Callable
from typing import Any, cast

from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actor import Actor
from accounts.services import idempotency
from core import text
from core.canonical import canonical_json, digest
from core.errors import Invalid, NotFound
from registry.errors import Stale
from registry.models import Model, Policy, Version, Webhook

_PROMISED = "Idempotency-Key"
QUERY_LIMIT = 4000  # characters of one parameter


class UnknownParameter(Invalid):
    """There is no query parameter {name!r} here; there {are}."""


class EmptyParameter(Invalid):
    """The query parameter {name!r} is empty: give it a value, or leave it out."""


class NothingThere(NotFound):
    """Nothing has such a name: it holds the character {character}."""


class LengthMissing(APIException):
    status_code = 411
    default_detail = "Length required"
    default_code = "length-required"


class Resource(APIView):
    """A view that takes a token, refuses query parameters it does not know, and honours If-None-Match."""

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        for value in kwargs.values():
            for character in value:
                if unicodedata.category(character) in ("Cc", "Cs"):
                    raise NothingThere(character=f"U+{ord(character):04X}")
        if view := getattr(self, str(request.method).lower(), None):
            refuse_unknown(request.query_params, getattr(view, "query", frozenset()))

    @property
    def actor(self) -> Actor:
        """Who calls."""
        return cast(Actor, self.request.auth)

    def accepted(self, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """The body of the request in this form; ValidationError and what the parser raises."""
        if "chunked" in self.request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            raise LengthMissing("Send the body with a Content-Length.")
        read = form(data=self.request.data)
        read.is_valid(raise_exception=True)
        return cast(dict[str, Any], read.validated_data)

    def once(self, act: Callable[[], tuple[int, Any]]) -> Response:
        """The answer of `act`, (status, JSON body): the remembered one when the request carries a known key."""
        key = self.request.headers.get(_PROMISED)
        if key is None:
            return self._made(*act())
        asked = {
            "method": self.request.method,
            "path": self.request.path,
            "workspace": self.actor.workspace_id,
            "body": self.request.data,
        }
        status, body, replayed = idempotency.once(self.actor, key, asked, act)
        # The store keeps no order of keys: in a fixed one the two answers are the same to the byte.
        response = self._made(status, json.loads(canonical_json(body)))
        if replayed:
            response["Idempotency-Replayed"] = "true"
        return response

    def remembered(self) -> bool:
        """Whether `once` is going to give an answer that it remembers."""
        key = self.request.headers.get(_PROMISED)
        return key is not None and idempotency.answered(self.actor, key)

    @staticmethod
    def _made(status: int, body: Any) -> Response:
        return Response(body, status, headers={"Location": body["url"]})

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(final, ["Authorization"])
        if request.method in ("GET", "HEAD") and final.status_code == 200 and has(request, final.get("ETag", "")):
            unchanged = Response(status=304, headers={"ETag": final["ETag"]})
            return super().finalize_response(request, unchanged, *args, **kwargs)
        return final


def refuse_unknown(sent: Any, known: frozenset[str]) -> None:
    """Refuse what no parameter may be: an unknown one (a misspelt filter would show everything), empty, control text.

    Raises UnknownParameter, EmptyParameter, BadCharacter, TooLong.
    """
    for name in sent:
        if name not in known:
            are = "are " + ", ".join(sorted(known)) if known else "is none"
            raise UnknownParameter(field=name if name.isidentifier() else "query", name=name, are=are)
        if sent[name] == "":
            raise EmptyParameter(field=name, name=name)
        text.free_text(name, sent[name], limit=QUERY_LIMIT, lines=False)


def has(request: Any, etag: str) -> bool:
    """Whether the caller has the state named by `etag` already (If-None-Match, RFC 9110 section 13.1.2)."""
    sent = request.headers.get("If-None-Match", "")
    return bool(etag and sent) and (
        sent.strip() == "*" or etag in [tag.removeprefix("W/") for tag in parse_etags(sent)]
    )


def etag_of(row: Model | Policy | Version | Webhook) -> str:
    """Moves with each edit, and with what is found out about a version's files or a webhook's receiver; holds the id,
    as a name can be used again."""
    if isinstance(row, Version) and row.manifest:
        found = (row.manifest.inspected is None, str(row.manifest.verified_at), row.manifest.damage)
        return f'"{_edit(row)}.{digest(found)[:12]}"'
    if isinstance(row, Webhook):
        state = (row.failures, str(row.failing_since), str(row.rests_until))
        return f'"{_edit(row)}.{digest(state)[:12]}"'
    return f'"{_edit(row)}"'


def _edit(row: Model | Policy | Version | Webhook) -> str:
    return f"{row.id.hex}.{row.revision}"


def expected_revision(request: Request, find: Callable[[], Model | Policy | Version | Webhook]) -> int | None:
    """The revision that If-Match asks for, None when the request has none; Stale when it names another row.

    `find` gives the row as it is now; the service compares the revision once it holds the lock.
    """
    sent = request.headers.get("If-Match")
    if sent is None or sent.strip() == "*":
        return None
    row = find()
    # Nobody's edit is lost when only more was found out about the files, or a send has failed.
    if _edit(row) not in {".".join(tag.strip('"').split(".")[:2]) for tag in parse_etags(sent)}:
        raise Stale
    return row.revision


def digest_etag(body: Any) -> str:
    """An ETag of an answer that has no revision of its own."""
    return f'"{digest(body)[:32]}"'


def as_id(value: str, missing: Exception) -> uuid.UUID:
    """The id in a path; what is none raises `missing`, as an unknown one would."""
    try:
        return uuid.UUID(value)
    except ValueError:
        raise missing from None
