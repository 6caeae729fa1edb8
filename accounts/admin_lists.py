"""How lists of Django's admin stay quick and answer whatever is asked of them, however large a table is."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.core.paginator import Paginator
from django.db.models import Model as Row
from django.db.models import Q, QuerySet, UUIDField
from django.utils.functional import cached_property

from core import text

MOST = 10_000  # rows that are counted, and can be paged through; what is beyond is found by a search


class Bounded(Paginator):  # type: ignore[type-arg]
    """Pages without counting a whole table, which takes minutes for some of them."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST].count()) if isinstance(rows, QuerySet) else len(rows)


class Listed(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows in the one order that an index gives. What will not do in an edited query string is left out."""

    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    paginator = Bounded
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER  # each is a count of the whole table

    def changelist_view(self, request: Any, extra_context: Any = None) -> Any:
        asked = request.GET.copy()
        asked.pop("o", None)  # another order would sort the table
        for name, values in list(asked.lists()):
            if any("\x00" in each for each in (name, *values)):  # which the database takes nowhere
                del asked[name]
        request.GET = asked
        return super().changelist_view(request, extra_context)

    def get_search_results(self, request: Any, queryset: QuerySet[Any], search_term: str) -> Any:
        term = text.searchable(search_term).strip()
        ids = [path for path in self.search_fields if self._is_of_ids(path)]
        if not (term and ids):
            return super().get_search_results(request, queryset, term)
        # Django compares an id as text, by no index and only with its hyphens, which other pages leave out.
        asked = Q(*((path, term) for path in self.search_fields if path not in ids), _connector=Q.OR)
        if key := _as_uuid(term):
            asked |= Q(*((path, key) for path in ids), _connector=Q.OR)
        return (queryset.filter(asked) if asked else queryset.none()), False

    def _is_of_ids(self, path: str) -> bool:
        column, _, lookup = path.rpartition("__")
        return lookup == "exact" and isinstance(get_fields_from_path(self.model, column)[-1], UUIDField)

    def has_delete_permission(self, request: Any, obj: Row | None = None) -> bool:
        return False


class ReadOnly(Listed):
    """Rows to be looked at: what has a life cycle is changed by services alone."""

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Row | None = None) -> bool:
        return False


def _as_uuid(term: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(hex=term)
    except ValueError:
        return None
