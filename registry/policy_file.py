"""Policies as one YAML file: reading it, writing it, and what applying it would change. No database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

import yaml

from core.errors import Invalid
from registry import policy as rules_of
from registry.errors import BadPolicyFile, UnreadablePolicyFile
from registry.gates import GATES
from registry.lifecycle import Stage
from registry.policy import RULES, Scope, Terms
from registry.references import target_named

LIMIT = 512 * 1024  # characters
DEPTH = 8
_SCOPE = ("target", "model", "pattern")
_STAGES = [str(stage) for stage in Stage]


@dataclass(frozen=True)
class Entry:
    """A policy as a file has it, its rules checked and filled in. `line` is 0 when it comes from elsewhere."""

    scope: Scope
    target: str
    rules: Mapping[str, Any]
    line: int = 0

    @property
    def place(self) -> tuple[str, Scope]:
        """What there is one policy of."""
        return self.target, self.scope

    def __str__(self) -> str:
        return f"{self.target} of {self.scope}"


# --- Reading ----------------------------------------------------------------------------------------------------------


def read(source: str) -> list[Entry]:
    """The policies in a YAML file. Raises UnreadablePolicyFile, and BadPolicyFile naming the line and the field.

    Anchors, tags and repeated keys are refused: they hide what a file says from those who review it.
    """
    if len(source) > LIMIT:
        raise UnreadablePolicyFile(why=f"it is longer than {LIMIT // 1024} KiB")
    document, value = _loaded(source)
    if not isinstance(value, dict) or set(value) != {"policies"} or not isinstance(value["policies"], list):
        raise UnreadablePolicyFile(why="it must hold 'policies:' with a list, and nothing else")
    entries: list[Entry] = []
    lines: dict[tuple[str, Scope], int] = {}
    for node, each in zip(document.value[0][1].value, value["policies"], strict=True):
        entry = _entry(node, each)
        if first := lines.get(entry.place):
            _bad(node, "policies", f"There are two policies for {entry}: the other one is in line {first}.")
        lines[entry.place] = entry.line
        entries.append(entry)
    return entries


def _loaded(source: str) -> tuple[yaml.MappingNode, Any]:
    """The document as nodes, which know their lines, and as a value."""
    try:
        _refuse_disguises(source)
        loader = yaml.SafeLoader(source)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise UnreadablePolicyFile(why="it must hold 'policies:' with a list, and nothing else")
            _refuse_repeated_keys(node)
            return node, loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadPolicyFile(line=mark.line + 1 if mark else 1, why=f"It is not YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise UnreadablePolicyFile(why=" ".join(str(error).split())) from None
    except ValueError as error:  # such as the 30th of February
        raise UnreadablePolicyFile(why=str(error)) from None


def _refuse_disguises(source: str) -> None:
    """Event by event, before anything is built: a few lines of anchors would become gigabytes."""
    depth = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            _bad(event, "policies", "Anchors and aliases are not taken: write it out.")
        if getattr(event, "tag", None):
            _bad(event, "policies", "Tags are not taken: write the value alone.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            _bad(event, "policies", f"It nests deeper than {DEPTH} levels.")


def _refuse_repeated_keys(node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            _refuse_repeated_keys(inner)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                _bad(key, "policies", f"The key {key.value!r} is no text: put it in quotes.")
            if key.value in seen:
                _bad(key, key.value, f"{key.value} is there twice.")
            seen.add(key.value)
            _refuse_repeated_keys(inner)


def _entry(node: yaml.Node, value: object) -> Entry:
    if not isinstance(node, yaml.MappingNode) or not isinstance(value, dict):
        _bad(node, "policies", "A policy is written like 'target: Production' with what it asks below it.")
    keys = {key.value: key for key, _ in node.value}
    for name in value:
        if name not in (*_SCOPE, *RULES["properties"]):
            known = ", ".join((*_SCOPE, *RULES["properties"]))
            _bad(keys[name], name, f"There is no {name} in a policy; there are {known}.")
    if "target" not in value:
        _bad(node, "target", "The target is missing: a stage, or an alias such as '@champion'.")
    for name in ("model", "pattern"):
        if name in value and not (isinstance(value[name], str) and value[name]):
            _bad(keys[name], name, f"{name} must be text, not {value[name]!r}: put it in quotes, or leave it out.")
    try:
        target = str(target_named(value["target"]))
        return Entry(
            Scope(value.get("model", ""), value.get("pattern", "").lower()),
            target,
            rules_of.checked({name: value[name] for name in value if name not in _SCOPE}, target),
            node.start_mark.line + 1,
        )
    except Invalid as refusal:
        _bad(_named(node, refusal.at_field or ""), refusal.at_field, refusal.message)


def _named(node: yaml.Node, field: str) -> yaml.Node:
    """The node that `field`, such as `gates[1].at_least`, names below `node`; the last one on the way that is there."""
    for part in field.replace("[", ".").replace("]", "").split("."):
        if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
        elif isinstance(node, yaml.MappingNode):
            node = next((inner for key, inner in node.value if key.value == part), node)
    return node


def _bad(at: yaml.Node | yaml.Event, field: str | None, why: str) -> NoReturn:
    raise BadPolicyFile(field=field, line=at.start_mark.line + 1 if at.start_mark else 1, why=why)


# --- Writing ----------------------------------------------------------------------------------------------------------


def written(entries: Collection[Entry]) -> str:
    """`entries` as a file: in an order of its own, so that the same policies are the same text. `read` reads it."""
    if not entries:
        return "policies: []\n"
    told = [_yaml([_said(entry)]) for entry in sorted(entries, key=_order)]
    return "policies:\n" + "\n".join(told)


def _order(entry: Entry) -> tuple[object, ...]:
    stage = _STAGES.index(entry.target) if entry.target in _STAGES else len(_STAGES)
    return stage, entry.target, bool(entry.scope.model), entry.scope.pattern, entry.scope.model


def _said(entry: Entry) -> dict[str, Any]:
    """The policy without what goes without saying; the number of approvals is always said."""
    scope = {"target": entry.target, "model": entry.scope.model, "pattern": entry.scope.pattern}
    rules = {
        name: entry.rules[name]
        for name in RULES["properties"]
        if name == "approvals" or entry.rules[name] != rules_of.default(name, entry.target)
    }
    if "gates" in rules:
        rules["gates"] = [_gate_said(definition) for definition in rules["gates"]]
    return {**{name: value for name, value in scope.items() if value}, **rules}


def _gate_said(definition: Mapping[str, Any]) -> dict[str, Any]:
    """In the order of the gate's own table: the database keeps none."""
    order = ["gate", *GATES[definition["gate"]].properties, *sorted(definition)]
    return {
        name: dict(sorted(value.items())) if isinstance(value, dict) else value
        for name, value in sorted(definition.items(), key=lambda item: order.index(item[0]))
    }


