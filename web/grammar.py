"""The language of searches, which MLflow's clients speak and people type: `tags.team = 'risk' AND metrics.rmse < 0.7`,
and orders such as `metrics.rmse DESC`.

Conditions are joined by AND alone; there is no OR and there are no brackets. Names that hold spaces or operators stand
in back-quotes or double quotes, texts in single or double quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import Invalid
from core.searching import Condition, Field, Of, Operator, Order, Value
from core.text import storable

CONDITIONS, LISTED = 50, 5000  # at most, in a filter and in all of its lists
ORDERS = 20  # fields at most: each is a join and two columns, of which a statement has room for 1,664

NUMBER = frozenset(
    {Operator.EQUAL, Operator.DIFFERENT, Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST}
)
TEXT = frozenset({Operator.EQUAL, Operator.DIFFERENT, Operator.LIKE, Operator.ILIKE})
LISTS = frozenset({Operator.IN, Operator.NOT_IN})
NULLS = frozenset({Operator.MISSING, Operator.PRESENT})

_NAME = r"""([^\s'"`=!<>(),]*)(?:`([^`]*)`|"([^"]*)")?"""
_FIELD = re.compile(rf"\s*{_NAME}")
_OPERATOR = re.compile(
    r"\s*(?:(!=|<=|>=|=|<|>)|(IS\s+NOT\s+NULL|IS\s+NULL|NOT\s+IN|IN|ILIKE|LIKE)(?![\w.]))", re.IGNORECASE
)
_TEXT = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)")""")
_NUMBER = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?![\w.])")
_WHOLE = re.compile(r"[-+]?[0-9]{1,19}")
_AND = re.compile(r"\s*\bAND\b", re.IGNORECASE)
_WORD = re.compile(r"\s*(\S*)")
_ORDER = re.compile(rf"\s*{_NAME}\s*(ASC|DESC)?\s*", re.IGNORECASE)

_OWNERS: dict[str, Of] = {
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), Of.ATTRIBUTE),
    **dict.fromkeys(("tag", "tags"), Of.TAG),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), Of.PARAM),
    **dict.fromkeys(("metric", "metrics"), Of.METRIC),
    **dict.fromkeys(("dataset", "datasets"), Of.DATASET),
}


class BadFilter(Invalid):
    """Invalid clause(s) in filter string: {rest}. {hint}"""

    field = "filter"


class UnknownAttribute(Invalid):
    """Invalid attribute key '{value}' specified. Valid keys are: {known}."""

    field = "filter"


class UnknownOwner(Invalid):
    """Invalid entity type '{value}'. Valid values are: {known}."""

    field = "filter"


class WrongOperator(Invalid):
    """Invalid comparator '{value}' for {what}: it must be one of {known}."""

    field = "filter"


class WrongValue(Invalid):
    """Invalid value {value} for {what}: {hint}."""

    field = "filter"


class BadOrder(Invalid):
    """Invalid order_by clause '{value}': {hint}."""

    field = "order_by"


class TooManyOrders(Invalid):
    """order_by names {count} fields; at most {limit} are allowed."""

    field = "order_by"


@dataclass(frozen=True)
class Attribute:
    """A field of the thing's own: the column's name, how it may be compared, and whether a list may be in its order.

    `number` with `whole` is an integer, which may come in quotes.
    """

    name: str
    operators: frozenset[Operator] = TEXT
    number: bool = False
    whole: bool = False
    ordered: bool = True


@dataclass(frozen=True)
class Grammar:
    """What one kind of thing can be searched by: its attributes by their words, and how each other kind is compared."""

    attributes: Mapping[str, Attribute]
    named: Mapping[Of, frozenset[Operator]] = field(default_factory=dict)
    dataset_fields: Collection[str] = ("name", "digest", "context")
    ordered: Collection[Of] = (Of.ATTRIBUTE,)


