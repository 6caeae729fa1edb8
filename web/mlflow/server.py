"""What clients ask about the server itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.actor import Actor
from lineage.storage import store
from web.mlflow.door import encoded
from web.mlflow.errors import wrong_method

SPEAKS = "3.17.2"  # the release of MLflow whose wire this is


def health(request: HttpRequest) -> HttpResponse:
    """For probes, without a token."""
    return HttpResponse("OK", content_type="text/plain")


@csrf_exempt
def capabilities(request: HttpRequest) -> HttpResponse:
    """Without a token, as on the reference server: clients ask before they have read their credentials."""
    return encoded(_capabilities()) if request.method == "GET" else wrong_method(request, ["GET"])


def _capabilities() -> dict[str, Any]:
    direct = store.is_direct()
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": True,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": direct,
        "multipart_downloads_enabled": direct,
        "presigned_upload_run_id_supported": direct,
        "presigned_upload_model_id_supported": direct,
        "features_enabled": {},
    }


def version(actor: Actor, request: HttpRequest) -> HttpResponse:
    return HttpResponse(SPEAKS, content_type="text/plain")
