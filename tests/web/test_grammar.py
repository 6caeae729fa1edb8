"""What MLflow's searches say, as conditions and orders."""

from __future__ import annotations

import pytest

from core.errors import Invalid
from core.searching import Condition, Field, Of, Operator, Order
from web.grammar import LISTS, NULLS, NUMBER, TEXT, Attribute, Grammar, parse_filter, parse_order

GRAMMAR = Grammar(
    attributes={
        "name": Attribute("name", TEXT | LISTS),
        "run name": Attribute("name", TEXT | LISTS),
        "start_time": Attribute("started_ms", NUMBER, number=True, whole=True),
        "digest": Attribute("digest", ordered=False),
    },
    named={Of.TAG: TEXT | NULLS, Of.METRIC: NUMBER, Of.DATASET: TEXT | LISTS},
    ordered=(Of.ATTRIBUTE, Of.METRIC),
)


QUOTED = "'a'"


def attribute(name: str, operator: str, value: object = None) -> Condition:
    return Condition(Field(Of.ATTRIBUTE, name), Operator(operator), value)  # type: ignore[arg-type]


def tag(name: str, operator: str, value: object = None) -> Condition:
    return Condition(Field(Of.TAG, name), Operator(operator), value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", []),
        ("  ", []),
        ("name = 'iris'", [attribute("name", "=", "iris")]),
        ('name="iris"', [attribute("name", "=", "iris")]),
        ("attributes.name != 'a b'", [attribute("name", "!=", "a b")]),
        ("name ilike '%iris_'", [attribute("name", "ILIKE", "%iris_")]),
        ("name = 'it''s'", [attribute("name", "=", "it's")]),
        ("name = ''", [attribute("name", "=", "")]),
        ("name = 'a AND b' and name LIKE 'c'", [attribute("name", "=", "a AND b"), attribute("name", "LIKE", "c")]),
        ("`run name` = 'x'", [attribute("name", "=", "x")]),
        ("attributes.\"run name\" = 'x'", [attribute("name", "=", "x")]),
        ("name IN ('a', \"b\" ,'c')", [attribute("name", "IN", ("a", "b", "c"))]),
        ("name NOT  in ('a')AND name = 'b'", [attribute("name", "NOT IN", ("a",)), attribute("name", "=", "b")]),
        ("start_time >= 12", [attribute("started_ms", ">=", 12)]),
        ("start_time<'-12'", [attribute("started_ms", "<", -12)]),
        (
            "start_time > 12.5 AND start_time <= -12.5",
            [attribute("started_ms", ">", 12), attribute("started_ms", "<=", -13)],
        ),
        (
            "start_time < 12.5 AND start_time >= -12.5",
            [attribute("started_ms", "<", 13), attribute("started_ms", ">=", -12)],
        ),
        ("start_time = 1.7e12", [attribute("started_ms", "=", 1_700_000_000_000)]),
        ("name IN ('a',) AND name = 'b'", [attribute("name", "IN", ("a",)), attribute("name", "=", "b")]),
        ("tag.team = 'risk'", [tag("team", "=", "risk")]),
        ("tags.mlflow.source.name = 'risk'", [tag("mlflow.source.name", "=", "risk")]),
        ("tags.`mlflow.prompt.is_prompt` != 'true'", [tag("mlflow.prompt.is_prompt", "!=", "true")]),
        ('tags."a b" IS NULL', [tag("a b", "IS NULL")]),
        ("TAGS.a is not null and tags.b = 'x'", [tag("a", "IS NOT NULL"), tag("b", "=", "x")]),
        ("metrics.rmse < 1e-3", [Condition(Field(Of.METRIC, "rmse"), Operator.LESS, 0.001)]),
        ("metrics.`a > b` = -.5", [Condition(Field(Of.METRIC, "a > b"), Operator.EQUAL, -0.5)]),
        ("metrics.a/b-c>0.5", [Condition(Field(Of.METRIC, "a/b-c"), Operator.MORE, 0.5)]),
        ("dataset.digest = 'x'", [Condition(Field(Of.DATASET, "digest"), Operator.EQUAL, "x")]),
    ],
)
def test_a_filter_is_read(text: str, conditions: list[Condition]) -> None:
    assert parse_filter(text, GRAMMAR) == conditions


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string: OR name = 'b'"),
        ("(name = 'a')", "Invalid clause(s) in filter string: (name = 'a')"),
        ("name = 'a' name = 'b'", "joined by AND"),
        ("name = 'a' AND", "Invalid clause(s)"),
        ("name", "FIELD OPERATOR VALUE"),
        ("= 'a'", "Invalid clause(s)"),
        ("'a' = name", "Invalid clause(s)"),
        ("name = a", "put the text in quotes"),
        ("name = 5", "put the text in quotes"),
        ("name = 'a", "put the text in quotes"),
        ("name > 'a'", "Invalid comparator '>'"),
        ("name IN ()", "list texts in brackets"),
        ("name IN ('a'", "list texts in brackets"),
        ("name IN (1)", "list texts in brackets"),
        ("stage = 'Production'", "Invalid attribute key 'stage'"),
        ("params.a = 'b'", "Invalid entity type 'params'"),
        ("dataset.colour = 'b'", "Invalid attribute key 'colour'"),
        ("metrics.a = '5'", "give a number, without quotes"),
        ("metrics.a > 1e999", "within ±1.8e308"),
        ("start_time = 1.5", "whole number"),
        ("start_time != 1.5", "whole number"),
        ("start_time > 9999999999999999999", "63 bits"),
        ("start_time > -1e300", "63 bits"),
        ("name IN ('a',,)", "list texts in brackets"),
        ("name IN (,)", "list texts in brackets"),
        (" AND ".join([f"name IN ({','.join(2501 * [QUOTED])})"] * 2), "at most 5000 texts in one filter"),
        ("tags. = 'a'", "Invalid clause(s)"),
        ("name = 'a\0'", "NUL"),
        (" AND ".join(["name = 'a'"] * 51), "At most 50 conditions"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_way_to_write_it(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_filter(text, GRAMMAR)
    assert told in refused.value.message


def test_an_order_is_read_and_a_field_named_again_orders_nothing_more() -> None:
    asked = ["name", "metrics.`a b` desc", "attribute.start_time  ASC", "`run name` DESC"]
    assert parse_order(asked, GRAMMAR) == [
        Order(Field(Of.ATTRIBUTE, "name")),
        Order(Field(Of.METRIC, "a b"), descending=True),
        Order(Field(Of.ATTRIBUTE, "started_ms")),
    ]


def test_an_order_of_more_fields_than_a_statement_may_join_is_refused() -> None:
    assert len(parse_order([f"metrics.m{number}" for number in range(20)], GRAMMAR)) == 20
    with pytest.raises(Invalid, match="order_by names 21 fields; at most 20"):
        parse_order([f"metrics.m{number}" for number in range(21)], GRAMMAR)


@pytest.mark.parametrize("clause", ["", "name UP", "name DESC, start_time", "digest", "tags.a", "colour DESC", "1 = 1"])
def test_what_is_no_order_is_refused(clause: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_order([clause], GRAMMAR)
    assert refused.value.message.startswith(f"Invalid order_by clause '{clause}'")
