"""Gates on what people wrote: tags, descriptions, model cards."""

from __future__ import annotations

import hashlib

from lineage.inspection import headings
from registry.gates.frame import Candidate, Definition, Facts, Gate, Outcome, Verdict, listed

_KEY = {"type": "string", "minLength": 1, "maxLength": 250}
_HEADING = {"type": "string", "minLength": 1, "maxLength": 120}
_MOST = 200  # characters of a tag's value that a reason quotes


# --- required_tags ----------------------------------------------------------------------------------------------------


def _wanted(definition: Definition) -> dict[str, list[str]]:
    """The tags that must be there, each with the values that will do; none: any."""
    return {**{key: [] for key in definition.get("keys", [])}, **definition.get("allowed", {})}


def _tags_title(definition: Definition) -> str:
    asked = [f"{key} ({' or '.join(values)})" if values else key for key, values in _wanted(definition).items()]
    return f"tags {', '.join(asked)}"


def _required_tags(definition: Definition, facts: Facts) -> Verdict:
    wanted, tags = _wanted(definition), facts.candidate.tags
    inputs = {f"tag {key}": tags.get(key) for key in wanted}
    lacks = [told for key, allowed in wanted.items() if (told := _lacks_tag(key, allowed, tags.get(key)))]
    if lacks:
        return Verdict(Outcome.FAIL, "; ".join(lacks), inputs)
    return Verdict(Outcome.PASS, "; ".join(f"{key} is {tags[key][:_MOST]}" for key in wanted), inputs)


def _lacks_tag(key: str, allowed: list[str], value: str | None) -> str:
    if value is None:
        return f"the tag {key} is not set"
    if not value.strip():
        return f"the tag {key} is empty"
    if allowed and value not in allowed:
        return f"the tag {key} is {value[:_MOST]}, not {' or '.join(allowed)}"
    return ""


REQUIRED_TAGS = Gate(
    about="The version has these tags, none of them empty; `allowed` says, by key, which values will do.",
    properties={
        "keys": listed(_KEY),
        "allowed": {
            "type": "object",
            "propertyNames": _KEY,
            "minProperties": 1,
            "maxProperties": 50,
            "additionalProperties": listed({"type": "string", "minLength": 1, "maxLength": 250}),
        },
    },
    required=[],
    any_of=["keys", "allowed"],
    title=_tags_title,
    judge=_required_tags,
    reads=["tags"],
)


# --- description ------------------------------------------------------------------------------------------------------

_TEXTS = {"version": ("version",), "model": ("model",), "either": ("version", "model")}


def _description_title(definition: Definition) -> str:
    whose = {"version": "the version", "model": "the model", "either": "the version or the model"}[_of(definition)]
    length = definition.get("min_length", 1)
    long = f" of at least {length} characters" if length > 1 else ""
    sections = f" with the sections {', '.join(definition['sections'])}" if "sections" in definition else ""
    return f"a description of {whose}{long}{sections}"


def _of(definition: Definition) -> str:
    return str(definition.get("of", "version"))


def _description(definition: Definition, facts: Facts) -> Verdict:
    version = facts.candidate
    all_of_them = {"version": version.description, "model": version.model_description}
    texts = {whose: all_of_them[whose].strip() for whose in _TEXTS[_of(definition)]}
    inputs = {f"description of the {whose}": _sha256(text) for whose, text in texts.items()}
    length, longest = definition.get("min_length", 1), max(map(len, texts.values()))
    if longest < length:
        told = f"it has {longest} characters, {length} are needed" if longest else "nothing is written"
        return Verdict(Outcome.FAIL, told, inputs)
    there = {_folded(heading) for text in texts.values() for heading in headings(text)} | _in_files(version)
    lacks = [section for section in definition.get("sections", []) if _folded(section) not in there]
    if not lacks:
        return Verdict(Outcome.PASS, f"it has {longest} characters" + _with(definition), inputs)
    told = f"neither it nor a model card among the files has the section {', '.join(lacks)}"
    if version.files and version.files.contents is None and not version.files.damage:
        return Verdict(Outcome.UNKNOWN, f"{told}; nobody has looked into the files yet", inputs)
    return Verdict(Outcome.FAIL, told, inputs)


def _with(definition: Definition) -> str:
    return f" and the sections {', '.join(definition['sections'])}" if "sections" in definition else ""


def _sha256(text: str) -> str | None:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() if text else None


def _in_files(version: Candidate) -> set[str]:
    contents = version.files.contents if version.files else None
    return {_folded(heading) for heading in (contents or {}).get("headings", ())}


def _folded(heading: str) -> str:
    """A heading as it is compared: whatever the case, the spaces, the emphasis and a colon at its end."""
    return " ".join(heading.casefold().strip(" \t*_`:").split())


DESCRIPTION = Gate(
    about="Somebody described the version, or its model: at some length, and with these sections where they are named. "
    "A section is a heading of the description or of a model card among the files.",
    properties={
        "of": {"enum": list(_TEXTS), "default": "version", "description": "Whose description."},
        "min_length": {"type": "integer", "minimum": 1, "maximum": 100_000, "default": 1},
        "sections": listed(_HEADING),
    },
    required=[],
    title=_description_title,
    judge=_description,
    reads=[],
)
