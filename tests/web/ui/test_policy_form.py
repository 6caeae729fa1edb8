"""The form of a policy: every rule there and back, what it refuses and where, and who may save."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import User
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people
from registry import policy_file
from registry.models import Policy, Promotion
from registry.policy import Scope
from registry.services import policies
from tests import make
from tests.web.ui.conftest import signed_in, text_of

pytestmark = pytest.mark.django_db

EVERY_RULE = """policies:
- target: '@champion'
  pattern: risk-*
  approvals: 3
  teams: [legal, risk]
  excluded_teams: [vendors]
  exclusive: true
  lifetime_days: 10
  approval_days: 365
  bypass: false
  gates:
  - {gate: metric_threshold, metric: "auc ", at_least: 0.90}
  - {gate: metric_threshold, metric: p95, check: latency, reported_by: [ci, "the, other"], at_most: 20}
  - {gate: not_worse, metric: auc, direction: higher, by: 0.0, relative: false}
  - {gate: not_worse, metric: loss, direction: lower, by: 1.0e-3, relative: true}
  - {gate: required_tags, keys: [owner, " b: x"], allowed: {"risk: a": [low, "a, b"], tier: [gold]}}
  - {gate: description, of: either, min_length: 1, sections: [Data, "Intended use"]}
  - {gate: required_checks, names: [bias], reported_by: [ci]}
  - {gate: digest, within_days: 7}
  - {gate: digest}
  - {gate: signature, input_example: false}
  - {gate: signature, input_example: true}
  - {gate: lineage, of: [dataset, run]}
  - {gate: lineage}
  - {gate: soak, stage: Staging, hours: 1.5}
  - {gate: fresh_evaluation, days: 7, check: nightly, reported_by: [ci]}
