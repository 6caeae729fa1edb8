"""A model's way into Production over the native API."""

from __future__ import annotations

import hashlib

import pytest

from accounts.actor import Actor
from accounts.models import AuditEntry
from lineage.models import Manifest
from lineage.services import manifests, metrics
from lineage.storage import local
from registry.models import Promotion, Version
from registry.policy import Scope
from registry.services import policies
from tests import make
from tests.web.api.conftest import Api, api_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def registered(ci: Api) -> None:
    """churn, with version 1 from an upload of two files."""
    assert ci("POST", "models", {"name": "churn"}).status_code == 201
    assert ci.upload("build-1", "model/MLmodel", b"flavors: {}").status_code == 201
    assert ci.upload("build-1", "model/weights.bin", b"\0" * 100).status_code == 201
    answer = ci("POST", "models/churn/versions", {"upload": "build-1", "tags": {"stage": "ci"}})
    assert answer.status_code == 201, answer.content


def test_from_upload_to_resolve(ci: Api, review: Api, registered: None) -> None:
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"})
    assert asked.status_code == 201
    promotion = asked.json()
    assert (promotion["state"], promotion["missing"]) == (
        "open",
        ["1 more approval by a reviewer who had no part in it"],
    )
    assert asked["Location"] == promotion["url"]
    assert promotion["page"].endswith(f"/promotions/{promotion['id']}")
    assert ci("GET", "resolve?uri=models:/churn/Production").status_code == 404

    approved = review("POST", f"promotions/{promotion['id']}/approve", {"evidence": promotion["evidence"]})
    assert approved.status_code == 200, approved.content
    assert approved.json()["state"] == "promoted"
    assert [(a["reviewer"], a["counts"]) for a in approved.json()["approvals"]] == [("reviewer", True)]
    assert approved.json()["evidence"] == promotion["evidence"]

    resolved = ci("GET", "resolve?uri=models:/churn/Production")
    body = resolved.json()
    assert (body["version"], body["stage"]) == (1, "Production")
    assert body["promotion"]["approved_by"] == ["reviewer"]
    assert body["promotion"]["entry_hash"] == AuditEntry.objects.get(verb="promotion.promoted").hash
    assert [file["path"] for file in body["files"]] == ["model/MLmodel", "model/weights.bin"]
    assert ci("GET", "resolve?uri=models:/churn/Production", If_None_Match=resolved["ETag"]).status_code == 304

    file = ci("GET", "models/churn/versions/1/files/model/weights.bin", Range="bytes=10-19")
    assert (file.status_code, b"".join(file.streaming_content)) == (206, b"\0" * 10)
    stages = [held["stage"] for held in ci("GET", "models/churn/versions/1/history").json()["items"]]
    assert stages == ["None", "Production"]


def test_a_version_tells_what_its_files_hold_and_whether_they_are_whole(ci: Api, registered: None) -> None:
    first = ci("GET", "models/churn/versions/1")
    body = first.json()
    assert (body["contents"], body["damage"]) == (None, "")
    assert body["verified_at"].endswith("Z")
    manifest = Manifest.objects.get()
    manifests.inspect(manifest)
    looked = ci("GET", "models/churn/versions/1", If_None_Match=first["ETag"])
    assert looked.status_code == 200
    assert looked.json()["contents"] == {
        "mlmodel": "model/MLmodel",
        "mlmodel_read": True,
        "signature_inputs": False,
        "signature_outputs": False,
        "input_example": "",
        "flavors": [],
        "environment": [],
        "model_cards": [],
        "headings": [],
        "pickles": ["model/weights.bin"],
        "pickle_count": 1,
        "problem": "",
    }
    local.path_of(manifest.files.get(path="model/weights.bin").sha256).unlink()
    manifests.verify(manifest)
    damaged = ci("GET", "models/churn/versions/1", If_None_Match=looked["ETag"])
    assert damaged.json()["damage"].startswith("model/weights.bin is missing")
    assert ci("GET", "models/churn/versions/1", If_None_Match=damaged["ETag"]).status_code == 304
    # What was found out is nobody's edit: a tag from before it still allows one, and only one.
    edit = {"description": "mine"}
    assert ci("PATCH", "models/churn/versions/1", edit, If_Match=first["ETag"]).status_code == 200
    assert ci("PATCH", "models/churn/versions/1", edit, If_Match=damaged["ETag"]).status_code == 412


def test_the_etag_of_resolve_moves_with_what_it_points_at(ci: Api, registered: None) -> None:
    before = ci("GET", "resolve?uri=models:/churn/latest")["ETag"]
    assert ci("PUT", "models/churn/tags/team", {"value": "risk"}).status_code == 200
    assert ci("GET", "resolve?uri=models:/churn/latest")["ETag"] == before
    assert ci("PUT", "models/churn/aliases/champion", {"version": 1}).status_code == 200
    assert ci("GET", "resolve?uri=models:/churn/latest")["ETag"] != before
    assert ci("GET", "resolve?uri=models:/churn@champion").json()["version"] == 1


