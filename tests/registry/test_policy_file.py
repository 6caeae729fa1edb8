"""Policies as a YAML file, and the command that applies, shows and compares it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.queries import system_actor
from accounts.services import people
from registry import errors, policy_file
from registry.lifecycle import State
from registry.models import Policy, Promotion
from registry.policy import Scope
from registry.services import policies, promotions
from tests import make

FILE = """\
policies:
- target: Production
  approvals: 1

- target: Production
  pattern: risk-*
  approvals: 2
  teams:
  - risk
  gates:
  - gate: metric_threshold
    metric: auc
    at_least: 0.9
  - gate: required_checks
    names:
    - bias
    reported_by:
    - ci
  approval_days: 365
  bypass: false

- target: Production
  model: churn
  approvals: 3

- target: '@champion'
  approvals: 1
"""


# --- Reading and writing ----------------------------------------------------------------------------------------------


def test_what_is_read_and_written_again_is_the_same_to_the_byte() -> None:
    entries = policy_file.read(FILE)
    assert [str(entry) for entry in entries] == [
        "Production of all models",
        "Production of models risk-*",
        "Production of model churn",
        "@champion of all models",
    ]
    assert policy_file.written(entries) == FILE
    assert policy_file.written(list(reversed(entries))) == FILE
    assert policy_file.read(policy_file.written([])) == []


def test_other_spellings_of_the_same_are_written_as_one() -> None:
    other = '{policies: [{approvals: 1, exclusive: true, target: production}, {pattern: "RISK*", target: Staging}]}'
    assert policy_file.written(policy_file.read(other)) == (
        "policies:\n- target: Staging\n  pattern: risk*\n  approvals: 1\n\n- target: Production\n  approvals: 1\n"
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("policies:\n- target: Production\n  aprovals: 2\n", "Line 3: There is no aprovals in a policy"),
        ("policies:\n- target: Production\n  approvals: two\n", "Line 3: approvals will not do: 'two'"),
        ("policies:\n- target: Production\n  approvals: 1\n  approvals: 2\n", "Line 4: approvals is there twice"),
        ("policies:\n- approvals: 2\n", "Line 2: The target is missing"),
        ("policies:\n- target: Prod\n", "Line 2: target 'Prod' is neither a stage nor an alias"),
        ("policies:\n- target: Staging\n  model: 7\n", "Line 3: model must be text, not 7"),
        ("policies:\n- target: Staging\n  teams: [ok, no]\n", "Line 3: teams[1] will not do: False"),
        ("policies:\n- target: Staging\n- target: staging\n", "Line 3: There are two policies for Staging of all"),
        ("policies:\n- Production\n", "Line 2: A policy is written like"),
        (
            "policies:\n- target: Staging\n  gates:\n  - gate: metric_threshold\n    metric: auc\n    at_least: .nan\n",
            "Line 6: gates[0].at_least is nan",
        ),
        ("policies:\n- target: Staging\n  gates:\n  - gate: x\n", 'Line 4: gates[0].gate is "x", which is no gate'),
        ("policies:\n- target: Staging\n  gates: [{gate: metric_threshold, metric: 2026-01-01}]\n", "Line 3: gates[0]"),
        ("policies: [\n", "Line 2: It is not YAML"),
        ("policies:\n- &a {target: Staging}\n- *a\n", "Line 2: Anchors and aliases are not taken"),
        ("policies: !!python/object/apply:os.system [id]\n", "Line 1: Tags are not taken"),
        ("policies:\n- 1: x\n", "Line 2: The key '1' is no text"),
        ("a: " + "[" * 5000 + "]" * 5000, "Line 1: It nests deeper than 8 levels"),
        ("a: " + "1" * 5000, "This is no file of policies"),
        ("x: 2026-02-30", "This is no file of policies"),
        ("", "it must hold 'policies:' with a list"),
        ("policies: {}", "it must hold 'policies:' with a list"),
        ("policies: []\nextra: 1", "it must hold 'policies:' with a list"),
        ("policies: []\n---\npolicies: []\n", "Line 2: It is not YAML"),
        ("policies: [\x00]", "This is no file of policies"),
        ("#" * (policy_file.LIMIT + 1), "longer than 512 KiB"),
    ],
)  # fmt: skip
def test_a_file_that_will_not_do_is_refused_with_line_and_field(source: str, told: str) -> None:
    with pytest.raises((errors.BadPolicyFile, errors.UnreadablePolicyFile)) as refused:
        policy_file.read(source)
    assert told in refused.value.message


def test_a_change_is_told_with_what_becomes_stricter() -> None:
    there = policy_file.read(FILE)
    wanted = policy_file.read(
        FILE.replace("0.9", "0.95")
        .replace("approvals: 3", "approvals: 0")
        .replace("- target: '@champion'", "- target: '@next'")
    )
    found = policy_file.changes(there, wanted, prune=True)
    assert "\n".join(line for change in found for line in policy_file.told(change)) == (
        "~ Production of models risk-*\n"
        "    - gates: {gate: metric_threshold, metric: auc, at_least: 0.9}\n"
        "    + gates: {gate: metric_threshold, metric: auc, at_least: 0.95}\n"
        "    stricter, open promotions are held to it: the gate auc at least 0.95\n"
        "~ Production of model churn\n"
        "    approvals: 3 → 0\n"
        "+ @next of all models\n"
        "    an approval by one reviewer who had no part in it\n"
        "- @champion of all models"
    )


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def churn(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    people.set_team(system_actor(make.workspace()), name="risk", usernames=[])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(FILE)
    return path


def policy(*arguments: Any) -> str:
    output = io.StringIO()
    call_command("policy", *map(str, arguments), stdout=output)
    return output.getvalue()


@pytest.mark.django_db
def test_a_file_is_applied_shown_and_compared(churn: None, file: Path) -> None:
    with pytest.raises(SystemExit) as difference:
        policy("diff", file)
    assert difference.value.code == 1
    assert "4 changes, nothing was written" in policy("apply", file, "--dry-run")
    assert not Policy.objects.exists()
    assert "4 changes, written" in policy("apply", file, "--comment", "as agreed")
    assert policy("show") == FILE
    assert policy("diff", file) == ""
    assert policy("apply", file) == "nothing to change\n"
    assert set(Policy.objects.values_list("revision", "revisions__comment", "revisions__changed_by__username")) == {
        (1, "as agreed", "vouch")
    }
    file.write_text(FILE.partition("\n- target: Production\n  model")[0])
    assert policy("diff", file) == ""
    assert policy("apply", file, "--prune").startswith("- Production of model churn\n- @champion of all models\n")
    assert policy("show") == file.read_text()


@pytest.mark.django_db
def test_the_standard_input_is_a_file_too(churn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(FILE))
    assert "4 changes, written" in policy("apply", "-")


@pytest.mark.django_db
def test_it_says_which_open_promotions_were_reopened(churn: None, requester: Actor, file: Path) -> None:
    asked = promotions.request(requester, "churn", 1, "Production")
    assert f"reopened: churn v1 to Production, {settings.VOUCH_URL}{asked.page}\n" in policy("apply", file)
    assert AuditEntry.objects.filter(verb="promotion.reopened").count() == 1
    assert "reopened" not in policy("apply", file)
    assert Promotion.objects.get().state == State.OPEN


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("  model: nowhere\n", "Line 29: There is no model named 'nowhere' that you can see"),
        ("  pattern: a/b\n", "Line 29: pattern 'a/b' will not do"),
        ("  model: churn\n  pattern: c*\n", "Line 29: pattern 'c*' will not do: a policy is for a model or for"),
        ("  teams: [other]\n", "Line 29: teams[0] names 'other', which is no team"),
    ],
)  # fmt: skip
def test_one_that_will_not_do_and_nothing_is_written(churn: None, file: Path, wrong: str, told: str) -> None:
    file.write_text(f"{FILE}\n- target: Staging\n{wrong}")
    with pytest.raises(CommandError) as refused:
        policy("apply", file)
    assert told in str(refused.value)
    assert refused.value.returncode == 2
    assert not Policy.objects.exists()


@pytest.mark.django_db
def test_whoever_it_acts_as_must_be_allowed_to(
    churn: None, requester: Actor, maintainer: Actor, outsider: Actor, file: Path
) -> None:
    with pytest.raises(CommandError, match="needs the role administrator or maintainer"):
        policy("apply", file, "--as", "requester")
    with pytest.raises(CommandError, match=r"that you can see|needs the role"):
        policy("apply", file, "--as", "outsider")
    with pytest.raises(CommandError, match="no user 'nobody'"):
        policy("apply", file, "--as", "nobody")
    with pytest.raises(CommandError, match="no workspace 'nowhere'"):
        policy("apply", file, "--workspace", "nowhere")
    with pytest.raises(CommandError, match="cannot be read"):
        policy("apply", file.with_name("missing.yaml"))
    assert not Policy.objects.exists()
    policy("apply", file, "--as", "MAINTAINER")
    assert AuditEntry.objects.filter(verb="policy.changed", actor_name="maintainer").count() == 4


@pytest.mark.django_db
def test_pruning_needs_the_right_to_each_and_leaves_other_workspaces(
    churn: None, outsider: Actor, maintainer: Actor, file: Path
) -> None:
    policies.write(outsider, Scope(), "Production", {"approvals": 7})
    policies.write(maintainer, Scope(), "Staging", {"approvals": 1})
    file.write_text("policies: []\n")
    assert policy("apply", file, "--prune") == "- Staging of all models\n1 changes, written\n"
    assert Policy.objects.living().get().rules["approvals"] == 7
