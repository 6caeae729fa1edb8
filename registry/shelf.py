"""The list of models: what one looks for in it, and what each of its rows shows."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, Max, OuterRef, QuerySet, Value
from django.db.models.functions import JSONObject, Left, Length
from django.db.models.lookups import Exact, LessThanOrEqual

from accounts.actor import Actor
from accounts.models import User
from core import text
from core.errors import Invalid
from registry.errors import UnknownStage
from registry.headline import TAG, Headline, headlines, wanted
from registry.lifecycle import Stage
from registry.models import Model, ModelTag, Occupancy, Promotion
from registry.models.catalog import START, start_of
from registry.ruling import rulings_of

SERVING = (Stage.PRODUCTION, Stage.STAGING)
_TAGS = 4  # of a model, in its row
_ASKED = 5  # tags that one search may ask for: each is a condition of its own
_SHOWN = 60  # characters of a value that a row shows
_TAG = re.compile(r'(?:^|(?<=\s))tag:("[^"]+"|\S+)')


class TooManyTags(Invalid):
    """{count} tags are asked for at once, and at most {limit} can be: leave some out."""

    field = "q"


# --- What is looked for -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Search:
    """Models whose name holds `words`, which have each of the `tags` (value None: any), made by `owner`, and with a
    version in `stage`; what is empty does not narrow it down."""

    words: str = ""
    tags: tuple[tuple[str, str | None], ...] = ()
    owner: str = ""
    stage: str = ""

    @classmethod
    def asked(cls, q: str, *, tag: str = "", owner: str = "", stage: str = "") -> Search:
        """What somebody typed: `q` may hold `tag:key` and `tag:key=value`, in quotes where there are spaces in it.

        Raises UnknownStage, TooManyTags, TooLong or BadCharacter.
        """
        if stage and stage not in SERVING:
            raise UnknownStage(field="stage", value=stage, known=" and ".join(SERVING))
        named = [found.group(1).strip('"') for found in _TAG.finditer(q)] + ([tag] if tag else [])
        if len(named) > _ASKED:
            raise TooManyTags(count=len(named), limit=_ASKED)
        return cls(
            words=text.free_text("q", " ".join(_TAG.sub(" ", q).split()), limit=255, lines=False),
            tags=tuple(_tag(each) for each in named),
            owner=text.free_text("owner", owner, limit=150, lines=False),
            stage=stage,
        )

    @property
    def narrows(self) -> bool:
        return self != Search()


def _tag(written: str) -> tuple[str, str | None]:
    key, has_value, value = written.partition("=")
    text.free_text("tag", written, limit=100_000)
    return key, value if has_value else None


def models(actor: Actor, search: Search = Search()) -> QuerySet[Model]:
    """The models that the actor can see and looks for, each with its owner and, as `few_tags`, some of its tags."""
    found = Model.objects.visible_to(actor).select_related("created_by")
    if search.words:
        found = found.filter(name__holds=search.words)
    if search.owner:
        # Looked up first: PostgreSQL knows of how many models this one is the owner.
        found = found.filter(created_by=User.objects.named(search.owner).values_list("pk", flat=True).first() or 0)
    if search.stage:
        held = Occupancy.objects.filter(model=OuterRef("pk"), stage=search.stage, stage__in=SERVING)
        found = found.filter(Exists(held.filter(ended_at__isnull=True)))
    for key, value in search.tags:
        found = found.filter(Exists(_tagged(key, value)))
    return found.annotate(few_tags=ArraySubquery(_FEW_TAGS), headline_tag=ArraySubquery(_HEADLINE_TAG))


def _tagged(key: str, value: str | None) -> QuerySet[ModelTag]:
    there = ModelTag.objects.filter(model=OuterRef("pk"), key=key)
    if value is None:
        return there
    there = there.filter(Exact(start_of("value"), Value(value[:START])))
    return there.filter(value=value) if len(value) >= START else there


_OF_MODEL = ModelTag.objects.filter(model=OuterRef("pk"))
_FEW_TAGS = (
    _OF_MODEL.exclude(key__startswith="mlflow.")
    .exclude(key=TAG)
    .order_by("key")
    .values(told=JSONObject(key="key", value=Left("value", _SHOWN), whole=LessThanOrEqual(Length("value"), _SHOWN)))[
        :_TAGS
    ]
)
_HEADLINE_TAG = _OF_MODEL.filter(key=TAG).values_list(Left("value", 250))


# --- What a row shows -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """The newest version in a stage of a model, and how many there are."""

    stage: str
    newest: int
    count: int


@dataclass(frozen=True)
class Row:
    """A model of the list; `tags` are (key, beginning of the value, whether that is all of it)."""

    model: Model
    held: tuple[Held, ...]
    open_promotions: int
    headline: Headline | None

    @property
    def tags(self) -> list[dict[str, Any]]:
        return getattr(self.model, "few_tags", [])


def rows(found: Collection[Model]) -> list[Row]:
    """Each of these `models()` with what is in which stage, its open promotions and its headline. Four queries."""
    ids = [model.pk for model in found]
    held: dict[uuid.UUID, list[Held]] = defaultdict(list)
    open_now = Occupancy.objects.filter(model__in=ids, stage__in=SERVING, ended_at__isnull=True)
    for model_id, stage, newest, count in open_now.values_list("model", "stage").annotate(
        newest=Max("number"), count=Count("pk")
    ):
        held[model_id].append(Held(stage, newest, count))
    asked = Promotion.objects.open().filter(model__in=ids).values("model").annotate(count=Count("pk"))
    waiting = dict(asked.values_list("model", "count"))
    ruled = rulings_of(found, SERVING)
    lines = headlines({model.pk: wanted(headline_tag(model), ruled[model.pk]) for model in found})
    return [
        Row(
            model,
            tuple(sorted(held[model.pk], key=lambda h: h.stage)),
            waiting.get(model.pk, 0),
            lines.get(model.pk),
        )
        for model in found
    ]


def headline_tag(model: Model) -> str:
    """The metric that a tag of the model names, where it was read with its tags of that kind; else nothing."""
    return next(iter(getattr(model, "headline_tag", ())), "")