def test_a_decision_needs_a_reason_or_the_evidence(ci: Api, review: Api, admin: Api, registered: None) -> None:
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"}).json()
    path = f"promotions/{asked['id']}"
    wrong = review("POST", f"{path}/approve", {"evidence": "0" * 64})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "evidence-changed")
    assert review("POST", f"{path}/reject", {"reason": " "}).status_code == 400
    assert ci("POST", f"{path}/approve", {"evidence": asked["evidence"]}).status_code == 403
    assert review("POST", f"{path}/bypass", {"reason": "hurry"}).status_code == 403
    assert review("POST", f"{path}/reject", {"reason": "no data card"}).json()["state"] == "rejected"
    assert ci("POST", f"{path}/withdraw").json()["code"] == "promotion-closed"
    again = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"}).json()
    bypassed = admin("POST", f"promotions/{again['id']}/bypass", {"reason": "incident 7"}).json()
    assert (bypassed["state"], bypassed["bypass"], bypassed["reason"]) == ("promoted", True, "incident 7")


def test_asking_again_finds_the_open_promotion(ci: Api, registered: None) -> None:
    wanted = {"model": "churn", "version": 1, "stage": "Production"}
    first, second = ci("POST", "promotions", wanted), ci("POST", "promotions", wanted)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    direct = ci("POST", "promotions", {**wanted, "stage": "Staging"})
    assert (direct.status_code, direct.json()["state"]) == (200, "promoted")


def test_a_request_repeated_with_its_key_has_one_effect_and_one_answer(ci: Api, registered: None) -> None:
    wanted = {"model": "churn", "version": 1, "stage": "Production"}
    for path, body in {
        "models": {"name": "other"},
        "models/churn/versions": {"source": "s3://bucket/m"},
        "promotions": wanted,
        "models/churn/versions/1/checks": {"check": "tests", "state": "passed"},
        "checks": {"model": "churn", "version": 1, "check": "lint", "state": "pending"},
        "models/churn/versions/1/comments": {"text": "hello"},
    }.items():
        first = ci("POST", path, body, Idempotency_Key=f"key-{path}")
        second = ci("POST", path, body, Idempotency_Key=f"key-{path}")
        assert first.status_code == second.status_code == 201, (path, first.content, second.content)
        assert first.content == second.content
        assert (first["Location"], second["Location"]) == (first.json()["url"], first.json()["url"])
        assert "Idempotency-Replayed" not in first
        assert second["Idempotency-Replayed"] == "true"
    assert Version.objects.count() == 2
    assert Promotion.objects.count() == 1
    reused = ci("POST", "models", {"name": "third"}, Idempotency_Key="key-models")
    assert (reused.status_code, reused.json()["field"]) == (422, "Idempotency-Key")


def test_the_report_of_the_last_check_says_that_it_carried_the_promotion_out(
    ci: Api, review: Api, maintainer: Actor, registered: None
) -> None:
    gate = {"gate": "required_checks", "names": ["ci/tests"]}
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "gates": [gate]})
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"}).json()
    where = "models/churn/versions/1/checks"
    failed = ci("POST", where, {"check": "ci/tests", "state": "failed", "summary": "2 of 80 failed"})
    assert (failed.status_code, failed["Location"]) == (201, failed.json()["url"])
    assert failed.json()["promotions"][0]["missing"][1:] == [
        "checks ci/tests passed: the check ci/tests has failed: 2 of 80 failed"
    ]
    shown = review("GET", f"promotions/{asked['id']}").json()
    assert [(gate["gate"], gate["outcome"]) for gate in shown["gates"]] == [("required_checks", "fail")]
    assert [(check["check"], check["state"]) for check in shown["checks"]] == [("ci/tests", "failed")]
    review("POST", f"promotions/{asked['id']}/approve", {"evidence": shown["evidence"]})
    body = {"check": "ci/tests", "state": "passed", "link": "https://ci.example/9", "values": {"auc": 0.93, "n": 80}}
    passed = ci("POST", where, body)
    assert [(p["id"], p["state"], p["missing"]) for p in passed.json()["promotions"]] == [(asked["id"], "promoted", [])]
    again = ci("POST", "checks", {"model": "churn", "version": 1, **body})
    assert (again.status_code, again["Vouch-Repeated"], again.json()) == (200, "true", passed.json())
    assert [check["state"] for check in ci("GET", where).json()["items"]] == ["passed"]
    history = ci("GET", f"{where}/ci%2Ftests").json()["items"]
    assert [(report["state"], report["values"]) for report in history] == [
        ("passed", {"auc": 0.93, "n": 80.0}),
        ("failed", {}),
    ]
    version = ci("GET", "models/churn/versions/1").json()
    assert version["checks_url"].endswith(f"/api/v1/{where}")
    wrong = ci("POST", where, {"check": "ci/tests", "state": "passed", "values": {"auc": "high"}})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "values.auc")


