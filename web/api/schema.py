"""The OpenAPI document: what every operation takes, answers, and how it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from django_filters import CharFilter, ChoiceFilter
from django_filters import FilterSet as Filters
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers

from web.api.bodies.shared import Problem
from web.api.inputs import KEY, TAG_KEY, Input, Text
from web.api.paging import DEFAULT, LIMIT

_View = TypeVar("_View", bound=Callable[..., Any])

_MEANINGS = {
    400: "The input is wrong; `field` names it.",
    401: "No token, or one that is not valid.",
    403: "Your role or your token does not allow this.",
    404: "It does not exist, or you may not see it.",
    409: "The present state does not allow this, or a rule says no.",
    411: "The body has no Content-Length.",
    412: "It has changed since you read it.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many calls are waiting: try again after `Retry-After` seconds.",
    503: "Busy; nothing was changed: try again after `Retry-After` seconds.",
}
QUERY_TEXT = r"^[^\x00-\x1f\x7f-\x9f]+$"
_ALWAYS = (400, 401, 403, 404, 503)
_WITH_BODY = (411, 413, 415)
_NUMBER = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
_UUID = {"type": "string", "format": "uuid"}
_NAME = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9_-])?$",
}
_FILE_PATH = {"type": "string", "minLength": 1, "maxLength": 1000}
_PATH_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "name": (_NAME, "The name of the model."),
    "number": (_NUMBER, "The number of the version."),
    "alias": ({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$"}, "The alias."),
    "key": (TAG_KEY, "The key of the tag."),
    "path": (_FILE_PATH, "A relative path; its slashes stay slashes."),
    "upload": (_NAME, "A name that you choose for this set of files."),
    "check": ({"type": "string", "minLength": 1, "maxLength": 100, "pattern": KEY}, "The name of the check."),
    "comment_id": (_UUID, "The id of the comment."),
    "promotion_id": (_UUID, "The id of the promotion."),
    "policy_id": (_UUID, "The id of the policy."),
    "webhook_id": (_UUID, "The id of the webhook."),
    "delivery_id": (_UUID, "The id of the delivery, which is the `webhook-id` of what is sent."),
    "token_id": (_UUID, "The id of the token; not the token."),
    "grant_id": ({"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "The id of the grant."),
    "username": ({"type": "string", "pattern": "^[A-Za-z0-9_.@+-]{1,150}$"}, "The name of the user."),
    "team": ({**_NAME, "maxLength": 63}, "The name of the team."),
    "run_id": ({"type": "string", "minLength": 1, "maxLength": 64}, "The id of the run."),
}


def query(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> OpenApiParameter:
    """A parameter of the query."""
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, required=required, description=description)


def header(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> OpenApiParameter:
    """A header of the request."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, required=required, description=description)


def told(name: str, description: str, *statuses: int) -> OpenApiParameter:
    """A header of the answers with these statuses."""
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, response=[str(status) for status in statuses], description=description
    )


WAIT = query(
    "wait", {"type": "integer", "minimum": 0, "maximum": 60}, "Block for this many seconds at most until it changes."
)
IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "Repeating the request with the same key within a day has no effect and gives the same answer, with "
    "`Idempotency-Replayed: true`.",
)
IF_MATCH = header("If-Match", {"type": "string"}, "The ETag that you read: refused with 412 when it has changed.")
IF_NONE_MATCH = header("If-None-Match", {"type": "string"}, "The ETag that you have: 304 when it is still the one.")
PAGING = (
    query("page_size", {"type": "integer", "minimum": 1, "maximum": LIMIT}, f"{DEFAULT} by default."),
    query(
        "page_token",
        {"type": "string", "maxLength": 4000, "pattern": QUERY_TEXT},
        "The `next_page_token` of the page before.",
    ),
)
TIMES = (
    query("since", {"type": "string", "format": "date-time"}, "From this time on."),
    query("until", {"type": "string", "format": "date-time"}, "Before this time."),
)