def _yaml(value: object) -> str:
    # PyYAML's own way with lists is not to indent them below their key; it reads both.
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))


# --- What would change ------------------------------------------------------------------------------------------------


class Kind(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    RETIRED = "retired"


@dataclass(frozen=True)
class Change:
    """What applying a file does to one policy; `before` is None for a new one, `after` for one that goes."""

    entry: Entry
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def kind(self) -> Kind:
        return Kind.ADDED if self.before is None else Kind.RETIRED if self.after is None else Kind.CHANGED


def changes(there: Collection[Entry], wanted: Sequence[Entry], *, prune: bool = False) -> list[Change]:
    """How `there` differs from `wanted`, in the order of the file; what is not in it goes with `prune` only."""
    known = {entry.place: entry for entry in there}
    found = []
    for entry in wanted:
        before = known.pop(entry.place, None)
        if before is None or before.rules != entry.rules:
            found.append(Change(entry, before.rules if before else None, entry.rules))
    if prune:
        found += [Change(entry, entry.rules, None) for entry in sorted(known.values(), key=_order)]
    return found


def told(change: Change) -> Iterator[str]:
    """The change for people, a line each: what is new, what goes, and what becomes stricter."""
    if change.before is None:
        yield f"+ {change.entry}"
        yield from (f"    {phrase}" for phrase in rules_of.in_words(_terms(change.after), change.entry.target))
    elif change.after is None:
        yield f"- {change.entry}"
    else:
        yield f"~ {change.entry}"
        for name in RULES["properties"]:
            if change.before[name] != change.after[name]:
                yield from _differs(name, change.before[name], change.after[name])
        stricter = rules_of.tightened(_terms(change.before), _terms(change.after))
        if stricter:
            yield f"    stricter, open promotions are held to it: {', '.join(stricter)}"


def _differs(name: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, list):
        yield from (f"    - {name}: {_flat(item)}" for item in before if item not in after)
        yield from (f"    + {name}: {_flat(item)}" for item in after if item not in before)
        if sorted(map(_flat, before)) == sorted(map(_flat, after)):
            yield f"    {name}: in another order"
    else:
        yield f"    {name}: {_flat(before)} → {_flat(after)}"


def _flat(value: Any) -> str:
    flat = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return str(flat).removesuffix("...\n").strip()


def _terms(rules: Mapping[str, Any] | None) -> Terms:
    return Terms.of(rules or {}, name="", why="")