def parse_filter(text: str, grammar: Grammar) -> list[Condition]:
    """The conditions that `text` joins by AND, none when it is blank.

    Raises BadFilter, UnknownAttribute, UnknownOwner, WrongOperator, WrongValue.
    """
    text = storable("filter", text)
    found: list[Condition] = []
    at = 0
    while text[at:].strip():
        if found:
            joint = _AND.match(text, at)
            if joint is None:
                raise _unread(text, at, "Conditions are joined by AND; OR and parentheses are not there.")
            at = joint.end()
        if len(found) == CONDITIONS:
            raise _unread(text, at, f"At most {CONDITIONS} conditions are allowed: send several searches.")
        room = LISTED - sum(len(other.value) for other in found if isinstance(other.value, tuple))
        condition, at = _condition(text, at, grammar, room)
        found.append(condition)
    return found


def parse_order(clauses: Sequence[str], grammar: Grammar) -> list[Order]:
    """The order that `clauses` ask for, each a field and perhaps ASC or DESC; a field named again changes nothing.

    Raises BadOrder, TooManyOrders.
    """
    if len(clauses) > ORDERS:
        raise TooManyOrders(count=len(clauses), limit=ORDERS)
    found: dict[Field, Order] = {}
    for clause in clauses:
        read = _ORDER.fullmatch(storable("order_by", clause))
        if read is None or not clause.strip():
            raise BadOrder(value=clause, hint="write FIELD, FIELD ASC or FIELD DESC")
        bare, back_quoted, quoted, direction = read.groups()
        try:
            named = _field(bare, back_quoted if back_quoted is not None else quoted, grammar)
        except Invalid as refusal:
            raise BadOrder(value=clause, hint=refusal.message.rstrip(".")) from None
        known = [word for word, attribute in grammar.attributes.items() if attribute.ordered]
        if named.of not in grammar.ordered or (
            named.of is Of.ATTRIBUTE and not _attribute(named.name, grammar).ordered
        ):
            raise BadOrder(value=clause, hint=f"order by one of {', '.join(known)}")
        found.setdefault(named, Order(named, (direction or "").upper() == "DESC"))
    return list(found.values())


def _condition(text: str, at: int, grammar: Grammar, room: int) -> tuple[Condition, int]:
    read = _FIELD.match(text, at)
    if read is None or not read[0].strip():
        raise _unread(text, at, _HINT)
    quoted = read[2] if read[2] is not None else read[3]
    operation = _OPERATOR.match(text, read.end())
    if operation is None:
        raise _unread(text, at, _HINT)
    named = _field(read[1], quoted, grammar)
    operator = Operator(" ".join((operation[1] or operation[2]).upper().split()))
    attribute = _attribute(named.name, grammar) if named.of is Of.ATTRIBUTE else None
    allowed = attribute.operators if attribute else grammar.named[named.of]
    what = f"{named.of} '{named.name}'"
    if operator not in allowed:
        raise WrongOperator(value=operator, what=what, known=", ".join(sorted(allowed)))
    if operator in NULLS:
        return Condition(named, operator), operation.end()
    if operator in LISTS:
        listed, at = _list(text, operation.end(), what, room)
        return Condition(named, operator, listed), at
    number = attribute.number if attribute else named.of is Of.METRIC
    value, at = _value(text, operation.end(), what, number=number, whole=bool(attribute and attribute.whole))
    if attribute and attribute.whole and isinstance(value, float):
        value = _rounded(value, operator, what)
    return Condition(named, operator, value), at


_HINT = "Write FIELD OPERATOR VALUE, such as name = 'iris' or tags.team LIKE 'r%', joined by AND."


def _unread(text: str, at: int, hint: str) -> BadFilter:
    return BadFilter(rest=text[at:].strip()[:200], hint=hint)


