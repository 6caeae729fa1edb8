"""Gates: what each says of which facts, and which definitions are refused. No database."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from core.canonical import canonical_json
from lineage.inspection import Contents
from registry.errors import BadGate
from registry.gates import (
    GATES,
    LIMIT,
    Candidate,
    CheckFacts,
    CheckState,
    Facts,
    Files,
    Outcome,
    RunFacts,
    Stay,
    Verdict,
    checked,
    judge,
)

NOW = datetime.datetime(2026, 5, 4, 12, 0, tzinfo=datetime.UTC)
DIGEST = "ab" * 32
INF, NAN = math.inf, math.nan

# Every gate with definitions that may stand in a policy; the properties below are tried on all of them.
SAMPLES: dict[str, list[dict[str, Any]]] = {
    "metric_threshold": [
        {"metric": "auc", "at_least": 0.9},
        {"metric": "loss", "at_most": 0},
        {"metric": "auc", "check": "ci", "at_least": 0.9},
    ],
    "not_worse": [
        {"metric": "auc", "direction": "higher"},
        {"metric": "loss", "direction": "lower", "by": 0.05, "relative": True},
        {"metric": "auc", "check": "ci", "direction": "higher", "by": 0.01},
    ],
    "required_tags": [{"keys": ["owner"]}, {"keys": ["owner"], "allowed": {"risk": ["low", "medium"]}}],
    "description": [{}, {"of": "either", "min_length": 20, "sections": ["Intended use", "Limitations"]}],
    "required_checks": [{"names": ["ci"]}, {"names": ["ci", "fairness"], "reported_by": ["robot"]}],
    "digest": [{}, {"within_days": 7}],
    "signature": [{}, {"input_example": True}],
    "lineage": [{}, {"of": ["commit", "run"]}],
    "soak": [{"stage": "Staging", "hours": 24}, {"stage": "None", "hours": 0.5}],
    "fresh_evaluation": [{"days": 30}, {"days": 1, "check": "ci"}],
}
ALL = [{"gate": name, **sample} for name, samples in SAMPLES.items() for sample in samples]


def ago(**units: float) -> datetime.datetime:
    return NOW - datetime.timedelta(**units)


def candidate(number: int = 2, metrics: dict[str, float] | None = None, **more: Any) -> Candidate:
    return Candidate(number, run=None if metrics is None else RunFacts(metrics), **more)


def check(state: str = "passed", reporter: str = "robot", **more: Any) -> CheckFacts:
    return CheckFacts(CheckState(state), reporter, more.pop("at", NOW), **more)


def verdict(name: str, version: Candidate, incumbent: Candidate | None = None, /, **definition: Any) -> Verdict:
    """What one gate says; the definition is one that a policy takes."""
    (given_,) = checked([{"gate": name, **definition}])
    return judge([given_], Facts(version, incumbent, NOW))[0].verdict


def said(name: str, version: Candidate, incumbent: Candidate | None = None, /, **definition: Any) -> tuple[str, str]:
    found = verdict(name, version, incumbent, **definition)
    return found.outcome.value, found.reason


# --- The table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GATES)
def test_every_gate_has_a_schema_a_title_a_guide_and_samples(name: str) -> None:
    assert name in SAMPLES, f"add definitions of {name} to SAMPLES in {__file__}, and a test of its verdicts"
    Draft202012Validator.check_schema(GATES[name].schema(name))
    for sample in checked([{"gate": name, **sample} for sample in SAMPLES[name]]):
        assert GATES[name].title(sample).strip()
    guide = (Path(__file__).parents[2] / "docs/guide/gates.md").read_text()
    assert f"\n## `{name}`\n" in guide, f"describe {name} in docs/guide/gates.md under the heading ## `{name}`"


def test_the_examples_of_the_guide_are_definitions() -> None:
    guide = (Path(__file__).parents[2] / "docs/guide/gates.md").read_text()
    in_json = [json.loads(block.split("```")[0]) for block in guide.split("```json\n")[1:]]
    in_yaml = [yaml.safe_load(block.split("```")[0]) for block in guide.split("```yaml\n")[1:]]
    told = [gate for example in in_json for gate in (example if isinstance(example, list) else [example])]
    assert {gate["gate"] for gate in checked(told)} == set(GATES)
    listed = [gate for example in in_yaml if isinstance(example, list) for gate in example]
    assert list(checked(listed)) == told, "the YAML and the JSON of each example are to say the same"


# --- metric_threshold -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "definition", "outcome", "reason"),
    [
        (0.91, {"at_least": 0.9}, "pass", "auc is 0.91, at least 0.9 is needed"),
        (0.9, {"at_least": 0.9}, "pass", "auc is 0.9, at least 0.9 is needed"),
        (0.89999999, {"at_least": 0.9}, "fail", "auc is 0.89999999, at least 0.9 is needed"),
        (0.9, {"at_most": 0.9}, "pass", "auc is 0.9, at most 0.9 is needed"),
        (1, {"at_most": 0}, "fail", "auc is 1, at most 0 is needed"),
        (NAN, {"at_least": 0.9}, "fail", "auc is nan, at least 0.9 is needed"),
        (NAN, {"at_most": 0.9}, "fail", "auc is nan, at most 0.9 is needed"),
        (INF, {"at_least": 0.9}, "pass", "auc is inf, at least 0.9 is needed"),
        (INF, {"at_most": 0.9}, "fail", "auc is inf, at most 0.9 is needed"),
    ],
)
def test_a_threshold(value: float, definition: dict[str, float], outcome: str, reason: str) -> None:
    assert said("metric_threshold", candidate(metrics={"auc": value}), metric="auc", **definition) == (outcome, reason)


def test_a_metric_that_is_not_there_is_unknown() -> None:
    for version in (candidate(), candidate(metrics={}), candidate(metrics={"f1": 1})):
        found = verdict("metric_threshold", version, metric="auc", at_least=0.9)
        assert (found.outcome, found.reason) == (Outcome.UNKNOWN, "v2 has no metric auc")
        assert found.inputs == {"auc": None}


def test_a_metric_is_evidence_with_every_digit_and_what_a_check_measured_is_none() -> None:
    version = candidate(metrics={"auc": 0.1 + 0.2}, checks={"ci": check(values={"auc": 0.95})})
    assert verdict("metric_threshold", version, metric="auc", at_least=0).inputs == {"auc": "0.30000000000000004"}
    measured = verdict("metric_threshold", version, metric="auc", check="ci", at_least=0.9)
    assert (measured.outcome, measured.inputs) == (Outcome.PASS, {})
    assert measured.reason == "auc as measured by ci is 0.95, at least 0.9 is needed"
    missing = verdict("metric_threshold", version, metric="auc", check="other", at_least=0.9)
    assert (missing.outcome, missing.inputs) == (Outcome.UNKNOWN, {})
    assert verdict("not_worse", version, version, metric="auc", check="ci", direction="higher").inputs == {}


def test_a_limit_is_never_shown_as_if_it_were_another_one() -> None:
    (given_,) = checked([{"gate": "metric_threshold", "metric": "auc", "at_least": 0.99999999}])
    assert GATES["metric_threshold"].title(given_) == "auc at least 0.99999999"


# --- not_worse --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "former", "definition", "outcome"),
    [
        (0.9, 0.9, {}, "pass"),
        (0.89, 0.9, {}, "fail"),
        (0.91, 0.9, {}, "pass"),
        (0.3, 0.35, {"by": 0.05}, "pass"),  # 0.35 - 0.3 is more than 0.05 as floats have it
        (0.29, 0.35, {"by": 0.05}, "fail"),
        (0.2999, 0.35, {"by": 0.05}, "fail"),
        (0.95, 1.0, {"by": 0.05, "relative": True}, "pass"),
        (190, 200, {"by": 0.05, "relative": True}, "pass"),
        (189.9, 200, {"by": 0.05, "relative": True}, "fail"),
        (-1.05, -1, {"by": 0.05, "relative": True}, "pass"),  # of its size, whatever its sign
        (-1.06, -1, {"by": 0.05, "relative": True}, "fail"),
        (0, 0, {"by": 0.5, "relative": True}, "pass"),
        (-1e-9, 0, {"by": 0.5, "relative": True}, "fail"),  # a part of nothing is nothing
        (1.05, 1, {"by": 0.05, "direction": "lower"}, "pass"),
        (1.06, 1, {"by": 0.05, "direction": "lower"}, "fail"),
        (0.5, 1, {"direction": "lower"}, "pass"),
        (NAN, 1, {}, "fail"),
        (1, NAN, {}, "unknown"),
        (NAN, NAN, {}, "unknown"),
        (INF, INF, {}, "pass"),
        (INF, 1, {}, "pass"),
        (1, INF, {"by": 1e300}, "fail"),
        (1, INF, {"by": 1, "relative": True}, "fail"),
        (1, INF, {"direction": "lower"}, "pass"),
        (INF, 1, {"direction": "lower", "by": 1e300, "relative": True}, "fail"),
        (-INF, -INF, {"by": 0, "relative": True}, "pass"),
        (1e300, -1e300, {"direction": "lower", "by": 1e300, "relative": True}, "pass"),
    ],
)
def test_not_worse(value: float, former: float, definition: dict[str, Any], outcome: str) -> None:
    asked = {"metric": "auc", "direction": "higher", **definition}
    found = verdict("not_worse", candidate(metrics={"auc": value}), candidate(1, {"auc": former}), **asked)
    assert found.outcome == outcome, found.reason
    assert found.inputs == {"auc": repr(float(value)), "auc before": repr(float(former))}


def test_what_not_worse_tells() -> None:
    version, before = candidate(metrics={"auc": 0.8}), candidate(1, {"auc": 0.83})
    asked = {"metric": "auc", "direction": "higher"}
    assert said("not_worse", version, None, **asked) == ("pass", "there is no version before it to compare with")
    assert said("not_worse", version, before, by=0.01, **asked) == (
        "fail",
        "auc is 0.8, that of v1 is 0.83, and at most 0.01 worse is allowed",
    )
    relative = said("not_worse", version, before, by=0.07, relative=True, **asked)
    assert relative == ("pass", "auc is 0.8, that of v1 is 0.83, and at most 7 % worse is allowed")
    assert said("not_worse", candidate(), before, **asked) == ("unknown", "v2 has no metric auc to compare")
    assert said("not_worse", version, candidate(1), **asked) == ("unknown", "v1 has no metric auc to compare")


_number = st.floats() | st.integers(-3, 3).map(float)


@given(_number, _number, _number, st.sampled_from(["higher", "lower"]), st.floats(0, 10), st.booleans())
def test_a_better_value_and_a_wider_margin_never_fail_where_a_worse_one_passed(
    one: float, other: float, former: float, direction: str, by: float, relative: bool
) -> None:
    worse, better = sorted([one, other], reverse=direction == "lower")
    if math.isnan(worse) or math.isnan(better):
        return

    def passes(value: float, margin: float) -> bool:
        asked = {"gate": "not_worse", "metric": "m", "direction": direction, "by": margin, "relative": relative}
        facts = Facts(candidate(metrics={"m": value}), candidate(1, {"m": former}), NOW)
        return judge([asked], facts)[0].passed

    assert passes(better, by) or not passes(worse, by)
    assert passes(worse, by * 2) or not passes(worse, by)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3), st.booleans(), st.sampled_from(["higher", "lower"]))
def test_a_value_exactly_at_the_margin_passes_whatever_floats_make_of_it(
    former: float, by: float, relative: bool, direction: str
) -> None:
    margin = by * abs(former) if relative else by
    value = former - margin if direction == "higher" else former + margin
    asked = {"gate": "not_worse", "metric": "m", "direction": direction, "by": by, "relative": relative}
    assert judge([asked], Facts(candidate(metrics={"m": value}), candidate(1, {"m": former}), NOW))[0].passed


@given(_number, st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_a_stricter_threshold_never_passes_what_a_milder_one_refused(value: float, one: float, other: float) -> None:
    mild, strict = sorted([one, other])
    facts = Facts(candidate(metrics={"m": value}), None, NOW)
    low, high = judge([{"gate": "metric_threshold", "metric": "m", "at_least": at} for at in (mild, strict)], facts)
    assert low.passed or not high.passed


# --- required_tags ----------------------------------------------------------------------------------------------------


def test_required_tags() -> None:
    asked: dict[str, Any] = {"keys": ["owner"], "allowed": {"risk": ["low", "medium"]}}
    good = verdict("required_tags", candidate(tags={"owner": "data", "risk": "low", "more": "x"}), **asked)
    assert (good.outcome, good.reason) == (Outcome.PASS, "owner is data; risk is low")
    assert good.inputs == {"tag owner": "data", "tag risk": "low"}
    assert said("required_tags", candidate(tags={"risk": "Low"}), **asked) == (
        "fail",
        "the tag owner is not set; the tag risk is Low, not low or medium",
    )
    assert said("required_tags", candidate(tags={"owner": " "}), keys=["owner"]) == ("fail", "the tag owner is empty")
    assert verdict("required_tags", candidate(), keys=["owner"]).inputs == {"tag owner": None}


def test_a_key_among_both_keys_and_allowed_is_held_to_its_values() -> None:
    asked: dict[str, Any] = {"keys": ["risk"], "allowed": {"risk": ["low"]}}
    assert said("required_tags", candidate(tags={"risk": "high"}), **asked)[0] == "fail"


# --- description ------------------------------------------------------------------------------------------------------

CARD = """About it: churn of next month, by tabular features.

