"""What a promotion into a stage needs. Pure Python; the shipped default is the only policy so far."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from registry.lifecycle import Stage


@dataclass(frozen=True)
class Terms:
    """The rules that one promotion is judged by."""

    name: str  # the policy and its revision, for people and for the evidence
    approvals: int  # how many people must approve; 0: carried out at once
    exclusive: bool  # the stage has one occupant, and the one before is archived
    bypass: bool  # an administrator may carry it out alone, which is marked
    lifetime_days: int  # after which an open promotion expires

    @property
    def lifetime(self) -> datetime.timedelta:
        return datetime.timedelta(days=self.lifetime_days)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Terms:
        return cls(**value)


_DIRECT = Terms(name="shipped default, direct", approvals=0, exclusive=False, bypass=True, lifetime_days=30)
_REVIEWED = Terms(name="shipped default, reviewed", approvals=1, exclusive=True, bypass=True, lifetime_days=30)

SHIPPED: dict[Stage, Terms] = {
    Stage.NONE: _DIRECT,
    Stage.STAGING: _DIRECT,
    Stage.PRODUCTION: _REVIEWED,
    Stage.ARCHIVED: _DIRECT,
}


def policy_for(stage: Stage) -> Terms:
    """The terms in force for a promotion into `stage`."""
    return SHIPPED[stage]
