"""`GET /events`: what happened, in its order, for whoever catches up or has no address that a webhook could reach."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.verbs import Verb
from core import text
from core.errors import Invalid
from core.paging import page_size
from registry import events
from registry.delivery import told_by
from registry.errors import UnknownVerb
from registry.formats import payload
from web import waiting
from web.api.authentication import TokenAuthentication
from web.api.bodies.events import EventPage
from web.api.resource import Resource
from web.api.schema import QUERY_TEXT, WAIT, operation, query

DEFAULT, LIMIT = 100, 1000
_HIGHEST = 2**63 - 1
_NO_MODEL = uuid.UUID(int=0)  # nothing wakes who waits for this: he looks once a second


class BadAfter(Invalid):
    """after {value!r} is not the id of an event: use the id of the last one that you have, or the `after` of an answer,
    0 for the beginning."""

    field = "after"


class TwoBeginnings(Invalid):
    """after and since are two ways to say where to begin: use one of them."""

    field = "since"


class Events(Resource):
    @operation(
        "Read events in their order",
        tag="Events",
        description="What webhooks are told, in the same words, the oldest first. Go on with the `after` of the "
        "answer, also when it had no items: no event ever appears before it. Maintainers hear everything, of the "
        "workspace or of their models; others what the catalogue shows of the models that they can see (`model.*`, "
        "`version.*`, `alias.*`) and what they did themselves. With `wait` the call blocks while there is nothing "
        "further.",
        answers={200: EventPage},
        parameters=[
            query(
                "after",
                {"type": "integer", "minimum": 0, "maximum": _HIGHEST},
                "The id of the last event that you have, or the `after` of the answer before.",
            ),
            query("since", {"type": "string", "format": "date-time"}, "Begin at this time, instead of `after`."),
            query("model", {"type": "string", "maxLength": 255, "pattern": QUERY_TEXT}, "Of the model of this name."),
            query(
                "type",
                {"type": "array", "items": {"type": "string", "enum": [str(verb) for verb in Verb]}, "minItems": 1},
                "Of these types only: once for each, or with commas between.",
            ),
            query("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT}, f"{DEFAULT} by default."),
            WAIT,
        ],
        fails=[429],
    )
    def get(self, request: Request) -> Response:
        at_most = waiting.seconds(request._request)
        asked = _asked(request.query_params)
        name = request.query_params.get("model", "")
        model = events.find_model(self.actor, name) if name else None
        page = events.events(self.actor, asked, model)

        def further() -> bool:
            nonlocal page
            page = events.events(self.actor, replace(asked, after=page.after), model)
            return bool(page.items) or page.more

        if not page.items and not page.more:
            reached = replace(asked, after=page.after)
            if waiting.until(self.actor, model.id if model else _NO_MODEL, further, at_most=at_most):
                # His token may have been revoked while he waited.
                actor = TokenAuthentication().authenticate(request)[1]
                page = events.events(actor, reached, events.find_model(actor, name) if name else None)
        return Response(
            {"items": [payload(told_by(entry)) for entry in page.items], "after": str(page.after), "more": page.more}
        )


def _asked(sent: QueryDict) -> events.Asked:
    """The query as what is asked for; BadAfter, TwoBeginnings, BadTime, UnknownVerb, BadPageSize."""
    if "after" in sent and "since" in sent:
        raise TwoBeginnings
    return events.Asked(
        after=_id(sent.get("after", "0")),
        since=text.moment("since", sent["since"]) if "since" in sent else None,
        verbs=_verbs(sent.getlist("type")),
        limit=page_size(sent.get("limit"), default=DEFAULT, limit=LIMIT, field="limit"),
    )


def _id(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > len(str(_HIGHEST)) or int(value) > _HIGHEST:
        raise BadAfter(value=value)
    return int(value)


def _verbs(sent: list[Any]) -> list[Verb]:
    known = set(Verb)
    wanted = [name for names in sent for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise UnknownVerb(field="type", value=name)
    return [Verb(name) for name in wanted]
