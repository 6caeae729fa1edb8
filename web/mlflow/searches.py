"""What MLflow's searches of models and versions say, and where prompts are among what they find."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Invalid
from core.searching import Condition, Field, Of, Operator, Order
from registry.searching import Tag
from web.grammar import LISTS, NUMBER, TEXT, Attribute, Grammar, parse_filter, parse_order
from web.mlflow.wire import Fields

# A prompt is a model with this tag. Searches of models leave prompts out unless they ask for them.
PROMPT = Tag("mlflow.prompt.is_prompt", "true")
_PROMPT_FIELD = Field(Of.TAG, PROMPT.key)

MODELS = Grammar({"name": Attribute("name", TEXT | LISTS)}, {Of.TAG: TEXT})
MODEL_ORDERS = Grammar(
    {
        "name": Attribute("name"),
        "timestamp": Attribute("updated_at"),
        "last_updated_timestamp": Attribute("updated_at"),
    }
)
VERSIONS = Grammar(
    {
        "name": Attribute("name", TEXT | LISTS),
        "run_id": Attribute("run", TEXT | LISTS),
        "source_path": Attribute("source", TEXT),
        "version_number": Attribute("number", NUMBER, number=True, whole=True),
    },
    {Of.TAG: TEXT},
)
VERSION_ORDERS = Grammar(
    {
        "name": Attribute("name"),
        "version_number": Attribute("number"),
        "creation_timestamp": Attribute("created_at"),
        "last_updated_timestamp": Attribute("updated_at"),
    }
)


class OrderedTwice(Invalid):
    """`order_by` contains duplicate fields: {value}. Name each once."""

    field = "order_by"


def conditions(fields: Fields, grammar: Grammar) -> tuple[list[Condition], Tag | None]:
    """What the filter asks for, and the tag of what is left out besides: that of prompts, unless it asks for those.

    Every search of a stock client says that it wants no prompts; models which lack the tag are none.
    """
    asked = parse_filter(fields.text("filter"), grammar)
    about_prompts = [condition for condition in asked if condition.field == _PROMPT_FIELD]
    if about_prompts and _wants_prompts(about_prompts[0]):
        return asked, None
    return [condition for condition in asked if condition.field != _PROMPT_FIELD], PROMPT


def _wants_prompts(condition: Condition) -> bool:
    value = str(condition.value).lower()
    return (condition.operator, value) in ((Operator.EQUAL, "true"), (Operator.DIFFERENT, "false"))


def orders(fields: Fields, grammar: Grammar) -> Sequence[Order]:
    """The order that is asked for; BadOrder, OrderedTwice."""
    clauses = fields.strings("order_by")
    found = parse_order(clauses, grammar)
    if len(found) < len(clauses):
        raise OrderedTwice(value=", ".join(clauses))
    return found