def test_comments_are_listed_changed_and_deleted(ci: Api, review: Api, admin: Api, registered: None) -> None:
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"}).json()
    on_version, on_promotion = "models/churn/versions/1/comments", f"promotions/{asked['id']}/comments"
    said = ci("POST", on_promotion, {"text": "ready, @reviewer @nobody"})
    assert (said.status_code, said.json()["mentions"], said["Location"]) == (201, ["reviewer"], said.json()["url"])
    review("POST", on_version, {"text": "thanks"})
    assert [c["text"] for c in ci("GET", on_version).json()["items"]] == ["ready, @reviewer @nobody", "thanks"]
    assert [c["author"] for c in ci("GET", on_promotion).json()["items"]] == ["requester"]
    where = f"comments/{said.json()['id']}"
    assert ci("PATCH", where, {"text": "ready"}).json()["text"] == "ready"
    assert review("PATCH", where, {"text": "not ready"}).status_code == 403
    assert admin("DELETE", where).status_code == 204
    assert ci("GET", where).status_code == 404  # its place stays in the list, its words do not
    assert ci("PATCH", where, {"text": "still here"}).json()["code"] == "comment-deleted"


def test_people_are_asked_to_review_and_a_rejected_promotion_is_reopened(
    ci: Api, review: Api, registered: None
) -> None:
    asked = ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Production"}).json()
    path = f"promotions/{asked['id']}"
    shown = ci("POST", f"{path}/reviewers", {"reviewers": ["reviewer"]}).json()
    assert [(r["reviewer"], r["asked_by"]) for r in shown["review_requests"]] == [("reviewer", "requester")]
    refused = ci("POST", f"{path}/reviewers", {"reviewers": ["requester"]})
    assert (refused.status_code, refused.json()["field"]) == (400, "reviewers")
    assert ci("DELETE", f"{path}/reviewers/reviewer").status_code == 204
    review("POST", f"{path}/reject", {"reason": "no data card"})
    again = ci("POST", f"{path}/reopen", {"reason": "has one now"}).json()
    assert (again["state"], again["decided_at"], again["evidence"] == asked["evidence"]) == ("open", None, False)


def test_an_identical_registration_gives_the_version_that_is_there(ci: Api, registered: None) -> None:
    body = {"upload": "build-1", "tags": {"stage": "ci"}}
    again = ci("POST", "models/churn/versions", body)
    assert (again.status_code, again["Vouch-Repeated"], again.json()["version"]) == (200, "true", 1)


def test_a_version_of_a_run_keeps_its_run(ci: Api, requester: Actor, registered: None) -> None:
    from lineage.services import artifacts, experiments, runs
    from lineage.services.artifacts import Place

    experiment = experiments.create(requester, name="trees", tags={})
    run = runs.create(requester, experiment, tags={"team": "risk"})
    runs.log(requester, run.id.hex, params=[("depth", "3")], metrics=[metrics.Point("nan", float("nan"), 1)])
    artifacts.upload(requester, Place(run=run), "model/MLmodel", [b"x"])
    made = ci("POST", "models/churn/versions", {"run_id": run.id.hex, "path": "model"})
    assert made.status_code == 201, made.content
    assert (made.json()["run_id"], made.json()["file_count"]) == (run.id.hex, 1)
    shown = ci("GET", f"runs/{run.id.hex}").json()
    assert (shown["params"], shown["metrics"]["nan"]["value"]) == ({"depth": "3"}, None)
    missing = ci("POST", "models/churn/versions", {"run_id": run.id.hex, "path": "elsewhere"})
    assert (missing.status_code, missing.json()["code"]) == (400, "no-files")


def test_uploading_again_is_harmless_and_other_bytes_are_refused(ci: Api) -> None:
    assert ci.upload("u", "a/b", b"one").json() == {
        "path": "a/b",
        "sha256": hashlib.sha256(b"one").hexdigest(),
        "size": 3,
    }
    assert ci.upload("u", "a/b", b"one").status_code == 200
    assert ci.upload("u", "a/b", b"two").status_code == 409
    assert [file["path"] for file in ci("GET", "uploads/u").json()["items"]] == ["a/b"]


def test_a_sealed_upload_takes_no_more_files(ci: Api, registered: None) -> None:
    assert ci.upload("build-1", "more", b"x").json()["code"] == "file-sealed"


def test_an_upload_belongs_to_who_made_it(ci: Api, admin: Api, registered: None) -> None:
    assert admin("GET", "uploads/build-1").status_code == 404
    assert admin("POST", "models/churn/versions", {"upload": "build-1"}).status_code == 404


