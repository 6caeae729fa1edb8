"""Middleware: a request id for every request; sessions for pages only."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable

import structlog
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.deprecation import MiddlewareMixin

from web import errors

Answer = Callable[[HttpRequest], HttpResponse]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Token doors: they know no cookies, and need none of what pages need.
_TOKEN_DOORS = ("/api/", "/ajax-api/", "/.well-known/", "/dbfs/")
_PROBES = frozenset({"/health", "/version", "/livez", "/readyz"})


class RequestId:
    """Names each request: as its caller did with `X-Request-ID`, or anew; logs and answers carry the name."""

    def __init__(self, get_response: Answer):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        name = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        request.request_id = name  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=name)
        response = self.get_response(request)
        response["X-Request-ID"] = name
        return response


class Worded:
    """Gives a page to the refusals of a method, which Django answers with nothing; the token doors word their own."""

    def __init__(self, get_response: Answer):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content and errors.is_page(request):
            return errors.not_allowed(request, response)
        return response


class _PagesOnly(MiddlewareMixin):
    """Steps aside at the token doors."""

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponseBase]:
        if request.path_info.startswith(_TOKEN_DOORS) or request.path_info in _PROBES:
            return self.get_response(request)  # type: ignore[return-value]
        return super().__call__(request)  # type: ignore[return-value]


class Sessions(_PagesOnly, SessionMiddleware):
    pass


class Csrf(_PagesOnly, CsrfViewMiddleware):
    """Django's check of unsafe requests. The views of the token doors are exempt: they read no cookie."""


class SignIn(_PagesOnly, AuthenticationMiddleware):
    pass


class Messages(_PagesOnly, MessageMiddleware):
    pass
