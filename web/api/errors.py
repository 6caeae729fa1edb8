"""Refusals as this door tells them: problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from accounts.services.idempotency import KeyUsedForAnother
from accounts.services.tokens import BadToken, TokenExpired
from core.errors import Blocked, Conflict, Denied, Invalid, NotFound, Refusal
from lineage.storage.blobs import StoreFails
from registry.errors import Stale
from web.api.parsing import BodyTooLarge
from web.auth import NoToken
from web.waiting import NoPlace

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

# The first that fits counts: named refusals before their kinds.
_STATUS: list[tuple[type[Refusal], int, str]] = [
    (NoToken, 401, "No token"),
    (BadToken, 401, "The token is not valid"),
    (TokenExpired, 401, "The token has expired"),
    (Stale, 412, "It has changed"),
    (KeyUsedForAnother, 422, "The key was used for another request"),
    (BodyTooLarge, 413, "The body is too large"),
    (NoPlace, 429, "Too many calls are waiting"),
    (NotFound, 404, "Not found"),
    (Denied, 403, "Not allowed"),
    (Invalid, 400, "The input is wrong"),
    (Blocked, 409, "A rule says no"),
    (Conflict, 409, "The present state does not allow this"),
]
# PostgreSQL's names for: somebody else holds the lock; it took too long; repeat the transaction; deadlock.
_PASSING = frozenset({"55P03", "57014", "40001", "40P01"})


class WrongField(Invalid):
    """{field}: {why}"""


class Malformed(Invalid):
    """{why}"""


class Busy(Conflict):
    """Somebody else is changing the same thing, or the database is busy: nothing was changed, repeat it."""


class StoreGone(Conflict):
    """The store of the files does not answer just now: nothing was changed, repeat it in a moment."""


class DatabaseGone(Conflict):
    """The database does not answer just now: repeat it in a moment."""


def answer(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """REST framework's exception handler; None for what is our own mistake, which then becomes a 500 without text."""
    told = told_as(error, context["request"]._request)
    return None if told is None else Response(told[1], told[0], headers=told[2], content_type=MEDIA_TYPE)


def problem(error: Exception, request: HttpRequest) -> HttpResponse:
    """The same for a view outside REST framework; raises `error` again when it is our own mistake."""
    told = told_as(error, request)
    if told is None:
        raise error
    status, body, headers = told
    return HttpResponse(orjson.dumps(body), status=status, headers=headers, content_type=MEDIA_TYPE)


def told_as(error: Exception, request: HttpRequest) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    """Status, body and headers for `error`; None when it is not one that a caller is told about."""
    if isinstance(error, RequestDataTooBig):
        error = BodyTooLarge(limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    if isinstance(error, exceptions.ValidationError):
        error = _wrong_field(error.detail)
    if isinstance(error, Refusal):
        status, title = next((status, title) for kind, status, title in _STATUS if isinstance(error, kind))
        return status, _body(request, status, title, error), _headers(status)
    if isinstance(error, exceptions.APIException):
        named = Malformed(why=str(error.detail))
        code = str(error.get_codes()).replace("_", "-")
        return error.status_code, _body(request, error.status_code, str(error.default_detail), named, code=code), {}
    if isinstance(error, OperationalError):
        busy = getattr(error.__cause__, "sqlstate", None) in _PASSING
        why = Busy() if busy else DatabaseGone()
        return 503, _body(request, 503, "Try again in a second", why), {"Retry-After": "1"}
    if isinstance(error, StoreFails):
        log.error("the store of artifacts fails", error=error.strerror)
        return 503, _body(request, 503, "Try again in a moment", StoreGone()), {"Retry-After": "2"}
    return None


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="Vouch"'}
    return {"Retry-After": "1"} if status == 429 else {}


def _body(request: HttpRequest, status: int, title: str, error: Refusal, *, code: str = "") -> dict[str, Any]:
    code = code or error.code
    body: dict[str, Any] = {
        "type": f"urn:vouch:problem:{code}",
        "title": title,
        "status": status,
        "detail": error.message,
        "code": code,
        "instance": request.path,
        "request_id": getattr(request, "request_id", ""),
    }
    if error.at_field:
        body["field"] = error.at_field
    if error.reasons:
        body["reasons"] = list(error.reasons)
    if error.link:
        body["link"] = settings.VOUCH_URL + error.link
    return body


def _wrong_field(detail: Any, path: str = "") -> WrongField:
    """The first fault that a serializer or a filter found."""
    if isinstance(detail, Mapping):
        name, inner = next(iter(detail.items()))
        if name == "non_field_errors":
            return _wrong_field(inner, path)
        return _wrong_field(inner, f"{path}.{name}" if path else str(name))
    if isinstance(detail, list):
        return _wrong_field(next(item for item in detail if item), path)
    return WrongField(field=path or "body", why=str(detail))