def test_if_match_holds_off_a_writer_who_read_something_older(ci: Api, admin: Api, registered: None) -> None:
    for path in ("models/churn", "models/churn/versions/1"):
        etag = ci("GET", path)["ETag"]
        assert ci("GET", path, If_None_Match=etag).status_code == 304
        changed = ci("PATCH", path, {"description": "first"}, If_Match=etag)
        assert (changed.status_code, changed.json()["description"]) == (200, "first")
        late = ci("PATCH", path, {"description": "second"}, If_Match=etag)
        assert (late.status_code, late.json()["field"]) == (412, "If-Match")
        assert admin("DELETE", path, If_Match=etag).status_code == 412
        assert ci("GET", path, If_None_Match=etag).status_code == 200
        assert ci("GET", path)["ETag"] == changed["ETag"]
    assert admin("DELETE", "models/churn/versions/1", If_Match="*").status_code == 204
    assert ci("GET", "models/churn/versions/1").status_code == 404


def test_the_etag_of_a_version_moves_with_its_stage_and_aliases(ci: Api, registered: None) -> None:
    seen = {ci("GET", "models/churn/versions/1")["ETag"]}
    ci("POST", "promotions", {"model": "churn", "version": 1, "stage": "Staging"})
    seen.add(ci("GET", "models/churn/versions/1")["ETag"])
    ci("PUT", "models/churn/aliases/best", {"version": 1})
    seen.add(ci("GET", "models/churn/versions/1")["ETag"])
    ci("DELETE", "models/churn/aliases/best")
    seen.add(ci("GET", "models/churn/versions/1")["ETag"])
    assert len(seen) == 4


def test_tokens_users_teams_and_grants(ci: Api, admin: Api, requester: Actor) -> None:
    made = ci("POST", "tokens", {"name": "pipeline", "scopes": ["read"], "days": 7})
    assert made.status_code == 201, made.content
    narrow = Api(made.json()["token"])
    me = narrow("GET", "me").json()
    assert (me["username"], me["workspace"], me["token"]["scopes"]) == ("requester", "default", ["read"])
    assert narrow("POST", "models", {"name": "churn"}).status_code == 403
    assert "token" not in ci("GET", "tokens").json()["items"][0]
    assert ci("DELETE", f"tokens/{me['token']['id']}").status_code == 204
    assert narrow("GET", "me").status_code == 401

    assert admin("POST", "users", {"username": "new", "password": "long enough words"}).status_code == 201
    assert admin("POST", "users", {"username": "New"}).status_code == 409
    assert admin("PUT", "teams/risk", {"members": ["new"]}).json() == {"name": "risk", "members": ["new"]}
    given = admin("POST", "grants", {"role": "viewer", "team": "risk"})
    assert given.status_code == 201
    assert admin("POST", "grants", {"role": "viewer", "team": "risk"}).status_code == 200
    assert "new" in [user["username"] for user in admin("GET", "users").json()["items"]]
    assert admin("DELETE", f"grants/{given.json()['id']}").status_code == 204
    assert admin("PATCH", "users/requester", {"active": False}).json()["active"] is False
    assert ci("GET", "me").status_code == 401


def test_an_administrator_does_not_reach_the_users_of_other_workspaces(admin: Api, outsider: Actor) -> None:
    assert admin("PATCH", "users/outsider", {"active": False}).status_code == 404
    assert "outsider" not in [user["username"] for user in admin("GET", "users").json()["items"]]
    shared = make.actor("shared", *outsider.roles, slug="elsewhere")
    make.actor("shared", *outsider.roles)
    refused = admin("PATCH", f"users/{shared.username}", {"active": False})
    assert (refused.status_code, refused.json()["code"]) == (403, "belongs-elsewhere-too")


def test_the_audit_trail_of_a_model_and_of_the_workspace(
    ci: Api, admin: Api, outsider: Actor, registered: None
) -> None:
    verbs = [entry["verb"] for entry in ci("GET", "audit?model=churn").json()["items"]]
    assert verbs == ["version.registered", "model.created"]
    assert {entry["actor"] for entry in ci("GET", "audit").json()["items"]} == {"requester"}
    assert "grant.given" in [entry["verb"] for entry in admin("GET", "audit").json()["items"]]
    assert api_of(outsider)("GET", "audit?model=churn").status_code == 404


def test_of_a_models_trail_others_than_maintainers_read_what_they_did(ci: Api, review: Api, admin: Api) -> None:
    ci("POST", "models", {"name": "churn"})
    assert len(ci("GET", "audit?model=churn").json()["items"]) == 1
    assert review("GET", "audit?model=churn").json()["items"] == []
    assert len(admin("GET", "audit?model=churn").json()["items"]) == 1
