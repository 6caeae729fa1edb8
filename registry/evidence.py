"""What a reviewer looks at, digested: an approval counts for exactly this. Pure Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.canonical import digest
from registry.policy import Terms, tightened


@dataclass(frozen=True)
class Evidence:
    """The candidate, the incumbent, the rules and what their gates read, at one moment."""

    source: str
    manifest: str | None  # SHA-256 of the candidate's manifest; None when its bytes lie elsewhere
    incumbent: int | None  # the version that is there now
    incumbent_manifest: str | None
    policy: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)  # what the gates read, by its name
    round: int = 1  # counts up when the promotion is reopened
    archives_others: bool = False  # as somebody asked, where the stage itself does not

    def as_json(self) -> dict[str, Any]:
        """What the digest is made of. What a promotion does not have is left out, so that older digests stay."""
        content = {
            "source": self.source,
            "manifest": self.manifest,
            "incumbent": self.incumbent,
            "incumbent_manifest": self.incumbent_manifest,
            "policy": dict(self.policy),
        }
        if self.inputs:
            content["inputs"] = dict(self.inputs)
        if self.round > 1:
            content["round"] = self.round
        if self.archives_others:
            content["archives_others"] = True
        return content

    @property
    def digest(self) -> str:
        return digest(self.as_json())


def what_changed(then: Mapping[str, Any] | None, now: Evidence, target: str) -> str:
    """In words, how the evidence differs from `then`, an earlier one as JSON (None: it was not kept)."""
    if then is None:
        return "the files, the source, the version before it or the policy were others then"
    return "; ".join(_changes(then, now.as_json(), target)) or "nothing that is known"


def _changes(then: Mapping[str, Any], now: Mapping[str, Any], target: str) -> Iterator[str]:
    if then.get("round", 1) != now.get("round", 1):
        yield "the promotion was reopened since"
    if then["source"] != now["source"] or then["manifest"] != now["manifest"]:
        yield "its files or its source were others then"
    if then.get("archives_others", False) != now.get("archives_others", False):
        yield f"the other versions in {target} were not to be archived then, and are now"
    if then["incumbent"] != now["incumbent"]:
        yield f"{_number(then)} held {target} then, {_number(now)} holds it now"
    elif then["incumbent_manifest"] != now["incumbent_manifest"]:
        yield f"the files of {_number(now)} were others then"
    if then["policy"] != now["policy"]:
        yield f"the policy was {then['policy']['name']} then, {now['policy']['name']} now" + _stricter(then, now)
    inputs_then, inputs_now = then.get("inputs", {}), now.get("inputs", {})
    for name in sorted(inputs_then.keys() | inputs_now.keys()):
        if inputs_then.get(name) != inputs_now.get(name):
            yield f"{name} was {_shown(inputs_then.get(name))} then, {_shown(inputs_now.get(name))} now"


def _stricter(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    asked = tightened(Terms.from_json(then["policy"]), Terms.from_json(now["policy"]))
    return f" (which asks for {', '.join(asked)})" if asked else ""


def _number(content: Mapping[str, Any]) -> str:
    return f"v{content['incumbent']}" if content["incumbent"] else "nothing"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)[:100]
