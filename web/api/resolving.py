"""`GET /resolve`: what a model URI points at. The hot path: a plain view, two queries with the token's."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import orjson
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.views import APIView

from core import times
from core.errors import Invalid, Refusal
from registry.past import Then, resolve_at
from registry.queries import generation_of
from registry.references import parse
from registry.resolving import Resolved, resolve
from web import waiting
from web.api.authentication import WORKSPACE_HEADER
from web.api.bodies.resolving import ResolvedBody
from web.api.bodies.shared import url
from web.api.errors import problem
from web.api.resource import has, refuse_unknown
from web.api.schema import IF_NONE_MATCH, WAIT, operation, query, told
from web.auth import actor_of

URI = (
    r"^models:/[A-Za-z0-9][A-Za-z0-9 ._-]*(/([1-9][0-9]{0,8}|None|Staging|Production|Archived|latest)|@[A-Za-z0-9_-]+)$"
)
_KNOWN = frozenset({"uri", "at", "wait"})


class NothingToWaitFor(Invalid):
    """wait and at do not go together: the past does not change, so ask for it without wait."""

    field = "wait"


@csrf_exempt  # it reads no cookie; a POST is to be told that it is the wrong method
def resolve_uri(request: HttpRequest) -> HttpResponse:
    """Answer GET and HEAD; see `_InOpenAPI` for what is taken and given."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(str(request.method))
        return _answer(request)
    except MethodNotAllowed as error:
        response = problem(error, request)
        response["Allow"] = "GET, HEAD"
        return response
    except (Refusal, OperationalError) as error:
        return problem(error, request)


def _answer(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request, WORKSPACE_HEADER)
    refuse_unknown(request.GET, _KNOWN)
    uri = request.GET.get("uri", "")
    reference = parse(uri)
    if "at" in request.GET:
        return _answer_of_the_past(request, resolve_at(actor, reference, _moment(request)))
    at_most = waiting.seconds(request)
    found = resolve(actor, reference)
    if at_most and ("If-None-Match" not in request.headers or has(request, found.etag)):
        known = found
        waiting.until(actor, known.model_id, lambda: generation_of(known.model_id) != known.generation, at_most=at_most)
        # His token may have been revoked while he waited.
        found = resolve(actor_of(request, WORKSPACE_HEADER), reference)
    if has(request, found.etag):
        return _unchanged(found.etag)
    return _told(found.etag, orjson.dumps(_body(uri, found)))


def _moment(request: HttpRequest) -> datetime.datetime:
    if "wait" in request.GET:
        raise NothingToWaitFor
    return times.past("at", request.GET["at"])


def _answer_of_the_past(request: HttpRequest, then: Then) -> HttpResponse:
    """Its ETag is made of the answer, not of the generation, which moves while the past stays."""
    content = orjson.dumps(_body(request.GET.get("uri", ""), then.found, then))
    etag = f'"then.{hashlib.sha256(content).hexdigest()[:32]}"'
    return _unchanged(etag) if has(request, etag) else _told(etag, content)


def _unchanged(etag: str) -> HttpResponse:
    return HttpResponse(status=304, headers=_headers(etag))


def _told(etag: str, content: bytes) -> HttpResponse:
    headers = {**_headers(etag), "Content-Length": str(len(content))}
    return HttpResponse(content, headers=headers, content_type="application/json")


def _headers(etag: str) -> dict[str, str]:
    return {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}


def _body(uri: str, found: Resolved, then: Then | None = None) -> dict[str, Any]:
    """In the form of `ResolvedBody`; orjson writes times as RFC 3339 and UUIDs as text."""
    deleted = bool(then and then.deleted)
    here = url("models", found.name, "versions", found.version, "files") if found.manifest else found.source
    promotion = {
        "id": found.promotion_id,
        "target": found.promotion_target,
        "promoted_at": found.promoted_at,
        "promoted_by": found.promoted_by,
        "approved_by": found.approved_by,
        "bypass": found.bypass,
        "rollback": found.rollback,
        "entry_hash": found.entry_hash,
    }
    return {
        "uri": uri,
        "at": then.at if then else None,
        "deleted": deleted,
        "model": found.name,
        "version": found.version,
        "stage": found.stage,
        "artifact_uri": None if deleted else here,
        "source": found.source,
        "manifest": found.manifest,
        "size": found.size,
        "files": found.files,
        "run_id": found.run,
        "registered_at": found.registered_at,
        "promotion": promotion if found.promotion_id else None,
        "generation": found.generation,
    }


class _InOpenAPI(APIView):
    """Never run: the OpenAPI document finds here what the plain view does."""

    @operation(
        "Resolve a model URI",
        tag="Serving",
        description="`models:/NAME/Production`, `models:/NAME/7`, `models:/NAME@alias` or `models:/NAME/latest`. With "
        "`wait` the call blocks until the generation of the model moves (with If-None-Match: from the one named "
        "there), or the time is over. With `at` it answers what the URI pointed at then: at the very moment of a "
        "change the new version; a version or model that was deleted since is marked `deleted`.",
        answers={200: ResolvedBody, 304: None},
        parameters=[
            query("uri", {"type": "string", "pattern": URI}, "The model URI.", required=True),
            query("at", {"type": "string", "format": "date-time"}, "A moment of the past, RFC 3339 with a zone."),
            WAIT,
            IF_NONE_MATCH,
            told(
                "ETag", "Moves with every change of what the model's URIs point at; with `at`, of the answer.", 200, 304
            ),
        ],
        fails=[429],
    )
    def get(self, request: HttpRequest) -> None:
        raise NotImplementedError


# How drf-spectacular knows the views that it describes.
resolve_uri.cls = _InOpenAPI  # type: ignore[attr-defined]
resolve_uri.initkwargs = {}  # type: ignore[attr-defined]
