"""Model URIs: `models:/NAME/7`, `models:/NAME/Production`, `models:/NAME@champion`, `models:/NAME/latest`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from core import text
from registry.errors import BadAlias, BadReference, BadSource, BadTarget, BadVersionNumber, UnknownStage
from registry.lifecycle import Stage, stage_named

_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ANY_NAME = re.compile(r"[^/:\0]+")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_HIGHEST = 2**31 - 1
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._:%@\[\]-]+(/\S*)?")
# Places on this machine, and names of ours that have fields of their own in a request.
_OURS = frozenset({"file", "runs", "models", "mlflow-artifacts", "upload"})


@dataclass(frozen=True)
class Reference:
    """A model and exactly one of: a number, a stage, an alias; or none of them, for the highest number."""

    name: str
    number: int | None = None
    stage: Stage | None = None
    alias: str | None = None


def model_name(field: str, value: object) -> str:
    """`value` as the name of a model; BadName. A conformance run takes what the reference server does."""
    if settings.VOUCH_CONFORMANCE and isinstance(value, str) and _ANY_NAME.fullmatch(value) and value.strip(" ."):
        return text.free_text(field, value, limit=255, lines=False)
    return text.name(field, value)


def parse(uri: object) -> Reference:
    """Read a model URI; BadReference."""
    if not isinstance(uri, str) or not uri.startswith("models:/"):
        raise BadReference(value=uri)
    rest = uri.removeprefix("models:/")
    name, slash, last = rest.rpartition("/")
    if not slash:
        name, at, alias = rest.rpartition("@")
        if not at or not _is_name(name) or not _ALIAS.fullmatch(alias):
            raise BadReference(value=uri)
        return Reference(name, alias=alias)
    if not _is_name(name):
        raise BadReference(value=uri)
    if re.fullmatch(r"[0-9]{1,10}", last) and 1 <= int(last) <= _HIGHEST:
        return Reference(name, number=int(last))
    if last.lower() == "latest":
        return Reference(name)
    for stage in Stage:
        if last.lower() == stage.lower():
            return Reference(name, stage=stage)
    raise BadReference(value=uri)


def _is_name(value: str) -> bool:
    return bool((_ANY_NAME if settings.VOUCH_CONFORMANCE else text.NAME).fullmatch(value))


def elsewhere(value: object) -> str:
    """`value` as the URI of bytes on another system, which we name and never fetch; BadSource."""
    if not isinstance(value, str) or len(value) > 1000 or not _ELSEWHERE.fullmatch(value):
        raise BadSource(value=value)
    scheme, _, rest = value.partition("://")
    host, _, path = rest.partition("/")
    if scheme.lower() in _OURS or "@" in host or "%" in host or "?" in rest or "#" in rest:
        raise BadSource(value=value)
    try:
        text.artifact_path(path.removesuffix("/"), empty=True)
    except text.BadPath:
        raise BadSource(value=value) from None
    return value


def version_number(value: object, *, field: str = "version") -> int:
    """`value`, a whole number or its digits, as a version's number; BadVersionNumber."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _HIGHEST:
        raise BadVersionNumber(field=field, value=value)
    return value


def alias_name(value: object) -> str:
    """`value` as the name of an alias; BadAlias."""
    if (
        not isinstance(value, str)
        or not _ALIAS.fullmatch(value)
        or _RESERVED.fullmatch(value)
        or value.lower() in {stage.lower() for stage in Stage}
    ):
        raise BadAlias(value=value)
    return value


def target_named(value: object, *, field: str = "target") -> str:
    """`value` as what a promotion moves: the name of a stage, in any case, or '@' and an alias; BadTarget."""
    try:
        if isinstance(value, str) and value.startswith("@"):
            return f"@{alias_name(value[1:])}"
        return stage_named(value)
    except (BadAlias, UnknownStage):
        raise BadTarget(field=field, value=value, known=", ".join(Stage)) from None


def target_in(data: Mapping[str, Any]) -> str:
    """The stage, or '@' and the alias, that an event is about by its data; empty when it is about none."""
    alias = data.get("alias")
    return f"@{alias}" if alias else str(data.get("stage") or data.get("target") or "")
