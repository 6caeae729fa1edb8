"""The names by which clients of MLflow and Databricks ask for events: what goes by which, and what a test sends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from accounts.verbs import Verb
from registry.formats import Format, Told, asked_for, goes_by, names_of, verbs_behind, written
from registry.formats.examples import tested as example_for
from tests.registry.test_formats import AT, MOVED, about

PROMPT = {"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": "Say {{ it }}", "_mlflow_prompt_type": "text"}
ASKED = replace(MOVED, verb=Verb.PROMOTION_REQUESTED)


def body(form: Format, told: Told, *events: str, stages: tuple[str, ...] = ()) -> dict[str, Any]:
    return json.loads(written(form, told, delivery_id="d", at=AT, events=events, stages=stages).body)


def test_the_names_are_those_of_the_clients() -> None:
    assert len(asked_for(Format.MLFLOW)) == 15
    assert len(asked_for(Format.DATABRICKS)) == 12
    assert asked_for(Format.VOUCH) == {}
    assert verbs_behind(
        Format.MLFLOW, ["model_version_tag.set", "model_version_tag.deleted", "prompt_alias.created"]
    ) == [Verb.VERSION_TAGGED]


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (about(Verb.MODEL_CREATED, tags={}), "registered_model.created"),
        (about(Verb.MODEL_CREATED, tags=PROMPT), "prompt.created"),
        (about(Verb.VERSION_REGISTERED, tags={"mlflow.prompt.is_prompt": "false"}), "model_version.created"),
        (about(Verb.VERSION_REGISTERED, tags=PROMPT), "prompt_version.created"),
        (about(Verb.VERSION_TAGGED, key="k", value=""), "model_version_tag.set"),
        (about(Verb.VERSION_TAGGED, key="k", value=None), "model_version_tag.deleted"),
        (about(Verb.ALIAS_SET, alias="a"), "model_version_alias.created"),
        (about(Verb.ALIAS_REMOVED, alias="a"), "model_version_alias.deleted"),
    ],
)
def test_mlflow_knows_an_event_by_one_name(told: Told, name: str) -> None:
    assert [each for each in asked_for(Format.MLFLOW) if goes_by(Format.MLFLOW, told, [each])] == [name]
    entity, _, action = name.partition(".")
    sent = body(Format.MLFLOW, told)
    assert (sent["entity"], sent["action"]) == (entity, action)


def test_what_marks_a_prompt_is_not_among_its_tags() -> None:
    sent = body(Format.MLFLOW, about(Verb.VERSION_REGISTERED, tags={**PROMPT, "team": "risk"}, description=""))
    assert sent["data"] == {
        "name": "churn",
        "version": "7",
        "template": "Say {{ it }}",
        "tags": {"team": "risk"},
        "description": None,
    }


@pytest.mark.parametrize(
    ("told", "stage", "narrow", "wide"),
    [
        (MOVED, "Production", "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", "MODEL_VERSION_TRANSITIONED_STAGE"),
        (MOVED, "Archived", "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED", "MODEL_VERSION_TRANSITIONED_STAGE"),
        (ASKED, "Staging", "TRANSITION_REQUEST_TO_STAGING_CREATED", "TRANSITION_REQUEST_CREATED"),
    ],
)
def test_a_move_is_told_by_the_name_that_was_asked_for(told: Told, stage: str, narrow: str, wide: str) -> None:
    told = replace(told, data={**told.data, "stage": stage})
    for asked, name in (([narrow], narrow), ([wide], wide), ([wide, narrow], narrow), ([], wide)):
        assert body(Format.DATABRICKS, told, *asked)["event"] == name, asked
    assert body(Format.DATABRICKS, told, stages=(stage,))["event"] == narrow
    other = "MODEL_VERSION_TRANSITIONED_TO_STAGING" if told is not ASKED and stage != "Staging" else "COMMENT_CREATED"
    assert not goes_by(Format.DATABRICKS, told, [other])
    assert goes_by(Format.DATABRICKS, told, [other, wide])


def test_a_move_back_to_no_stage_has_only_the_wide_name() -> None:
    back = replace(MOVED, data={**MOVED.data, "stage": "None"})
    narrow = [name for name in asked_for(Format.DATABRICKS) if "_TO_" in name]
    assert not goes_by(Format.DATABRICKS, back, narrow)
    assert body(Format.DATABRICKS, back, stages=("None",))["event"] == "MODEL_VERSION_TRANSITIONED_STAGE"


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (form, name)
        for form in (Format.MLFLOW, Format.DATABRICKS)
        for name, kind in asked_for(form).items()
        if kind.verb
    ],
)
def test_a_test_sends_an_example_of_each_event_that_happens(form: Format, name: str) -> None:
    test = about(Verb.WEBHOOK_TESTED, event=name)
    sent = body(form, example_for(form, test), name)
    named = f"{sent['entity']}.{sent['action']}" if form == Format.MLFLOW else sent["event"]
    assert named == name
    assert (sent["data"]["name"] if form == Format.MLFLOW else sent["model_name"]) == "example"


def test_a_test_of_what_never_happens_sends_nothing() -> None:
    with pytest.raises(ValueError, match="budget"):
        example_for(Format.MLFLOW, about(Verb.WEBHOOK_TESTED, event="budget_policy.exceeded"))


def test_what_our_own_door_narrows_has_names_as_well() -> None:
    assert names_of(Format.VOUCH, [], []) == []
    assert "prompt_alias.created" not in names_of(Format.MLFLOW, [], [])
    assert names_of(Format.MLFLOW, [Verb.VERSION_TAGGED], []) == ["model_version_tag.set", "model_version_tag.deleted"]
    moves = [Verb.VERSION_TRANSITIONED]
    assert names_of(Format.DATABRICKS, moves, []) == ["MODEL_VERSION_TRANSITIONED_STAGE"]
    assert names_of(Format.DATABRICKS, moves, ["Production", "@a"]) == ["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"]
    assert names_of(Format.DATABRICKS, moves, ["None"]) == ["MODEL_VERSION_TRANSITIONED_STAGE"]
    assert names_of(Format.DATABRICKS, moves, ["@a"]) == []
