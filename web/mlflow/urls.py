"""The endpoints of the MLflow door. Every other path below its prefixes is a 404 in MLflow's form (`web.errors`)."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponseBase
from django.urls import URLPattern, path, re_path, register_converter

from web.mlflow import (
    artifacts,
    experiments,
    logged_models,
    metrics,
    registry,
    runs,
    server,
    transfers,
    versions,
    webhooks,
    workspaces,
)
from web.mlflow.door import bare, endpoint, json


class AnyPath:
    """Also what cannot be a path, line ends for one, so that the answer says what is wrong with it."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(AnyPath, "any")

# Python, Java and R clients; and the browser-side twin, which some client calls use as well.
_PREFIXES = ("api", "ajax-api")

_ENDPOINTS: dict[str, Callable[..., HttpResponseBase]] = {
    "mlflow/registered-models/create": endpoint(POST=json(registry.create_model)),
    "mlflow/registered-models/rename": endpoint(POST=json(registry.rename_model)),
    "mlflow/registered-models/update": endpoint(PATCH=json(registry.update_model)),
    "mlflow/registered-models/delete": endpoint(DELETE=json(registry.delete_model)),
    "mlflow/registered-models/get": endpoint(GET=json(registry.get_model)),
    "mlflow/registered-models/search": endpoint(GET=json(registry.search_models)),
    "mlflow/registered-models/get-latest-versions": endpoint(
        POST=json(registry.latest_versions), GET=json(registry.latest_versions)
    ),
    "mlflow/registered-models/set-tag": endpoint(POST=json(registry.set_tag)),
    "mlflow/registered-models/delete-tag": endpoint(DELETE=json(registry.delete_tag)),
    "mlflow/registered-models/alias": endpoint(
        GET=json(registry.get_alias), POST=json(registry.set_alias), DELETE=json(registry.delete_alias)
    ),
    "mlflow/model-versions/create": endpoint(POST=versions.create),
    "mlflow/model-versions/update": endpoint(PATCH=json(versions.update)),
    "mlflow/model-versions/delete": endpoint(DELETE=json(versions.delete)),
    "mlflow/model-versions/get": endpoint(GET=json(versions.get)),
    "mlflow/model-versions/search": endpoint(GET=json(versions.search)),
    "mlflow/model-versions/set-tag": endpoint(POST=json(versions.set_tag)),
    "mlflow/model-versions/delete-tag": endpoint(DELETE=json(versions.delete_tag)),
    "mlflow/model-versions/transition-stage": endpoint(POST=json(versions.transition_stage)),
    "mlflow/model-versions/get-download-uri": endpoint(GET=json(versions.download_uri)),
    "mlflow/webhooks": endpoint(POST=json(webhooks.create), GET=json(webhooks.search)),
    "mlflow/webhooks/<str:webhook_id>": endpoint(
        GET=bare(webhooks.get), PATCH=json(webhooks.update), DELETE=bare(webhooks.delete)
    ),
    "mlflow/webhooks/<str:webhook_id>/test": endpoint(POST=json(webhooks.test)),
    "mlflow/experiments/create": endpoint(POST=experiments.create),
    "mlflow/experiments/get": endpoint(GET=json(experiments.get)),
    "mlflow/experiments/get-by-name": endpoint(GET=json(experiments.get_by_name)),
    "mlflow/experiments/search": endpoint(POST=json(experiments.search), GET=json(experiments.search)),
    "mlflow/experiments/update": endpoint(POST=json(experiments.rename)),
    "mlflow/experiments/delete": endpoint(POST=json(experiments.delete)),
    "mlflow/experiments/restore": endpoint(POST=json(experiments.restore)),
    "mlflow/experiments/set-experiment-tag": endpoint(POST=json(experiments.set_tag)),
    "mlflow/experiments/delete-experiment-tag": endpoint(POST=json(experiments.delete_tag)),
    "mlflow/runs/create": endpoint(POST=runs.create),
    "mlflow/runs/get": endpoint(GET=json(runs.get)),
    "mlflow/runs/search": endpoint(POST=json(runs.search)),
    "mlflow/runs/update": endpoint(POST=json(runs.update)),
    "mlflow/runs/delete": endpoint(POST=json(runs.delete)),
    "mlflow/runs/restore": endpoint(POST=json(runs.restore)),
    "mlflow/runs/log-metric": endpoint(POST=json(metrics.log)),
    "mlflow/runs/log-parameter": endpoint(POST=json(runs.log_param)),
    "mlflow/runs/set-tag": endpoint(POST=json(runs.set_tag)),
    "mlflow/runs/delete-tag": endpoint(POST=json(runs.delete_tag)),
    "mlflow/runs/log-batch": endpoint(POST=json(metrics.log_batch)),
    "mlflow/runs/log-inputs": endpoint(POST=json(runs.log_inputs)),
    "mlflow/runs/outputs": endpoint(POST=json(runs.log_outputs)),
    "mlflow/runs/log-model": endpoint(POST=json(runs.log_model)),
    "mlflow/metrics/get-history": endpoint(GET=json(metrics.history)),
    "mlflow/metrics/get-history-bulk-interval": endpoint(GET=json(metrics.samples)),
    "mlflow/artifacts/list": endpoint(GET=json(artifacts.list_run)),
    "mlflow/artifacts/presigned-upload-url": endpoint(POST=json(transfers.upload_url)),
    "mlflow/artifacts/presigned-download-url": endpoint(POST=json(transfers.download_url)),
    "mlflow/upload-artifact": endpoint(POST=artifacts.put_by_page),
    "mlflow/logged-models": endpoint(POST=json(logged_models.create)),
    "mlflow/logged-models/search": endpoint(POST=json(logged_models.search)),
    "mlflow/logged-models/<str:model_id>": endpoint(
        GET=json(logged_models.get), PATCH=json(logged_models.finalise), DELETE=bare(logged_models.delete)
    ),
    "mlflow/logged-models/<str:model_id>/params": endpoint(POST=json(logged_models.log_params)),
    "mlflow/logged-models/<str:model_id>/tags": endpoint(PATCH=json(logged_models.set_tags)),
    "mlflow/logged-models/<str:model_id>/tags/<any:key>": endpoint(DELETE=bare(logged_models.delete_tag)),
    "mlflow/logged-models/<str:model_id>/artifacts/directories": endpoint(GET=json(artifacts.list_logged_model)),
    "mlflow/logged-models/<str:model_id>/artifacts/files": endpoint(GET=artifacts.get_of_logged_model),
    "mlflow-artifacts/artifacts": endpoint(GET=json(artifacts.list_proxied)),
    "mlflow-artifacts/artifacts/<any:path>": endpoint(GET=artifacts.get, PUT=artifacts.put, DELETE=artifacts.delete),
    "mlflow-artifacts/mpu/create/<any:path>": endpoint(POST=json(transfers.create)),
    "mlflow-artifacts/mpu/complete/<any:path>": endpoint(POST=json(transfers.complete)),
    "mlflow-artifacts/mpu/abort/<any:path>": endpoint(POST=json(transfers.abort)),
    "mlflow-artifacts/presigned/<any:path>": endpoint(GET=json(transfers.presigned)),
}

