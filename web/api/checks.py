"""Checks: reporting them, and what was reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry import queries
from registry.lifecycle import State
from registry.outlook import outlooks
from registry.services import checks
from web.api import inputs
from web.api.bodies.checks import CheckBody, ReportedBody
from web.api.paging import listed
from web.api.resource import Resource
from web.api.schema import IDEMPOTENCY_KEY, PAGING, operation, paged, told

TAG = "Checks"
_REPORTING: dict[str, Any] = {
    "tag": TAG,
    "description": "The newest report of each name is the one that counts. When it is the last thing that an open "
    "promotion of the version lacks, that promotion is carried out; the answer says what became of those that have "
    "gates. The same report again is answered with the one that is there, as 200 with `Vouch-Repeated: true`.",
    "answers": {201: ReportedBody, 200: ReportedBody},
    "parameters": [
        IDEMPOTENCY_KEY,
        told("Location", "Every report of this check.", 200, 201),
        told("Vouch-Repeated", "`true`: the same was reported before.", 200),
    ],
    "fails": [409, 422],
}


class _Reporting(Resource):
    def reported(self, name: object, number: object, given: Mapping[str, Any]) -> Response:
        def report() -> tuple[int, Any]:
            made = checks.report(self.actor, name, number, **given)
            looks = outlooks([promotion for promotion in made.promotions if promotion.state == State.OPEN])
            shown = queries.check_history(made.check.version, made.check.name).get(pk=made.check.pk)
            body = ReportedBody(shown, context={"promotions": made.promotions, "outlooks": looks}).data
            return 200 if made.repeated else 201, body

        response = self.once(report)
        if response.status_code == 200:
            response["Vouch-Repeated"] = "true"
        return response


class Checks(_Reporting):
    @operation("Report a check on a version", takes=inputs.ReportOnVersion, **_REPORTING)
    def post(self, request: Request) -> Response:
        given = self.accepted(inputs.ReportOnVersion)
        return self.reported(given.pop("model"), given.pop("version"), given)


class VersionChecks(_Reporting):
    @operation(
        "List the checks on a version",
        tag=TAG,
        description="The newest report of each.",
        answers={200: paged(CheckBody)},
        parameters=PAGING,
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        version = queries.find_version(self.actor, name, number)
        return listed(request, self.actor, queries.checks(version), CheckBody, order=["name"])

    @operation("Report a check on this version", takes=inputs.Report, **_REPORTING)
    def post(self, request: Request, name: str, number: str) -> Response:
        return self.reported(name, number, self.accepted(inputs.Report))


class CheckHistory(Resource):
    @operation(
        "List every report of a check on a version, newest first",
        tag=TAG,
        answers={200: paged(CheckBody)},
        parameters=PAGING,
    )
    def get(self, request: Request, name: str, number: str, check: str) -> Response:
        version = queries.find_version(self.actor, name, number)
        return listed(request, self.actor, queries.check_history(version, check), CheckBody, order=["-id"])
