"""The state machine of promotions, and the stages: pure Python, no database."""

from __future__ import annotations

from enum import StrEnum

from registry.errors import PromotionClosed, UnknownStage


class Stage(StrEnum):
    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class State(StrEnum):
    OPEN = "open"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Act(StrEnum):
    """What can be done to a promotion."""

    APPROVE = "approve"
    CARRY_OUT = "carry out"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"
    REOPEN = "reopen"


_AFTER: dict[tuple[State, Act], State] = {
    (State.OPEN, Act.APPROVE): State.OPEN,
    (State.OPEN, Act.CARRY_OUT): State.PROMOTED,
    (State.OPEN, Act.REJECT): State.REJECTED,
    (State.OPEN, Act.WITHDRAW): State.WITHDRAWN,
    (State.OPEN, Act.SUPERSEDE): State.SUPERSEDED,
    (State.OPEN, Act.EXPIRE): State.EXPIRED,
    (State.REJECTED, Act.REOPEN): State.OPEN,
    (State.WITHDRAWN, Act.REOPEN): State.OPEN,
    (State.EXPIRED, Act.REOPEN): State.OPEN,
}


def after(state: State, act: Act) -> State:
    """The state that `act` leads to; PromotionClosed when it is not possible in `state`."""
    try:
        return _AFTER[state, act]
    except KeyError:
        raise PromotionClosed(state=state, act=act) from None


def stage_named(value: object, *, field: str = "stage") -> Stage:
    """The stage of this name in any case; UnknownStage."""
    for stage in Stage:
        if isinstance(value, str) and value.lower() == stage.lower():
            return stage
    raise UnknownStage(field=field, value=value, known=", ".join(Stage))