# Of the third version of the wire.
_LATER: dict[str, Callable[..., HttpResponseBase]] = {
    "mlflow/server-info": server.capabilities,
    "mlflow/workspaces": endpoint(GET=json(workspaces.list_own), POST=workspaces.change),
    "mlflow/workspaces/<str:name>": endpoint(
        GET=json(workspaces.get), PATCH=workspaces.change, DELETE=workspaces.change
    ),
}

# What only the reference server's own pages call.
_AJAX_ENDPOINTS: dict[str, Callable[..., HttpResponseBase]] = {
    "mlflow/experiments/search-datasets": endpoint(POST=json(experiments.search_datasets)),
    "mlflow/metrics/get-history-bulk": endpoint(GET=json(metrics.histories_of_runs)),
}

urlpatterns: list[URLPattern] = [
    path("health", server.health),
    path("version", endpoint(GET=server.version)),
    path("get-artifact", endpoint(GET=artifacts.get_of_run)),
    # Also with the slash that callers put twice behind a host.
    re_path("^(?:/)?model-versions/get-artifact$", endpoint(GET=artifacts.get_of_version)),
    *(path(f"{prefix}/2.0/{route}", view) for prefix in _PREFIXES for route, view in _ENDPOINTS.items()),
    *(path(f"{prefix}/3.0/{route}", view) for prefix in _PREFIXES for route, view in _LATER.items()),
    *(path(f"ajax-api/2.0/{route}", view) for route, view in _AJAX_ENDPOINTS.items()),
]
