"""Lists: filtered by django-filter, paged by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django_filters import FilterSet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actor import Actor
from core.paging import page_size, paginate

DEFAULT, LIMIT = 50, 500

Row = TypeVar("Row", bound=Model)


def listed(
    request: Request,
    actor: Actor,
    rows: QuerySet[Row],
    body: type[serializers.BaseSerializer[Any]],
    *,
    order: Sequence[str],
    filters: type[FilterSet] | None = None,
    dressed: Callable[[list[Any]], Sequence[Any]] = list,
) -> Response:
    """One page of those of `rows` that the query asks for. Raises ValidationError, BadPageSize, BadPageToken.

    `dressed` makes of the rows of the page what `body` shows of each.
    """
    if filters:
        chosen = filters(request.query_params, queryset=rows)
        if not chosen.is_valid():
            raise serializers.ValidationError(chosen.errors)
        rows = chosen.qs
    asked = {name: value for name, value in request.query_params.items() if not name.startswith("page_")}
    page = paginate(
        rows,
        order=order,
        size=page_size(request.query_params.get("page_size"), default=DEFAULT, limit=LIMIT),
        token=request.query_params.get("page_token", ""),
        query={"path": request.path, "workspace": actor.workspace_id, **asked},
    )
    return Response({"items": body(dressed(page.items), many=True).data, "next_page_token": page.next_token})
