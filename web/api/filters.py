"""By what the lists can be narrowed."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import CharFilter, ChoiceFilter, FilterSet

from registry.lifecycle import Stage, State
from registry.models import Model, Policy, Promotion, Version
from registry.models.catalog import VersionStatus

_STAGES = [(str(stage), str(stage)) for stage in Stage]
_STATES = [(str(state), str(state)) for state in State]


class ModelFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    name = CharFilter(max_length=255, help_text="Exactly this name.")
    name_contains = CharFilter("name", "icontains", max_length=255, help_text="In any case.")
    tag = CharFilter(method="tagged", max_length=1000, help_text="KEY, or KEY=VALUE.")

    class Meta:
        model = Model
        fields: list[str] = []

    def tagged(self, rows: QuerySet[Model], name: str, value: str) -> QuerySet[Model]:
        key, has_value, wanted = value.partition("=")
        return rows.filter(tags__key=key, tags__value=wanted) if has_value else rows.filter(tags__key=key)


class VersionFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    stage = ChoiceFilter(choices=_STAGES, help_text="In this stage now.")
    status = ChoiceFilter(choices=VersionStatus.choices, help_text="Whether its files are there.")
    run = CharFilter("run_ref", max_length=64, help_text="Made by this run.")

    class Meta:
        model = Version
        fields: list[str] = []


class PromotionFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    state = ChoiceFilter(choices=_STATES, help_text="What became of it.")
    target = CharFilter(max_length=256, help_text="The stage, or '@' and the alias, asked for.")
    stage = ChoiceFilter("target", choices=_STAGES, help_text="The stage asked for.")
    model = CharFilter("model__name", max_length=255, help_text="The name of the model.")
    requester = CharFilter("requester__username", max_length=150, help_text="Who asked.")

    class Meta:
        model = Promotion
        fields: list[str] = []


class PolicyFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    target = CharFilter(max_length=256, help_text="The stage, or '@' and the alias, that is protected.")
    model = CharFilter("model__name", max_length=255, help_text="Written for the model of this name.")
    pattern = CharFilter("pattern", "iexact", max_length=255, help_text="Written for this very pattern.")

    class Meta:
        model = Policy
        fields: list[str] = []