## Intended use ##
Churn.

```
# Limitations
```

Limitations:
---
None known.
"""


def test_a_description_has_a_length_of_its_own_or_of_its_model() -> None:
    bare = candidate(description="  \n ", model_description="Churn of next month")
    assert said("description", bare) == ("fail", "nothing is written")
    assert said("description", bare, of="model") == ("pass", "it has 19 characters")
    assert said("description", bare, of="either", min_length=19)[0] == "pass"
    assert said("description", bare, of="either", min_length=20) == ("fail", "it has 19 characters, 20 are needed")


def test_a_description_is_evidence_by_its_digest() -> None:
    first, second = (verdict("description", candidate(description=text)).inputs for text in ("one", "another"))
    assert first != second
    assert len(first["description of the version"]) == 64
    assert set(verdict("description", candidate(), of="either").inputs.values()) == {None}


def test_sections_are_headings_of_the_description_or_of_a_model_card() -> None:
    sections = ["intended USE", "Limitations"]
    assert said("description", candidate(description=CARD), sections=sections)[0] == "pass"
    in_code = candidate(description="```\n# Limitations\n```\ntext\n")
    neither = "neither it nor a model card among the files has the section Limitations"
    assert said("description", in_code, sections=["Limitations"]) == ("fail", neither)
    card = Files(DIGEST, contents=Contents(headings=("Limitations", "Intended use")).as_json())
    assert said("description", candidate(description="x", files=card), sections=sections)[0] == "pass"
    unseen = candidate(description="x", files=Files(DIGEST))
    assert said("description", unseen, sections=["Limitations"]) == (
        "unknown",
        f"{neither}; nobody has looked into the files yet",
    )
    assert said("description", candidate(description="x", files=Files(DIGEST, damage="gone")), sections=["A"])[0] == (
        "fail"
    )


# --- required_checks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checks", "outcome", "reason"),
    [
        ({"ci": check()}, "pass", "passed: ci"),
        ({}, "unknown", "nobody has reported the check ci"),
        ({"ci": check("pending")}, "unknown", "the check ci is still running"),
        ({"ci": check("skipped")}, "unknown", "the check ci was skipped"),
        ({"ci": check("failed", summary="2 of 9")}, "fail", "the check ci has failed: 2 of 9"),
        (
            {"ci": check("passed", "mallory")},
            "unknown",
            "the check ci was reported by mallory, whose word does not count for it",
        ),
        (
            {"ci": check("failed", "mallory")},
            "unknown",
            "the check ci was reported by mallory, whose word does not count for it",
        ),
        ({"ci": check("failed", "mallory", others=(check(),))}, "pass", "passed: ci"),
        ({"ci": check("passed", "mallory", others=(check("failed"),))}, "fail", "the check ci has failed"),
    ],
)
def test_required_checks(checks: dict[str, CheckFacts], outcome: str, reason: str) -> None:
    found = verdict("required_checks", candidate(checks=checks), names=["ci"], reported_by=["robot"])
    assert (found.outcome, found.reason, found.inputs) == (outcome, reason, {})


def test_what_somebody_else_measured_does_not_count() -> None:
    """The author of a version may report checks as well; a gate can leave his word out."""
    flattering = check(reporter="author", values={"latency": 1}, others=(check(values={"latency": 90}),))
    asked = {"metric": "latency", "check": "load", "at_most": 50}
    slow = candidate(checks={"load": flattering})
    assert verdict("metric_threshold", slow, **asked).outcome == "pass"
    assert verdict("metric_threshold", slow, **asked, reported_by=["robot"]).outcome == "fail"
    assert verdict("metric_threshold", slow, **asked, reported_by=["nobody"]).outcome == "unknown"


# --- digest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "outcome", "reason"),
    [
        (None, "fail", "its files do not lie here, so nobody can tell whether they stay the same"),
        (Files(DIGEST), "unknown", "abababababab was never verified"),
        (Files(DIGEST, ago(hours=5)), "pass", "abababababab was verified 5 h ago"),
        (Files(DIGEST, ago(days=7)), "pass", "abababababab was verified 7 days ago"),
        (
            Files(DIGEST, ago(days=7, seconds=1)),
            "unknown",
            "abababababab was last verified on 2026-04-27, more than 7 days ago",
        ),
        (
            Files(DIGEST, NOW, damage="a.bin is missing"),
            "fail",
            "its files are damaged: a.bin is missing",
        ),
    ],
)
def test_digest(files: Files | None, outcome: str, reason: str) -> None:
    found = verdict("digest", candidate(files=files), within_days=7)
    assert (found.outcome, found.reason, found.inputs) == (outcome, reason, {})
    ever = verdict("digest", candidate(files=files))
    assert (ever.outcome == outcome) or (files and files.verified_at and ever.outcome == Outcome.PASS)


# --- signature --------------------------------------------------------------------------------------------------------

SEEN = Contents(
    mlmodel="model/MLmodel",
    mlmodel_read=True,
    signature_inputs=True,
    signature_outputs=True,
    input_example="model/input_example.json",
    environment=("model/requirements.txt",),
).as_json()


def with_files(**seen: Any) -> Candidate:
    return candidate(files=Files(DIGEST, contents=Contents.from_json({**SEEN, **seen}).as_json()))


@pytest.mark.parametrize(
    ("version", "outcome", "reason"),
    [
        (with_files(), "pass", "model/MLmodel names inputs and outputs, an example is model/input_example.json"),
        (
            with_files(signature_inputs=False),
            "pass",
            "model/MLmodel names outputs, an example is model/input_example.json",
        ),
        (
            with_files(signature_inputs=False, signature_outputs=False),
            "fail",
            "model/MLmodel says neither what goes in nor what comes out",
        ),
        (with_files(input_example=""), "fail", "model/MLmodel names no input example"),
        (with_files(mlmodel=""), "fail", "there is no MLmodel file, which holds the signature"),
        (with_files(mlmodel_read=False), "unknown", "model/MLmodel could not be read"),
        (with_files(mlmodel_read=False, problem="model/MLmodel: no YAML"), "fail", "model/MLmodel: no YAML"),
        (candidate(), "fail", "its files do not lie here, so nobody can look into them"),
        (candidate(files=Files(DIGEST)), "unknown", "nobody has looked into its files yet"),
        (candidate(files=Files(DIGEST, damage="a is missing")), "fail", "its files are damaged: a is missing"),
    ],
)
def test_signature(version: Candidate, outcome: str, reason: str) -> None:
    found = verdict("signature", version, input_example=True)
    assert (found.outcome, found.reason, found.inputs) == (outcome, reason, {})


def test_an_input_example_is_asked_only_where_the_policy_says_so() -> None:
    assert said("signature", with_files(input_example="")) == ("pass", "model/MLmodel names inputs and outputs")


# --- lineage ----------------------------------------------------------------------------------------------------------


def test_lineage_names_everything_that_is_not_known() -> None:
    run = RunFacts(commit="0123456789abcdef", datasets=("b 2", "a 1"))
    whole = Candidate(2, run=run, files=with_files().files)
    found = verdict("lineage", whole)
    assert found.reason == (
        "its run is known; made by commit 0123456789ab; its run read 2 data sets; "
        "it runs in what model/requirements.txt says"
    )
    assert (found.outcome, found.inputs) == (
        Outcome.PASS,
        {"run": "known", "commit": "0123456789abcdef", "datasets": "a 1; b 2"},
    )
    nothing = verdict("lineage", candidate())
    assert (nothing.outcome, nothing.reason) == (
        Outcome.FAIL,
        "no run is known here; its run names no code commit; its run names no data set; "
        "its files do not lie here, so nobody can look into them",
    )
    assert nothing.inputs == {"run": None, "commit": None, "datasets": None}
    unseen = Candidate(2, run=run, files=Files(DIGEST))
    assert said("lineage", unseen) == ("unknown", "nobody has looked into its files yet")
    assert said("lineage", unseen, of=["dataset", "run"])[0] == "pass"
    assert said("lineage", with_files(environment=[]), of=["environment"])[0] == "fail"


# --- soak -------------------------------------------------------------------------------------------------------------


def stay(began: datetime.datetime, ended: datetime.datetime | None = None, stage: str = "Staging") -> Stay:
    return Stay(stage, began, ended)


@pytest.mark.parametrize(
    ("stays", "outcome", "reason"),
    [
        ([], "fail", "v2 was never in Staging, 24 h at one go are needed"),
        ([stay(ago(hours=90), stage="Production")], "fail", "v2 was never in Staging, 24 h at one go are needed"),
        ([stay(ago(hours=3, minutes=20))], "unknown", "v2 is in Staging for 3 h 20 min of 24 h so far"),
        ([stay(ago(hours=23, minutes=59, seconds=59))], "unknown", "v2 is in Staging for 23 h 59 min of 24 h so far"),
        ([stay(ago(hours=24))], "pass", "v2 was in Staging for 24 h, 24 h are needed"),
        ([stay(ago(hours=60), ago(hours=30))], "pass", "v2 was in Staging for 30 h, 24 h are needed"),
        (
            [stay(ago(hours=60), ago(hours=40)), stay(ago(hours=30), ago(hours=10))],
            "fail",
            "v2 was in Staging for 20 h at most, 24 h at one go are needed",
        ),
        ([stay(ago(hours=60), ago(hours=40)), stay(ago(seconds=9))], "unknown", None),
        ([stay(ago(hours=-1))], "unknown", "v2 is in Staging for less than a minute of 24 h so far"),
    ],
)
def test_soak(stays: list[Stay], outcome: str, reason: str | None) -> None:
    found = verdict("soak", candidate(stays=tuple(stays)), stage="Staging", hours=24)
    assert (found.outcome, found.inputs) == (outcome, {})
    assert reason is None or found.reason == reason


def test_a_soak_says_exactly_when_it_is_over() -> None:
    began = ago(hours=3, minutes=20, microseconds=7)
    definition = {"gate": "soak", "stage": "Staging", "hours": 24}
    facts = Facts(candidate(stays=(stay(began),)), None, NOW)
    over = judge([definition], facts)[0].verdict.again_at
    assert over == began + datetime.timedelta(hours=24)
    instant = datetime.timedelta(microseconds=1)
    assert not judge([definition], Facts(facts.candidate, None, over - instant))[0].passed
    assert judge([definition], Facts(facts.candidate, None, over))[0].passed


# --- fresh_evaluation -------------------------------------------------------------------------------------------------


def test_fresh_evaluation_by_the_run() -> None:
    def ended(at: datetime.datetime | None) -> Candidate:
        return Candidate(2, run=RunFacts(ended_at=at))

    assert said("fresh_evaluation", ended(ago(days=7)), days=7) == ("pass", "its run ended 7 days ago")
    old = said("fresh_evaluation", ended(ago(days=7, seconds=1)), days=7)
    assert old == ("fail", "its run ended on 2026-04-27, more than 7 days ago")
    assert said("fresh_evaluation", ended(None), days=7) == ("unknown", "its run still goes on")
    assert said("fresh_evaluation", candidate(), days=1)[0] == "unknown"


@pytest.mark.parametrize(
    ("reported", "outcome", "reason"),
    [
        (check(at=ago(hours=2)), "pass", "the check eval was reported 2 h ago"),
        (check("failed", at=ago(hours=2)), "pass", "the check eval was reported 2 h ago"),
        (check(at=ago(days=3)), "fail", "the check eval was reported on 2026-05-01, more than 1 day ago"),
        (check("pending"), "unknown", "the check eval is still running"),
        (check("skipped"), "unknown", "the check eval was skipped"),
        (None, "unknown", "nobody whose word counts has reported the check eval"),
    ],
)
def test_fresh_evaluation_by_a_check(reported: CheckFacts | None, outcome: str, reason: str) -> None:
    version = candidate(checks={"eval": reported} if reported else {})
    found = verdict("fresh_evaluation", version, days=1, check="eval")
    assert (found.outcome, found.reason, found.inputs) == (outcome, reason, {})


# --- What holds for all of them ---------------------------------------------------------------------------------------

_name = st.sampled_from(["auc", "loss", "ci", "owner", "risk", "x"])
_text = st.text(max_size=60) | st.sampled_from([CARD, "low", "\ud800"])
_time = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC))
_checks = st.builds(CheckFacts, st.sampled_from(CheckState), _name, _time, _text, st.dictionaries(_name, st.floats()))
_runs = st.builds(
    RunFacts,
    st.dictionaries(_name, st.floats() | st.just(10**400)),
    st.none() | _time,
    _text,
    st.lists(_text).map(tuple),
)
_contents = st.none() | st.fixed_dictionaries(
    {},
    optional={
        **{key: st.booleans() for key in ("mlmodel_read", "signature_inputs", "signature_outputs")},
        **{key: st.lists(_text, max_size=3) for key in ("environment", "headings")},
        **dict.fromkeys(("mlmodel", "input_example", "problem"), _text),
    },
)
_files = st.builds(Files, st.just(DIGEST), st.none() | _time, _text, _contents)
_stays = st.builds(Stay, st.sampled_from(["None", "Staging", "Production"]), _time, st.none() | _time)
_versions = st.builds(
    Candidate,
    st.integers(1, 9),
    _text,
    _text,
    st.dictionaries(_name, _text),
    st.none() | _files,
    st.none() | _runs,
    st.dictionaries(_name, _checks),
    st.lists(_stays, max_size=4).map(tuple),
)


@given(st.builds(Facts, _versions, st.none() | _versions, _time), st.permutations(ALL))
def test_whatever_the_facts_every_gate_answers_the_same_each_time_in_any_order(
    facts: Facts, definitions: list[dict[str, Any]]
) -> None:
    found = judge(definitions, facts)
    assert found == judge(definitions, facts)
    assert [judge([definition], facts)[0] for definition in definitions] == list(found)
    for judged in found:
        assert judged.verdict.reason.strip()
        assert "\n" not in judged.title
        if not any("\ud800" in str(value) for value in judged.verdict.inputs.values()):
            canonical_json(dict(judged.verdict.inputs))


# --- Definitions that are refused -------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"metric": "auc"}, "", "has none of at_least, at_most: give exactly one of them"),
    ({"metric": "auc", "at_least": 1, "at_most": 2}, "", "has at_least and at_most of at_least, at_most: give exactly"),
    (
        {"at_least": 1},
        ".metric",
        "is missing: metric_threshold takes metric, check, reported_by, at_least, at_most and needs metric",
    ),
    ({"metric": "auc", "at_leest": 1}, ".at_leest", "is not known: did you mean at_least?"),
    ({"metric": "auc", "at_least": "0.9"}, ".at_least", 'is "0.9": give a finite number'),
    ({"metric": "auc", "at_least": True}, ".at_least", "is true: give a finite number"),
    ({"metric": "auc", "at_least": None}, ".at_least", "is null: give a finite number"),
    ({"metric": "auc", "at_least": NAN}, ".at_least", "is NaN: give a finite number"),
    ({"metric": "auc", "at_most": -INF}, ".at_most", "is -Infinity: give a finite number"),
    ({"metric": "auc", "at_most": 10**400}, ".at_most", "give at most 1e+300"),
    ({"metric": "auc", "at_most": 16**9999}, ".at_most", "holds what JSON does not (int)"),
    ({"metric": "auc", "at_most": 1j}, ".at_most", "holds what JSON does not (complex)"),
    ({"metric": "auc", "at_most": NOW}, ".at_most", "holds what JSON does not (datetime)"),
    ({"metric": "", "at_most": 1}, ".metric", "is empty: write at least one character"),
    ({"metric": "a" * 251, "at_most": 1}, ".metric", "is 251 characters long: at most 250 are allowed"),
    ({"metric": "a\x00c", "at_most": 1}, ".metric", "holds the character U+0000"),
    ({"metric": "a\u202ec", "at_most": 1}, ".metric", "holds the character U+202E"),
    ({"metric": "a\ud800c", "at_most": 1}, ".metric", "holds the character U+D800"),
    ({"metric": "auc", "check": "", "at_most": 1}, ".check", "is empty"),
    ({"gate": "not_worse", "metric": "auc"}, ".direction", "is missing"),
    ({"gate": "not_worse", "metric": "auc", "direction": "up"}, ".direction", 'is "up": use one of higher, lower'),
    ({"gate": "not_worse", "metric": "a", "direction": "lower", "by": -0.1}, ".by", "is -0.1: give at least 0"),
    ({"gate": "not_worse", "metric": "a", "direction": "lower", "by": INF}, ".by", "is Infinity: give a finite"),
    (
        {"gate": "not_worse", "metric": "a", "direction": "lower", "relative": 1},
        ".relative",
        "is 1: give true or false",
    ),
    ({"gate": "required_tags"}, "", "has none of keys, allowed: give at least one of them"),
    ({"gate": "required_tags", "keys": []}, ".keys", "is empty: name at least one"),
    ({"gate": "required_tags", "keys": ["a", "a"]}, ".keys", 'is ["a", "a"], which names something twice'),
    ({"gate": "required_tags", "keys": ["a", 3]}, ".keys[1]", "is 3: give a text"),
    ({"gate": "required_tags", "keys": "owner"}, ".keys", 'is "owner": give a list'),
    ({"gate": "required_tags", "keys": [str(n) for n in range(51)]}, ".keys", "holds 51: at most 50 are allowed"),
    ({"gate": "required_tags", "allowed": {}}, ".allowed", "is empty: name at least one"),
    ({"gate": "required_tags", "allowed": {"risk": []}}, ".allowed.risk", "is empty: name at least one"),
    ({"gate": "required_tags", "allowed": {"": ["x"]}}, ".allowed", "is empty: write at least one character"),
    ({"gate": "required_tags", "allowed": {"risk": ["a\nb"]}}, ".allowed.risk[0]", "holds the character U+000A"),
    ({"gate": "required_tags", "allowed": {"a\nb": ["x"]}}, ".allowed", "holds the character U+000A"),
    ({"gate": "description", "of": "both"}, ".of", 'is "both": use one of version, model, either'),
    ({"gate": "description", "min_length": 0}, ".min_length", "is 0: give at least 1"),
    ({"gate": "description", "min_length": 1.5}, ".min_length", "is 1.5: give a whole number"),
    ({"gate": "description", "sections": [""]}, ".sections[0]", "is empty"),
    ({"gate": "required_checks"}, ".names", "is missing"),
    ({"gate": "required_checks", "names": []}, ".names", "is empty"),
    (
        {"gate": "metric_threshold", "metric": "a", "at_least": 1, "reported_by": ["ci"]},
        ".reported_by",
        "goes with check: give both",
    ),
    (
        {"gate": "required_checks", "names": ["ci"], "reported_by": ["a" * 151]},
        ".reported_by[0]",
        "is 151 characters long",
    ),
    ({"gate": "digest", "within_days": 0}, ".within_days", "is 0: give at least 1"),
    ({"gate": "digest", "within_days": 3651}, ".within_days", "is 3651: give at most 3650"),
    ({"gate": "digest", "days": 7}, ".days", "is not known: digest takes within_days"),
    ({"gate": "signature", "input_example": "yes"}, ".input_example", 'is "yes": give true or false'),
    ({"gate": "lineage", "of": ["runs"]}, ".of[0]", 'is "runs": use one of run, commit, dataset, environment'),
    ({"gate": "lineage", "of": []}, ".of", "is empty"),
    ({"gate": "soak", "stage": "staging", "hours": 1}, ".stage", "use one of None, Staging, Production, Archived"),
    ({"gate": "soak", "stage": "Staging", "hours": 0}, ".hours", "is 0: give more than 0"),
    ({"gate": "soak", "stage": "Staging", "hours": 9000}, ".hours", "is 9000: give at most 8760"),
    ({"gate": "soak", "stage": "Staging"}, ".hours", "is missing"),
    ({"gate": "fresh_evaluation"}, ".days", "is missing"),
    ({"gate": "fresh_evaluation", "days": "7"}, ".days", 'is "7": give a whole number'),
    ({"gate": "metrics"}, ".gate", 'is "metrics", which is no gate: use one of metric_threshold, not_worse'),
    ({"gate": ["soak"]}, ".gate", 'is ["soak"], which is no gate'),
    ({"gate": "digest", 3: 4}, ".3", "is not known"),
]


@pytest.mark.parametrize(("definition", "at", "told"), BAD)
def test_a_bad_definition_is_refused_with_its_field_the_value_and_the_way_out(
    definition: dict[str, Any], at: str, told: str
) -> None:
    bad = {"gate": "metric_threshold", **definition}
    with pytest.raises(BadGate) as refused:
        checked([{"gate": "signature"}, bad])
    assert refused.value.at_field == f"gates[1]{at}"
    assert refused.value.message.startswith(f"gates[1]{at} ")
    assert told in refused.value.message


def test_every_gate_has_definitions_that_are_refused() -> None:
    tried = {str(definition.get("gate", "metric_threshold")) for definition, _, _ in BAD}
    assert set(GATES) <= tried, f"add bad definitions of {set(GATES) - tried} to BAD in {__file__}"


def test_what_is_no_list_of_gates_is_refused() -> None:
    for bad, told in [
        ("digest", 'gates is "digest", not a list: give a list of gates.'),
        (["digest"], 'gates[0] is "digest", not an object: write it like {"gate": "signature"}.'),
        ([{}], "gates[0].gate is missing: use one of"),
        ([{"gate": "soak", "stage": "Staging", "hours": n + 1} for n in range(LIMIT + 1)], "gates holds 31 gates"),
        ([{"gate": "digest"}, {"gate": "digest"}], "gates[1] is the same as gates[0]: take one of them out."),
    ]:
        with pytest.raises(BadGate) as refused:
            checked(bad)
        assert refused.value.message.startswith(told)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from(ALL),
    st.data(),
)
def test_whatever_stands_in_a_definition_it_is_taken_or_refused_by_name_and_what_is_taken_can_be_judged(
    value: Any, sample: dict[str, Any], data: st.DataObject
) -> None:
    changed = {**sample, data.draw(st.sampled_from([*GATES[sample["gate"]].properties])): value}
    judged, refused_at = (), "gates[0]"
    try:
        judged = judge(checked([changed]), Facts(with_files(), candidate(1, {}), NOW))
    except BadGate as refused:
        refused_at = refused.at_field or "nowhere"
    assert refused_at.startswith("gates[0]")
    canonical_json([[each.title, dict(each.verdict.inputs)] for each in judged])