"""


@pytest.fixture(autouse=True)
def teams(db: None) -> None:
    for name in ("legal", "risk", "vendors"):
        people.set_team(system_actor(make.workspace()), name=name, usernames=[])


def fields_of(response: Any) -> dict[str, Any]:
    """What a browser would send of the form on the page, without any button."""
    page = response.content.decode()
    form = page[page.index('class="stack long-form') : page.index("</form>", page.index('class="stack long-form'))]
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        given = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if given.get("type") in ("radio", "checkbox") and " checked" not in tag:
            continue
        sent.setdefault(given["name"], []).append(html.unescape(given.get("value", "")))
    for name, value in re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        sent.setdefault(name, []).append(html.unescape(value.removeprefix("\n")).replace("\n", "\r\n"))
    for name, options in re.findall(r'<select[^>]* name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r"<option( value=\"([^\"]*)\")? selected>([^<]*)", options)
        first = re.search(r"<option value=\"([^\"]*)\"", options)
        sent.setdefault(name, []).append((chosen[2] or chosen[3]) if chosen else first[1] if first else "")
    return dict(sent)


def press(client: Client, path: str, act: str, page: Any = None, **changed: Any) -> Any:
    """The form as it stands on the page, with some fields changed, sent by one of its buttons."""
    fields = fields_of(page if page is not None else client.get(path))
    return client.post(path, {**fields, **changed, "act": act})


def by_field(page: Any) -> dict[str, str]:
    """What is said beside each field."""
    found = re.findall(r'<p class="wrong" id="([^"]+)-wrong" dir="auto">(.*?)</p>', page.content.decode())
    return {name: html.unescape(said) for name, said in found}


def test_every_rule_goes_through_the_form_and_comes_back_the_same(maintainer: Actor) -> None:
    [entry] = policy_file.read(EVERY_RULE)
    policy = policies.write(maintainer, entry.scope, entry.target, entry.rules)
    client = signed_in(maintainer)
    page = client.get(f"{policy.page}/edit")
    saved = press(client, f"{policy.page}/edit", "save", page)
    assert saved["Location"] == policy.page
    policy.refresh_from_db()
    assert (policy.rules, policy.revision) == (entry.rules, 1)
    press(client, f"{policy.page}/edit", "save", page, approvals="4", comment="four eyes")
    policy.refresh_from_db()
    assert policy.rules == {**entry.rules, "approvals": 4}
    assert policy.revisions.get(number=2).comment == "four eyes"
    as_yaml = press(client, f"{policy.page}/edit", "as-yaml")
    assert policy_file.read(fields_of(as_yaml)["yaml"][0].replace("\r\n", "\n"))[0].rules == policy.rules
    back = press(client, f"{policy.page}/edit", "as-form", as_yaml)
    press(client, f"{policy.page}/edit", "save", back, approvals="5")
    policy.refresh_from_db()
    assert policy.rules == {**entry.rules, "approvals": 5}


def test_a_policy_is_written_gate_by_gate_without_script(maintainer: Actor) -> None:
    client, path = signed_in(maintainer), "/policies/new"
    page = press(client, path, "add", add="metric_threshold", target="alias", alias="@champion", approvals="2")
    page = press(client, path, "add", page, add="required_tags")
    page = press(client, path, "add", page, add="soak")
    page = press(client, path, "remove-2", page)
    typed = {"gate-0-metric": " auc ", "gate-0-at_least": "0.90", "gate-1-allowed": "risk: low , medium\r\n\r\n"}
    saved = press(client, path, "save", page, **typed, about="pattern", pattern="Churn-*", teams="risk, legal")
    policy = Policy.objects.get()
    assert saved["Location"] == policy.page
    assert (policy.target, policy.pattern, policy.rules["teams"]) == ("@champion", "churn-*", ["risk", "legal"])
    assert policy.rules["gates"] == [
        {"gate": "metric_threshold", "metric": "auc", "at_least": 0.9},
        {"gate": "required_tags", "allowed": {"risk": ["low", "medium"]}},
    ]
    again = press(client, path, "save", page, **typed, about="pattern", pattern="churn-*", teams="")
    assert again.status_code == 409
    assert "There is one already" in text_of(again)
    assert f"{policy.page}/edit" in again.content.decode()


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"approvals": "many"}, "approvals", "Use a whole number from 0 to 20."),
        ({"approvals": "21"}, "approvals", "Use a whole number from 0 to 20."),
        ({"approval_days": "0"}, "approval_days", "Use a whole number from 1 to 3,650."),
        ({"lifetime_days": ""}, "lifetime_days", "Use a whole number from 1 to 365."),
        ({"teams": "risk nobody"}, "teams", "which is no team of this workspace"),
        ({"teams": "risk", "excluded_teams": "risk"}, "excluded_teams", "whose approval is needed"),
        ({"target": "alias"}, "alias", "write the name of the alias"),
        ({"target": "alias", "alias": "latest"}, "alias", "the names of stages are taken"),
        ({"target": "Moon"}, "target", "neither a stage nor an alias"),
        ({"about": "pattern"}, "pattern", "write a pattern"),
        ({"about": "pattern", "pattern": "<b>"}, "pattern", "will not do"),
        ({"about": "model", "model": "nothing"}, "model", "nothing"),
        ({"target": "Archived", "exclusive": "true"}, "exclusive", "not counted"),
        ({"comment": "x" * 1001}, "comment", "at most 1000"),
        ({"gate-0-gate": "soak"}, "gate-0-stage", "Fill this in."),
        ({"gate-0-gate": "soak", "gate-0-stage": "Moon", "gate-0-hours": "1"}, "gate-0-stage", "use one of"),
        ({"gate-0-gate": "soak", "gate-0-stage": "None", "gate-0-hours": "1e999"}, "gate-0-hours", "use a number from"),
        ({"gate-0-gate": "soak", "gate-0-stage": "None", "gate-0-hours": "a"}, "gate-0-hours", "finite number"),
        ({"gate-0-gate": "metric_threshold", "gate-0-metric": "auc"}, "gate-0", "“At least”, “At most”"),
        ({"gate-0-gate": "rm -rf"}, "gate-0", "which is no gate"),
        ({"gate-0-gate": "digest", "gate-7-gate": "digest"}, "gate-1", "is the same as"),
        ({"gate-0-gate": "required_tags", "gate-0-keys": "a\u202eb"}, "gate-0-keys", "U+202E"),
        ({"way": "yaml", "yaml": "policies: &a [*a]"}, "yaml", "Line 1"),
        ({"way": "yaml", "yaml": "policies: []"}, "yaml", "there are 0"),
        ({"way": "yaml", "yaml": "policies:\n- target: Production\n  approvals: 99\n"}, "yaml", "Line 3"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_said_beside_its_field(
    maintainer: Actor, typed: dict[str, str], field: str, said: str
) -> None:
    page = press(signed_in(maintainer), "/policies/new", "save", **typed)
    assert page.status_code in (400, 404)
    assert list(by_field(page)) == [field]
    assert said in by_field(page)[field]
    assert f'href="#{field}"' in page.content.decode()
    assert not Policy.objects.exists()


def test_hostile_fields_are_text_and_never_an_error_of_ours(maintainer: Actor) -> None:
    client = signed_in(maintainer)
    evil = "<script>alert(1)</script>\u202e\x00" * 300
    for sent in (
        {"gate-0-gate": "required_tags", "gate-0-keys": evil, "gate-0-was": "{" * 9000},
        {"gate-0-gate": "required_tags", "gate-0-was": '{"allowed": {"a": [{}]}, "keys": 7}', "gate-0-allowed": evil},
        {"gate-0-gate": "not_worse", "gate-0-was": '{"by": [], "relative": {}}', "gate-0-by": "9" * 390},
        {"gate-999-gate": "soak", "gate-1000-gate": "soak", "gate-x-gate": "soak"},
        {"way": "yaml", "yaml": evil},
        {"about": "model", "model": evil, "teams": evil, "alias": evil, "target": "alias"},
        {"revision": "9" * 40, "approvals": "٣", "lifetime_days": "1e3"},
        {"act": "remove-x"}, {"act": evil}, {"act": "add", "add": evil},
        {**{f"gate-{n}-gate": "digest" for n in range(400)}, "act": "add", "add": "soak"},
    ):  # fmt: skip
        for act in ("preview", "save", "as-yaml", "as-form"):
            page = press(client, "/policies/new", sent.get("act", act), **{k: v for k, v in sent.items() if k != "act"})
            assert page.status_code in (200, 302, 400, 404, 409), (sent, act)
            assert "<script>alert" not in page.content.decode()
    assert client.get("/policies/new", {"target": evil, "model": evil, "pattern": evil}).status_code == 200


def test_the_preview_says_what_it_would_have_done_and_saves_nothing(asked: Promotion, maintainer: Actor) -> None:
    client = signed_in(maintainer)
    first = text_of(client.get("/policies/new"))
    assert "would have gone through 1 would have been blocked 0" in first
    page = press(client, "/policies/new", "preview", approvals="2")
    assert "would have gone through 0 would have been blocked 1" in text_of(page)
    assert "2 approvals 1 churn v1 it had 1" in text_of(page)
    assert "1 of 1 would be held to it" in text_of(page)
    assert "churn v2 2 approvals instead of 1" in text_of(page)
    problem = press(client, "/policies/new", "preview", approvals="no")
    assert (problem.status_code, "Use a whole number from 0 to 20." in text_of(problem)) == (200, True)
    assert not Policy.objects.exists()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", page.content.decode())


def test_an_edit_is_compared_with_what_is_in_force_and_with_what_changed_meanwhile(maintainer: Actor) -> None:
    policy = policies.write(maintainer, Scope(), "Production", {"approvals": 2, "bypass": False})
    client, path = signed_in(maintainer), f"{policy.page}/edit"
    page = client.get(path)
    shown = text_of(press(client, path, "preview", page, approvals="1", lifetime_days="9", bypass="yes"))
    assert "new: an approval by one reviewer who had no part in it new: open for 9 days" in shown
    assert "no longer: no bypass by an administrator" in shown
    assert "It is not stricter" in shown
    policies.write(maintainer, Scope(), "Production", {"approvals": 4})
    stale = press(client, path, "save", page, approvals="1")
    assert stale.status_code == 409
    assert "Somebody has changed the policy since" in text_of(stale)
    assert press(client, path, "save", stale).status_code == 302
    policy.refresh_from_db()
    assert (policy.revision, policy.rules["approvals"]) == (3, 1)
    moved = press(client, path, "as-yaml")
    other = press(client, path, "save", moved, yaml="policies:\n- target: Staging\n  approvals: 1\n")
    assert "what is written is for Staging of all models" in by_field(other)["yaml"]


def test_who_may_write_which_policy(maintainer: Actor, viewer: Actor, outsider: Actor, requester: Actor) -> None:
    owner = make.actor("owner", Role.VIEWER)
    operator = system_actor(make.workspace())
    people.give(operator, Role.MAINTAINER, user=User.objects.get(username="owner"), model_id=make.model(requester).pk)
    policy = policies.write(maintainer, Scope(), "Production", {"approvals": 2})
    for somebody, status in ((viewer, 403), (outsider, 404)):
        client = signed_in(somebody)
        assert client.get(f"{policy.page}/edit").status_code == status
        assert client.post(f"{policy.page}/edit", {"act": "save"}).status_code == status
        assert client.post(policy.page, {"revision": "1"}).status_code == status
    assert signed_in(viewer).get("/policies/new").status_code == 403
    assert "New policy" not in text_of(signed_in(viewer).get("/policies"))
    assert "Take it away" not in text_of(signed_in(viewer).get(policy.page))
    client = signed_in(owner)  # of one model
    page = text_of(client.get("/policies/new"))
    assert "You maintain churn" in page
    assert "of all models" not in page  # what he cannot write is not what the preview is of
    assert press(client, "/policies/new", "save", about="all").status_code == 403
    assert press(client, "/policies/new", "save", model="churn").status_code == 302
    assert client.get(f"{policy.page}/edit").status_code == 403
    client = signed_in(maintainer)
    assert client.post(policy.page, {"revision": "7", "comment": "no"}).status_code == 409
    assert client.post(policy.page, {"revision": "1", "comment": "superfluous"}).status_code == 302
    policy.refresh_from_db()
    assert policy.retired_at
    assert policy.revisions.get(number=2).comment == "superfluous"
    assert client.get(f"{policy.page}/edit")["Location"] == policy.page


def test_the_form_costs_at_most_fifteen_queries(
    asked: Promotion, maintainer: Actor, django_assert_max_num_queries: Any
) -> None:
    [entry] = policy_file.read(EVERY_RULE.replace("'@champion'", "Production").replace("risk-*", "c*"))
    policy = policies.write(maintainer, entry.scope, entry.target, entry.rules)
    client = signed_in(maintainer)
    page = client.get(f"{policy.page}/edit")
    assert "would have been blocked" in text_of(page)
    with django_assert_max_num_queries(15):
        client.get("/policies/new?model=churn")
    with django_assert_max_num_queries(15):
        client.get(f"{policy.page}/edit")


def test_what_no_name_can_hold_is_no_model(maintainer: Actor) -> None:
    client = signed_in(maintainer)
    assert client.get("/policies/new?model=%00").status_code == 200
    written = 'policies:\n- target: Production\n  model: "\\0"\n'
    for act, status in (("preview", 200), ("save", 404)):
        assert client.post("/policies/new", {"act": act, "way": "yaml", "yaml": written}).status_code == status
        sent = {"act": act, "about": "model", "model": "\0", "target": "Production", "approvals": "1"}
        assert client.post("/policies/new", sent | {"lifetime_days": "30"}).status_code == status


@pytest.mark.parametrize(
    "was",
    [
        '{"gate": "digest", "within_days": ' + '{"a":' * 900 + "1" + "}" * 901,
        '{"gate": "metric_threshold", "metric": "auc", "at_least": NaN}',
        '{"gate": "digest", "within_days": ' + "9" * 4000 + "}",
        '{"gate": "required_tags", "keys": ["\\u0000", "\\ud800"]}',
        '"x"',
        "[",
    ],
)
def test_what_a_gate_was_is_believed_of_a_gate_alone(maintainer: Actor, was: str) -> None:
    kind = re.search(r'"gate": "(\w+)"', was)
    sent = {"act": "preview", "target": "Production", "about": "all", "approvals": "1", "lifetime_days": "30"}
    sent |= {"gate-0-gate": kind[1] if kind else "digest", "gate-0-was": was, "gate-0-at_least": "nan"}
    assert signed_in(maintainer).post("/policies/new", sent).status_code == 200
