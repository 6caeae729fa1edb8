"""The five kinds of refusal that a service raises; each door has one file that maps them to its wire.

A service raises a named subclass whose docstring is its message; `{placeholders}` in it are filled from the keyword
arguments. What the caller may not see is `NotFound`; a wrong state is never `Denied`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar


class Refusal(Exception):
    """The request is refused."""

    field: ClassVar[str | None] = None

    def __init__(self, *, field: str | None = None, reasons: Sequence[str] = (), link: str = "", **context: Any):
        """Fill the message.

        `field` names the input at fault as the caller knows it; `reasons` are sentences that say what is missing;
        `link` is the path of a page on which to go on (no host); `context` fills the placeholders.
        """
        template = " ".join((type(self).__doc__ or "").split())
        self.at_field = field or self.field
        told = {"field": self.at_field, **context}
        self.message = template.format(**{name: shown(value) for name, value in told.items()})
        self.reasons = tuple(reasons)
        self.link = link
        self.context = context
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """A stable kebab-case name of the refusal, e.g. `model-not-found`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()


class NotFound(Refusal):
    """It does not exist, or you may not see it."""


class Denied(Refusal):
    """You may not do this."""


class Invalid(Refusal):
    """The input is wrong."""


class Conflict(Refusal):
    """The present state does not allow this."""


class Blocked(Refusal):
    """A rule says no, and may say yes later."""


def shown(value: Any) -> str:
    """A caller's value as it may stand in a message: short, and with nothing that acts on a terminal or a page."""
    text = value if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:201])
    return text if len(text) <= 200 else text[:200] + "…"
