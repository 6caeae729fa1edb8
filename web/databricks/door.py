"""What the endpoints of the Databricks door do otherwise than MLflow's, on whose door they build."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponseBase

from web.mlflow import door
from web.mlflow.door import JsonView, json


def endpoint(**by_method: JsonView) -> Callable[..., HttpResponseBase]:
    """A Django view that authenticates the caller and answers with what the view of the request's method gives."""
    return door.endpoint(**{method: json(view) for method, view in by_method.items()})
