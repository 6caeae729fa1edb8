"""The endpoints of the Databricks door that MLflow's does not have: those are the same on both wires."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path

from web.databricks import artifacts, comments, dbfs, people, permissions, registry, webhooks
from web.mlflow import door
from web.mlflow.door import JsonView, encoded, guarded, json


def configuration(request: HttpRequest) -> HttpResponse:
    """What the SDK asks before each session, without a token: nothing here differs from what it assumes."""
    return encoded({})


def endpoint(**by_method: JsonView) -> Callable[..., HttpResponseBase]:
    """A Django view that authenticates the caller and answers with what the view of the request's method gives."""
    return door.endpoint(**{method: json(view) for method, view in by_method.items()})


_ENDPOINTS: dict[str, Callable[..., HttpResponseBase]] = {
    "transition-requests/create": endpoint(POST=registry.create_request),
    "transition-requests/list": endpoint(GET=registry.list_requests),
    "transition-requests/approve": endpoint(POST=registry.approve_request),
    "transition-requests/reject": endpoint(POST=registry.reject_request),
    "transition-requests/delete": endpoint(DELETE=registry.delete_request),
    "comments/create": endpoint(POST=comments.create),
    "comments/update": endpoint(PATCH=comments.update),
    "comments/delete": endpoint(DELETE=comments.delete),
    "registered-models/list": endpoint(GET=registry.list_models),
    "databricks/registered-models/get": endpoint(GET=registry.get_model),
    "databricks/model-versions/get": endpoint(GET=registry.get_version),
    "registry-webhooks/create": endpoint(POST=webhooks.create),
    "registry-webhooks/list": endpoint(GET=webhooks.search),
    "registry-webhooks/update": endpoint(PATCH=webhooks.update),
    "registry-webhooks/delete": endpoint(DELETE=webhooks.delete),
    "registry-webhooks/test": endpoint(POST=webhooks.test),
    "model-versions/list-artifacts": endpoint(GET=artifacts.list_files),
    "model-versions/get-signed-download-uri": endpoint(GET=artifacts.signed_uri),
    "databricks/model-versions/transition-stage": endpoint(POST=registry.transition_stage),
    "model-versions/get-activities": endpoint(GET=registry.get_activities),
}
# What Databricks has beside MLflow's part of its API.
_BESIDE: dict[str, Callable[..., HttpResponseBase]] = {
    "permissions/registered-models/<str:model_id>": endpoint(
        GET=permissions.show, PUT=permissions.replace, PATCH=permissions.change
    ),
    "permissions/registered-models/<str:model_id>/permissionLevels": endpoint(GET=permissions.levels),
    "preview/scim/v2/Me": door.endpoint(GET=people.me),
    "dbfs/list": endpoint(GET=dbfs.show),
}

urlpatterns: list[URLPattern] = [
    path(".well-known/databricks-config", configuration),
    path("dbfs/<path:path>", door.endpoint(POST=dbfs.put)),
    path(f"{artifacts.SIGNED}/<str:secret>/<str:name>", guarded(artifacts.get_signed)),
    *(path(f"api/2.0/mlflow/{route}", view) for route, view in _ENDPOINTS.items()),
    *(path(f"api/2.0/{route}", view) for route, view in _BESIDE.items()),
]
