"""Where a version came from and what was done: runs and the audit trail."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from lineage.queries import whole_run
from registry import queries
from web.api.bodies import EntryBody, RunBody
from web.api.paging import listed
from web.api.resource import Resource
from web.api.schema import PAGING, QUERY_TEXT, operation, paged, query


class Audit(Resource):
    @operation(
        "List audit entries, newest first",
        tag="Audit",
        description="Of a model that you can see: all of it for maintainers, what you did yourself for others. Without "
        "`model` of the whole workspace, for maintainers.",
        answers={200: paged(EntryBody)},
        parameters=[
            *PAGING,
            query("model", {"type": "string", "maxLength": 255, "pattern": QUERY_TEXT}, "The name of a model."),
        ],
    )
    def get(self, request: Request) -> Response:
        rows = queries.audit_trail(self.actor, request.query_params.get("model", ""))
        return listed(request, self.actor, rows, EntryBody, order=["-id"])


class OneRun(Resource):
    @operation("Show a run", tag="Runs", answers={200: RunBody})
    def get(self, request: Request, run_id: str) -> Response:
        return Response(RunBody(whole_run(self.actor, run_id)).data)
