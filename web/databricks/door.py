"""What the endpoints of the Databricks door do otherwise than MLflow's, on whose door they build."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.actor import Actor
from web.mlflow import door
from web.mlflow.door import JsonView, View, encoded
from web.mlflow.wire import fields_of


def endpoint(**by_method: JsonView) -> Callable[..., HttpResponseBase]:
    """A Django view that authenticates the caller and answers with what the view of the request's method gives."""
    return door.endpoint(**{method: _json(view) for method, view in by_method.items()})


def _json(view: JsonView) -> View:
    """The SDK sends the fields of a DELETE in its query; who follows the documentation sends them in a body."""

    def answering(actor: Actor, request: HttpRequest, **captured: str) -> HttpResponse:
        return encoded(view(actor, fields_of(request, queried=("GET", "DELETE")), **captured))

    return answering
