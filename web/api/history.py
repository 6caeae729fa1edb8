"""The past of a model: what held a stage or an alias when, and the evidence pack of a version."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from core import times
from registry import pack
from registry.history import Window, intervals, told
from registry.lifecycle import Stage
from registry.past import find_past_model
from registry.references import target_named
from web.api.bodies.history import IntervalBody
from web.api.paging import listed
from web.api.resource import Resource
from web.api.schema import PAGING, QUERY_TEXT, operation, paged, query
from web.files import attachment

_DAY_OR_MOMENT = {"type": "string", "pattern": QUERY_TEXT}


class ModelHistory(Resource):
    @operation(
        "List what held a stage or an alias, newest first",
        tag="Models",
        description="Each interval with the version, who promoted it, who approved, on which bytes, and what ended it. "
        "`from` and `until` leave those that touch the time between them: a day, such as 2026-07-01, is that whole day "
        "in UTC. A deleted model is shown to those who may read the whole workspace.",
        answers={200: paged(IntervalBody)},
        parameters=[
            query("target", {"type": "string", "pattern": QUERY_TEXT}, "A stage, Production by default, or @alias."),
            query("from", _DAY_OR_MOMENT, "A day in UTC, or a moment: RFC 3339 with a zone."),
            query("until", _DAY_OR_MOMENT, "The same; it belongs to the time asked for."),
            *PAGING,
        ],
    )
    def get(self, request: Request, name: str) -> Response:
        asked = request.query_params
        target = target_named(asked.get("target", Stage.PRODUCTION))
        window = Window(
            times.span("from", asked["from"])[0] if "from" in asked else None,
            times.span("until", asked["until"])[1] if "until" in asked else None,
        )
        rows = intervals(find_past_model(self.actor, name), target, window)
        return listed(request, self.actor, rows, IntervalBody, order=["-started_at", "-id"], dressed=told)


class VersionEvidence(Resource):
    @operation(
        "Download the evidence pack of a version",
        tag="Versions",
        description="A zip for auditors: its entries of the audit log, promotions with approvals and gates, policies, "
        "checks, manifest, lineage, and a page to read. For those who may read all of the model's audit log.",
        answers={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, name: str, number: str) -> HttpResponseBase:
        packed = pack.packed(self.actor, name, number)
        return attachment(packed.file, name=packed.name, size=packed.size, kind="application/zip")
