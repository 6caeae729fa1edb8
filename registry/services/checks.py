"""Checks: what jobs outside report on a version, as commit statuses do."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.permissions import require
from accounts.queries import REPEATED_WITHIN
from accounts.roles import Action
from accounts.verbs import Verb
from core import text
from core.ids import uuid7
from registry.errors import BadLink, BadValues, TooManyChecks, UnknownCheckState
from registry.gates import CheckState
from registry.lifecycle import State
from registry.models import Check, Promotion, Version
from registry.outbox import emit_all, of_version
from registry.services.carrying import settle_all
from registry.services.locks import locked_model, version_of

NAME_LIMIT = 100
SUMMARY_LIMIT = 10_000
VALUES_LIMIT = 100
CHECKS_LIMIT = 100  # different ones on a version
_TOLD = 1000  # characters of a summary that an event carries
_SHOWN = 100
_LINK = re.compile(r"https?://[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*([/?#][!-~]*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Reported:
    """A report, and the promotions that may hang on it: those with gates, open or decided since it was made.

    `repeated`: the same was reported before, and nothing was written.
    """

    check: Check
    repeated: bool
    promotions: tuple[Promotion, ...]


@transaction.atomic
def report(
    actor: Actor,
    name: object,
    number: object,
    *,
    check: object,
    state: object,
    summary: str = "",
    link: str = "",
    values: object = None,
) -> Reported:
    """Report what became of a check on a version; the newest report of each name is the one that counts.

    Promotions of the version that then lack nothing any more are carried out, by the reporter. The same report again by
    the same account changes nothing: clients repeat what they got no answer to. `values` is what the check measured, a
    number by name. Raises UnknownCheckState, BadLink, BadValues, TooManyChecks.
    """
    model = locked_model(actor, name)
    version = version_of(model, number)
    require(actor, Action.REPORT_CHECK, model)
    said = Check(
        version=version,
        name=text.key("check", check, limit=NAME_LIMIT),
        state=_state(state),
        summary=text.free_text("summary", summary, limit=SUMMARY_LIMIT),
        link=_link(link),
        values=_values(values),
        reporter_id=actor.user_id,
        token_id=actor.token_id,
    )
    before = version.checks.filter(name=said.name).order_by("-id").first()
    if before and _same(before, said):
        return Reported(before, True, _concerned(version, before))
    if before is None and version.checks.values("name").distinct().count() >= CHECKS_LIMIT:
        raise TooManyChecks(version=version.number, name=model.name, limit=CHECKS_LIMIT)
    if before:
        said.id = _later(before.id)
    said.save(force_insert=True)
    told = of_version(
        Verb.CHECK_REPORTED,
        model,
        version.number,
        check=said.name,
        state=said.state,
        summary=said.summary[:_TOLD],
        link=said.link,
        # As text: the database gives a large number back in another form, and the entry's hash would not fit it.
        values={key: repr(value) for key, value in said.values.items()},
    )
    emit_all(actor, model, [told])
    settle_all(actor, model, version, why=f"{_told(said)}, and nothing was missing any more")
    return Reported(said, False, _concerned(version, said))


def _told(check: Check) -> str:
    how = "passed" if check.state == CheckState.PASSED else f"was reported as {check.state}"
    return f"the check {check.name} {how}"


def _concerned(version: Version, check: Check) -> tuple[Promotion, ...]:
    since = Q(state=State.OPEN) | Q(decided_at__gte=check.at)
    found = version.promotions.filter(since, policy__gates__0__isnull=False)
    return tuple(found.select_related("model", "version__manifest").order_by("-requested_at", "-id")[:_SHOWN])


def _same(before: Check, said: Check) -> bool:
    return (
        before.at > timezone.now() - REPEATED_WITHIN  # a job that says the same a day later says something new
        and before.reporter_id == said.reporter_id
        and (before.state, before.summary, before.link) == (said.state, said.summary, said.link)
        and {key: float(value) for key, value in before.values.items()} == said.values
    )


def _later(before: uuid.UUID) -> uuid.UUID:
    """An id behind `before`, by which reports are ordered: the clock of this machine may be behind another's."""
    return max(uuid7(), uuid.UUID(int=before.int + 1))


def _state(value: object) -> str:
    for state in CheckState:
        if value == state:
            return state
    raise UnknownCheckState(value=value, known=", ".join(CheckState))


def _link(value: object) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or len(value) > 2000 or not _LINK.fullmatch(value):
        raise BadLink(value=value)
    return value


def _values(given: object) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadValues(field="values", why="is not an object", limit=VALUES_LIMIT)
    if len(given) > VALUES_LIMIT:
        raise BadValues(field="values", why=f"holds {len(given)} numbers", limit=VALUES_LIMIT)
    return {text.key("values.key", key): _number(f"values.{key}", value) for key, value in given.items()}


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValues(field=field, why=f"{value!r} is not a number", limit=VALUES_LIMIT)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadValues(field=field, why="is not finite", limit=VALUES_LIMIT)
    return number
