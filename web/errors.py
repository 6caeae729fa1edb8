"""Answers for what no door caught: unknown paths, bad requests, CSRF failures, our own mistakes.

Each speaks the language of the path: MLflow's error form, problem+json, or a page.
"""

from __future__ import annotations

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

log = structlog.get_logger()

_MLFLOW_PATHS = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/dbfs/")
_CODES = {400: "bad-request", 403: "forbidden", 404: "not-found", 500: "internal-error"}
_MLFLOW_CODES = {400: "BAD_REQUEST", 403: "PERMISSION_DENIED", 404: "ENDPOINT_NOT_FOUND", 500: "INTERNAL_ERROR"}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, 400, "The request cannot be read", "It is malformed, or names a host we do not serve.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 403, "This is not allowed", "Ask a maintainer of the workspace for the role that it needs.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(
        request, 403, "The form has expired", "Go back, reload the page and send it again. Cookies must be allowed."
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 404, "There is nothing here", f"No page or endpoint answers {request.method} at this path.")


def server_error(request: HttpRequest) -> HttpResponse:
    return answer(
        request, 500, "Something went wrong on our side", "It has been logged; tell an operator the request id."
    )


def answer(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    """An error in the language of the request's path."""
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
    context = {"status": status, "title": title, "detail": detail, "request_id": request_id}
    return render(request, "error.html", context, status=status)
