"""Refusals as MLflow's error form: the one mapping of this door."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, JsonResponse

from accounts.services.tokens import BadToken, TokenExpired
from core.errors import Blocked, Conflict, Denied, Invalid, NotFound, Refusal, shown
from core.paging import BadPageSize
from core.text import BadName, BadPath
from lineage.errors import RunDeleted
from lineage.services.experiments import ExperimentDeleted, ExperimentExists, ExperimentNameTaken
from lineage.storage.blobs import StoreFails
from lineage.storage.store import NoDirectTransfers
from registry.errors import (
    AliasNotFound,
    BadVersionNumber,
    ModelExists,
    ModelNotFound,
    UnknownStage,
    VersionNotFound,
)
from web.auth import NoToken
from web.mlflow.details import details

log = structlog.get_logger()

# The first class that fits decides. Statuses and codes are those that the reference server gives: clients branch on
# them (a missing alias is 400 there). None is a 5xx: stock clients repeat those for minutes, POSTs too.
_ANSWERS: tuple[tuple[type[Refusal], int, str], ...] = (
    (NoToken, 401, "UNAUTHENTICATED"),
    (BadToken, 401, "UNAUTHENTICATED"),
    (TokenExpired, 401, "UNAUTHENTICATED"),
    (AliasNotFound, 400, "INVALID_PARAMETER_VALUE"),
    (ModelExists, 400, "RESOURCE_ALREADY_EXISTS"),
    (ExperimentExists, 400, "RESOURCE_ALREADY_EXISTS"),
    (ExperimentNameTaken, 400, "BAD_REQUEST"),
    (ExperimentDeleted, 400, "INVALID_PARAMETER_VALUE"),
    (RunDeleted, 400, "INVALID_PARAMETER_VALUE"),
    (NoDirectTransfers, 501, "NOT_IMPLEMENTED"),  # which clients do not repeat: they use the proxy then
    (NotFound, 404, "RESOURCE_DOES_NOT_EXIST"),
    (Denied, 403, "PERMISSION_DENIED"),
    (Blocked, 403, "PERMISSION_DENIED"),
    (Invalid, 400, "INVALID_PARAMETER_VALUE"),
    (Conflict, 409, "RESOURCE_CONFLICT"),
)
# What programs and people look for in the messages of the reference server, before ours.
_WORDS: dict[type[Refusal], str] = {
    BadPath: "Invalid path",
    ModelNotFound: "Registered Model with name={name} not found",
    ModelExists: "Registered Model (name={name}) already exists",
    VersionNotFound: "Model Version (name={name}, version={version}) not found",
    AliasNotFound: "Registered model alias {alias} not found",
    BadVersionNumber: "Parameter '{field}' must be an integer, got '{value}'",
    BadName: "Invalid model name '{value}'. Names cannot contain '/' or ':'",
    BadPageSize: "Invalid value {value} for parameter '{field}' supplied",
    UnknownStage: "Invalid Model Version stage: {value}. Value must be one of {known}",
}
# Lock not available, statement cancelled by its time limit, serialisation failure, deadlock: come again.
_BUSY = frozenset({"55P03", "57014", "40001", "40P01"})


def refused(request: HttpRequest, refusal: Refusal) -> JsonResponse:
    """The answer to a refusal; `reasons` and `page` are ours, and ignored by the stock clients."""
    status, code = next((status, code) for kind, status, code in _ANSWERS if isinstance(refusal, kind))
    more: dict[str, object] = {"details": list(details(refusal))}
    if refusal.reasons:
        more["reasons"] = list(refusal.reasons)
    if refusal.link:
        more["page"] = settings.VOUCH_URL + refusal.link
    response = answer(request, status, code, message_of(refusal), **more)
    if status == 401:
        response["WWW-Authenticate"] = 'Basic realm="vouch"'
    return response


def message_of(refusal: Refusal) -> str:
    """What a refusal says on this wire."""
    words = _WORDS.get(type(refusal))
    if words is None or (isinstance(refusal, BadName) and refusal.at_field not in ("name", "new_name")):
        return refusal.message
    if settings.VOUCH_CONFORMANCE and isinstance(refusal, BadPath):
        return words  # tests of clients compare it whole
    told = {name: shown(value) for name, value in refusal.context.items()}
    return f"{words.format(field=refusal.at_field, **told)}. {refusal.message}"


def busy(request: HttpRequest, error: OperationalError) -> JsonResponse | None:
    """The answer when the database made us wait too long; None when the error is of another kind."""
    if getattr(error.__cause__, "sqlstate", None) not in _BUSY:
        return None
    message = "Somebody else is changing the same thing, or the database is busy: try again in a second."
    response = answer(request, 503, "TEMPORARILY_UNAVAILABLE", message)
    response["Retry-After"] = "1"
    return response


def store_fails(request: HttpRequest, error: StoreFails) -> JsonResponse:
    """The answer when the bucket with the files does not answer."""
    log.error("the store of artifacts fails", error=error.strerror)
    message = "The store of the files does not answer just now: nothing was changed, repeat it in a moment."
    response = answer(request, 503, "TEMPORARILY_UNAVAILABLE", message)
    response["Retry-After"] = "2"
    return response


def wrong_method(request: HttpRequest, allowed: list[str]) -> JsonResponse:
    message = f"{request.method} is not possible here; use {' or '.join(allowed)}."
    response = answer(request, 405, "BAD_REQUEST", message)
    response["Allow"] = ", ".join(allowed)
    return response


def answer(request: HttpRequest, status: int, code: str, message: str, **more: object) -> JsonResponse:
    """An error in MLflow's form."""
    body: dict[str, object] = {"error_code": code, "message": message}
    if not settings.VOUCH_CONFORMANCE:  # tests of clients compare whole answers
        body |= {"request_id": getattr(request, "request_id", ""), **more}
    return JsonResponse(body, status=status)
