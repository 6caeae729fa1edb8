"""Answers for what no door caught: unknown paths, bad requests, CSRF failures, our own mistakes.

Each speaks the language of the path: MLflow's error form, problem+json, or a page.
"""

from __future__ import annotations

import sys

import structlog
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import REASON_NO_CSRF_COOKIE
from django.shortcuts import render

log = structlog.get_logger()

_MLFLOW_PATHS = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/dbfs/")
_TOKEN_DOORS = (*_MLFLOW_PATHS, "/api/", "/.well-known/")
_CODES = {400: "bad-request", 403: "forbidden", 404: "not-found", 500: "internal-error"}
_MLFLOW_CODES = {400: "BAD_REQUEST", 403: "PERMISSION_DENIED", 404: "ENDPOINT_NOT_FOUND", 500: "INTERNAL_ERROR"}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent) and is_page(request):
        detail = "What was sent is larger than a form may be. Go back and shorten it; files are uploaded by a client."
        return answer(request, 413, "This is too much at once", detail)
    return answer(request, 400, "The request cannot be read", "It is malformed, or names a host we do not serve.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 403, "This is not allowed", "Ask a maintainer of the workspace for the role that it needs.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if reason == REASON_NO_CSRF_COOKIE:
        title, detail = (
            "Your browser sent no cookie",
            "Allow cookies for this address, open the page again and repeat it.",
        )
    else:
        title = "The form has expired"
        detail = (
            "You may have signed in or out since you opened it. Nothing was changed: open the page again and repeat it."
        )
    return answer(request, 403, title, detail, again=True)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 404, "There is nothing here", f"No page or endpoint answers {request.method} at this path.")


def not_allowed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The page for a path that is not asked for in this way; `response` names the ways there are."""
    readable = "GET" in response["Allow"]
    what = "Open it as a page instead." if readable else "It is where a form is sent to: open the page with the form."
    detail = f"Nothing answers {request.method} here. {what}"
    page = answer(request, 405, "This is not how it is asked for", detail, again=readable)
    page["Allow"] = response["Allow"]
    return page


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the database is out of reach. Looks nothing up: what failed may fail again."""
    if isinstance(sys.exc_info()[1], OperationalError) and is_page(request):
        page = answer(
            request,
            503,
            "The database is out of reach",
            "Nothing was changed. Try again in a moment; if it stays like this, tell an operator the request id.",
            again=request.method == "GET",
        )
        page["Retry-After"] = "5"
        return page
    return answer(
        request, 500, "Something went wrong on our side", "It has been logged; tell an operator the request id."
    )


def is_page(request: HttpRequest) -> bool:
    """Whether the path is one for people."""
    return not request.path_info.startswith(_TOKEN_DOORS)


def answer(request: HttpRequest, status: int, title: str, detail: str, *, again: bool = False) -> HttpResponse:
    """An error in the language of the request's path; `again`: its page offers to open the path anew."""
    request_id = getattr(request, "request_id", "")
    if request.path_info.startswith(_MLFLOW_PATHS):
        body = {"error_code": _MLFLOW_CODES[status], "message": f"{title}. {detail}", "request_id": request_id}
        return JsonResponse(body, status=status)
    if request.path_info.startswith("/api/"):
        problem = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "code": _CODES[status],
            "instance": request.path,
            "request_id": request_id,
        }
        return JsonResponse(problem, status=status, content_type="application/problem+json")
    context = {"status": status, "title": title, "detail": detail, "request_id": request_id, "again": again}
    return render(request, "error.html", context, status=status)
