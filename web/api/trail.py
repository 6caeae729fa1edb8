"""Where a version came from and what was done: runs and the audit trail."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.export import Format
from accounts.verbs import Verb
from core import text
from lineage.queries import whole_run
from registry import queries
from registry.services import audits
from web.api.bodies.audit import EntryBody, VerdictBody
from web.api.bodies.runs import RunBody
from web.api.paging import listed
from web.api.resource import Resource
from web.api.schema import PAGING, QUERY_TEXT, TIMES, operation, paged, query

_MODEL = query("model", {"type": "string", "maxLength": 255, "pattern": QUERY_TEXT}, "The name of a model.")
_MEDIA_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


class Audit(Resource):
    @operation(
        "List audit entries, newest first",
        tag="Audit",
        description="Of a model that you can see, or of the whole workspace: all of it for maintainers, what you did "
        "yourself for others.",
        answers={200: paged(EntryBody)},
        parameters=[
            *PAGING,
            _MODEL,
            query("verb", {"type": "string", "enum": [str(verb) for verb in Verb]}, "What was done."),
            query("actor", {"type": "string", "maxLength": 150, "pattern": QUERY_TEXT}, "The name of who did it."),
            *TIMES,
        ],
    )
    def get(self, request: Request) -> Response:
        asked = request.query_params
        model = asked.get("model", "")
        rows = queries.audit_trail(
            self.actor, model, verb=asked.get("verb", ""), by=asked.get("actor", ""), **_between(request)
        )
        return listed(request, self.actor, rows, EntryBody, order=["-sequence"] if model else ["-at", "-id"])


class AuditExport(Resource):
    @operation(
        "Export the audit log",
        tag="Audit",
        description="As a file: JSON lines that hold exactly what each hash covers, and the hash, or CSV whose cells "
        "no spreadsheet takes for formulas. Chain by chain, each in its order. For maintainers; it is recorded.",
        answers={(200, media_type): OpenApiTypes.BINARY for media_type in _MEDIA_TYPES.values()},
        parameters=[
            query("format", {"type": "string", "enum": [str(form) for form in Format]}, "jsonl by default."),
            _MODEL,
            *TIMES,
        ],
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        form = request.query_params.get("format", str(Format.JSONL))
        pieces = audits.write_out(
            self.actor, form, model_name=request.query_params.get("model", ""), **_between(request)
        )
        return StreamingHttpResponse(
            pieces,
            content_type=_MEDIA_TYPES[form],
            headers={
                "Content-Disposition": f'attachment; filename="audit.{form}"',
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "Cache-Control": "private, no-store",
            },
        )


class AuditVerify(Resource):
    @operation(
        "Check the audit log",
        tag="Audit",
        description=f"Walks the chain of a model, or those of all models of the workspace when they have at most "
        f"{audits.MOST_CHAINS} chains and {audits.MOST_ENTRIES:,} entries (409 beyond). It does not look at the "
        f"checkpoints: `manage.py audit verify` does. For maintainers.",
        answers={200: VerdictBody},
        parameters=[_MODEL],
        fails=[409],
    )
    def get(self, request: Request) -> Response:
        return Response(VerdictBody(audits.check(self.actor, request.query_params.get("model", ""))).data)


def _between(request: Request) -> dict[str, Any]:
    """`since` and `until` of the query as times; BadTime."""
    asked = request.query_params
    return {name: text.moment(name, asked[name]) for name in ("since", "until") if name in asked}


class OneRun(Resource):
    @operation("Show a run", tag="Runs", answers={200: RunBody})
    def get(self, request: Request, run_id: str) -> Response:
        return Response(RunBody(whole_run(self.actor, run_id)).data)
