"""Refusals as pages: the one mapping of this door."""

from __future__ import annotations

import structlog
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse

from core.errors import Blocked, Conflict, Denied, Invalid, NotFound, Refusal
from lineage.storage.blobs import StoreFails
from web.errors import answer

log = structlog.get_logger()

_PAGES: dict[type[Refusal], tuple[int, str]] = {
    NotFound: (404, "There is nothing here"),
    Denied: (403, "You may not do this"),
    Invalid: (400, "This cannot be read"),
    Conflict: (409, "This is not possible now"),
    Blocked: (409, "A rule says no"),
}
# PostgreSQL gave up waiting, or undid one of two transactions that met: the same request may succeed in a moment.
_PASSING = {"55P03", "57014", "40001", "40P01"}


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    return _kind(refusal)[0]


def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """The refusal as a page of its own, for what is not the input of a form."""
    status, title = _kind(refusal)
    return answer(request, status, title, refusal.message)


def nowhere(request: HttpRequest) -> HttpResponse:
    """The page for somebody who is signed in and holds no role anywhere."""
    detail = f"{request.user} holds no role in any workspace yet. Ask a maintainer of yours to give you one."
    return answer(request, 403, "There is nothing for you to see yet", detail)


def unavailable(request: HttpRequest, error: OperationalError) -> HttpResponse:
    """503 for a lock or statement that took too long; anything else is raised again."""
    if getattr(error.__cause__, "sqlstate", None) not in _PASSING:
        raise error
    log.warning("the database was busy", path=request.path_info, error=str(error))
    response = answer(request, 503, "Too much is going on", "The database was busy. Try again in a moment.")
    response["Retry-After"] = "1"
    return response


def store_fails(request: HttpRequest, error: StoreFails) -> HttpResponse:
    """503 for a file that the bucket does not give."""
    log.error("the store of artifacts fails", path=request.path_info, error=error.strerror)
    response = answer(request, 503, "The files are out of reach", "Their store does not answer. Try again in a moment.")
    response["Retry-After"] = "2"
    return response


def _kind(refusal: Refusal) -> tuple[int, str]:
    return next(page for kind, page in _PAGES.items() if isinstance(refusal, kind))
