"""Probes: `/livez` says that the process answers, `/readyz` that it can do its work."""

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

_migrated = False


def livez(request: HttpRequest) -> HttpResponse:
    """200 `OK` as long as the process answers; touches nothing else."""
    return HttpResponse("OK", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers and its schema is the one this code expects, 503 otherwise.

    The broker is left out on purpose: promotions go on without it, so a web process is ready without it.
    """
    try:
        problem = _problem()
    except Error:
        problem = "the database does not answer"
    if problem:
        return JsonResponse({"status": "unavailable", "reason": problem}, status=503, headers={"Retry-After": "2"})
    return JsonResponse({"status": "ready"})


def _problem() -> str | None:
    global _migrated
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if not _migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "migrations are outstanding: run manage.py migrate"
        _migrated = True
    return None