def _field(bare: str, quoted: str | None, grammar: Grammar) -> Field:
    """The field that `bare`, its quoted rest after it, names."""
    prefix, dot, rest = bare.partition(".")
    if quoted is not None:
        if bare and not bare.endswith("."):
            raise BadFilter(rest=f"{bare}`{quoted}`", hint=_HINT)
        prefix, dot, rest = bare[:-1], "." if bare else "", quoted
    if not dot:
        name = rest if quoted is not None else bare
        return Field(Of.ATTRIBUTE, _attribute(name, grammar).name)
    of = _OWNERS.get(prefix.lower())
    if of is None or (of is not Of.ATTRIBUTE and of not in grammar.named):
        known = [word for word, kind in _OWNERS.items() if kind is Of.ATTRIBUTE or kind in grammar.named]
        raise UnknownOwner(value=prefix, known=", ".join(known))
    if of is Of.ATTRIBUTE:
        return Field(of, _attribute(rest, grammar).name)
    if of is Of.DATASET and rest not in grammar.dataset_fields:
        raise UnknownAttribute(value=rest, known=", ".join(grammar.dataset_fields))
    if not rest:
        raise BadFilter(rest=bare, hint=_HINT)
    return Field(of, rest)


def _attribute(name: str, grammar: Grammar) -> Attribute:
    by_column = {attribute.name: attribute for attribute in grammar.attributes.values()}
    found = grammar.attributes.get(name) or by_column.get(name)
    if found is None:
        raise UnknownAttribute(value=name, known=", ".join(grammar.attributes))
    return found


def _value(text: str, at: int, what: str, *, number: bool, whole: bool) -> tuple[Value, int]:
    if number:
        return _number(text, at, what, whole=whole)
    read = _TEXT.match(text, at)
    if read is None:
        word = _WORD.match(text, at)
        raise WrongValue(value=word[1][:100] if word else "", what=what, hint="put the text in quotes, like 'this'")
    return _unquoted(read), read.end()


def _number(text: str, at: int, what: str, *, whole: bool) -> tuple[Value, int]:
    if whole and (quoted := _TEXT.match(text, at)) and _WHOLE.fullmatch(_unquoted(quoted)):
        return _fitting(int(_unquoted(quoted)), what), quoted.end()
    read = _NUMBER.match(text, at)
    if read is None:
        word = _WORD.match(text, at)
        hint = "give a whole number" if whole else "give a number, without quotes"
        raise WrongValue(value=word[1][:100] if word else "", what=what, hint=hint)
    if whole and _WHOLE.fullmatch(read[1]):
        return _fitting(int(read[1]), what), read.end()
    value = float(read[1])
    if math.isinf(value):
        raise WrongValue(value=read[1], what=what, hint="give a number within ±1.8e308")
    return value, read.end()


def _rounded(value: float, operator: Operator, what: str) -> int:
    """The whole number that says the same of whole numbers as a fraction does: `time.time() * 1000` is one."""
    if value.is_integer():
        return _fitting(int(value), what)
    if operator in (Operator.EQUAL, Operator.DIFFERENT):
        raise WrongValue(value=value, what=what, hint="give a whole number")
    return _fitting(math.ceil(value) if operator in (Operator.LESS, Operator.AT_LEAST) else math.floor(value), what)


def _fitting(value: int, what: str) -> int:
    if not -(2**63) <= value < 2**63:
        raise WrongValue(value=value, what=what, hint="give a number of at most 63 bits")
    return value


def _list(text: str, at: int, what: str, room: int) -> tuple[tuple[str, ...], int]:
    found: list[str] = []
    opening = re.compile(r"\s*\(").match(text, at)
    hint = "list texts in brackets, like ('a', 'b')"
    if opening is None:
        raise WrongValue(value=text[at:].strip()[:100], what=what, hint=hint)
    at = opening.end()
    while read := _TEXT.match(text, at):
        found.append(_unquoted(read))
        if len(found) > room:
            raise WrongValue(value="", what=what, hint=f"list at most {LISTED} texts in one filter")
        # Also ('a',): so programs write a tuple of one.
        end = re.compile(r"\s*(?:,(?!\s*\))|(,?\s*\)))").match(text, read.end())
        if end is None:
            break
        at = end.end()
        if end[1]:
            return tuple(found), at
    raise WrongValue(value=text[at:].strip()[:100], what=what, hint=hint)


def _unquoted(read: re.Match[str]) -> str:
    """The text of a literal; its own kind of quote stands in it doubled."""
    return read[1].replace("''", "'") if read[1] is not None else read[2].replace('""', '"')
