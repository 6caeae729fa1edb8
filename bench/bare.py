"""What the web server gives at best: a constant, without Django."""

from collections.abc import Callable
from typing import Any

_BODY = b'{"status":"ok"}'


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A WSGI application that answers a constant."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(_BODY)))])
    return [_BODY]