def operation(
    summary: str,
    *,
    answers: Mapping[Any, Any],
    takes: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    filters: type[Filters] | None = None,
    fails: Sequence[int] = (),
    description: str = "",
    tag: str,
) -> Callable[[_View], _View]:
    """Describe a method of a view, and declare the query parameters that it knows: others are refused.

    `answers`: status, or status and media type → serializer, or None for an empty body; `fails`: statuses beside those
    that every operation has.
    """
    parameters = [*parameters, *(_of_filters(filters) if filters else ())]
    statuses = [*_ALWAYS, *fails, *(_WITH_BODY if takes is not None else ())]
    responses: dict[Any, Any] = {
        status: body or OpenApiResponse(description=_EMPTY[status]) for status, body in answers.items()
    }
    for status in sorted(set(statuses)):
        responses[status, "application/problem+json"] = OpenApiResponse(Problem, description=_MEANINGS[status])
    described = extend_schema(
        summary=summary,
        description=description or summary,
        tags=[tag],
        request=takes,
        responses=responses,
        parameters=[
            *parameters,
            told("WWW-Authenticate", "How to send a token.", 401),
            told("Retry-After", "Seconds.", 429, 503),
        ],
    )

    def describe(view: _View) -> _View:
        view = described(view)
        view.query = frozenset(parameter.name for parameter in parameters if parameter.location == "query")  # type: ignore[attr-defined]
        return view

    return describe


_EMPTY = {204: "Done.", 304: "You have the present one."}


@cache
def paged(body: type[serializers.BaseSerializer[Any]]) -> serializers.BaseSerializer[Any]:
    """The form of a page of `body`."""
    fields = {
        "items": body(many=True),
        "next_page_token": serializers.CharField(help_text="Empty on the last page.", allow_blank=True),
    }
    page = type(f"{body.__name__.removesuffix('Body')}Page", (serializers.Serializer,), fields)
    return cast(serializers.BaseSerializer[Any], page())


def _of_filters(filters: type[Filters]) -> list[OpenApiParameter]:
    return [
        query(name, _form(filter), filter.extra.get("help_text", "")) for name, filter in filters.base_filters.items()
    ]


def _form(filter: Any) -> dict[str, Any]:
    if isinstance(filter, ChoiceFilter):
        return {"type": "string", "enum": [value for value, _ in filter.extra["choices"]]}
    if isinstance(filter, CharFilter):
        return {"type": "string", "maxLength": filter.extra["max_length"], "pattern": QUERY_TEXT}
    raise TypeError(f"say here how {type(filter).__name__} looks in the OpenAPI document")


class Schema(AutoSchema):
    """REST framework's views in OpenAPI 3.1."""

    def get_override_parameters(self) -> list[Any]:
        """The parameters of the path, with the form that they must have."""
        return [
            OpenApiParameter(
                name, _PATH_PARAMETERS[name][0], OpenApiParameter.PATH, description=_PATH_PARAMETERS[name][1]
            )
            for name in re.findall(r"{(\w+)}", self.path)
        ]

    def get_operation_id(self) -> str:
        """A name such as `post_promotions_promotion_id_approve`."""
        words = re.findall(r"\w+", self.path.removeprefix("/api/v1/").replace(".", "_"))
        return "_".join([self.method.lower(), *words])

    def _get_request_body(self, direction: Any = "request") -> Any:
        body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if isinstance(self.get_request_serializer(), PolymorphicProxySerializer):
            body["required"] = True  # each of the forms has fields that must be there
        return body

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        schema = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        return {**schema, "pattern": field.pattern} if isinstance(field, Text) and "enum" not in schema else schema

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if isinstance(serializer, Input):
            schema["additionalProperties"] = False
            for name, form in schema["properties"].items():
                # Spectacular adds "or empty" as one of two forms; our patterns let the empty text pass, which is both.
                if form.get("oneOf", [])[1:] == [{"type": "string", "maxLength": 0}]:
                    schema["properties"][name] = {**form.pop("oneOf")[0], **form}
        return schema
