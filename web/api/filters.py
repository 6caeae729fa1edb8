"""By what the lists can be narrowed."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django_filters import CharFilter, ChoiceFilter, FilterSet

from accounts.verbs import Verb
from registry.formats import Format
from registry.lifecycle import Stage, State
from registry.models import Delivery, Model, Policy, Promotion, Version, Webhook
from registry.models.catalog import VersionStatus
from registry.models.webhooks import DeliveryState
from registry.revalidation import lapsed

_STAGES = [(str(stage), str(stage)) for stage in Stage]
_YES_OR_NO = [("true", "true"), ("false", "false")]
_STATES = [(str(state), str(state)) for state in State]


class ModelFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    name = CharFilter(max_length=255, help_text="Exactly this name.")
    name_contains = CharFilter("name", "holds", max_length=255, help_text="In any case.")
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
    bypass = ChoiceFilter(method="are", choices=_YES_OR_NO, help_text="Carried out past its policy.")
    rollback = ChoiceFilter(method="are", choices=_YES_OR_NO, help_text="Back to an earlier version.")
    to_review = ChoiceFilter(
        method="await_review", choices=_YES_OR_NO, help_text="A bypass or a rollback that nobody has reviewed yet."
    )
    lapsed = ChoiceFilter(
        method="have_lapsed", choices=_YES_OR_NO, help_text="Still in place, and the word for it holds no more."
    )

    class Meta:
        model = Promotion
        fields: list[str] = []

    def are(self, rows: QuerySet[Promotion], name: str, value: str) -> QuerySet[Promotion]:
        return rows.filter(**{name: value == "true"})

    def await_review(self, rows: QuerySet[Promotion], name: str, value: str) -> QuerySet[Promotion]:
        awaiting = Q(to_review=True, reviewed_at__isnull=True)
        return rows.filter(awaiting if value == "true" else ~awaiting)

    def have_lapsed(self, rows: QuerySet[Promotion], name: str, value: str) -> QuerySet[Promotion]:
        return lapsed(rows) if value == "true" else rows.exclude(pk__in=lapsed(rows).values("pk"))


class PolicyFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    target = CharFilter(max_length=256, help_text="The stage, or '@' and the alias, that is protected.")
    model = CharFilter("model__name", max_length=255, help_text="Written for the model of this name.")
    pattern = CharFilter("pattern", "iexact", max_length=255, help_text="Written for this very pattern.")

    class Meta:
        model = Policy
        fields: list[str] = []


class WebhookFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    model = CharFilter("model__name", max_length=255, help_text="Of the model of this name.")
    active = ChoiceFilter(method="are_active", choices=_YES_OR_NO, help_text="Whether it is sent anything.")
    format = ChoiceFilter(choices=[(str(form), str(form)) for form in Format], help_text="How events are told.")

    class Meta:
        model = Webhook
        fields: list[str] = []

    def are_active(self, rows: QuerySet[Webhook], name: str, value: str) -> QuerySet[Webhook]:
        return rows.filter(active=value == "true")


class DeliveryFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    state = ChoiceFilter(choices=DeliveryState.choices, help_text="What became of it.")
    type = ChoiceFilter("verb", choices=[(str(verb), str(verb)) for verb in Verb], help_text="What happened.")

    class Meta:
        model = Delivery
        fields: list[str] = []
