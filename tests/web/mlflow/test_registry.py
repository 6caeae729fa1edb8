"""Models, versions, aliases and stages on the MLflow wire."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import AuditEntry
from registry.models import Model, Promotion, Version
from registry.services import promotions
from tests import make
from tests.web.mlflow.conftest import Door

pytestmark = pytest.mark.django_db

CREATE = "mlflow/registered-models/create"
GET = "mlflow/registered-models/get"
LATEST = "mlflow/registered-models/get-latest-versions"
ALIAS = "mlflow/registered-models/alias"
CREATE_VERSION = "mlflow/model-versions/create"
GET_VERSION = "mlflow/model-versions/get"
TRANSITION = "mlflow/model-versions/transition-stage"
DOWNLOAD = "mlflow/model-versions/get-download-uri"


def move(door: Door, number: str, stage: str, **more: Any) -> Any:
    return door.post(TRANSITION, {"name": "churn", "version": number, "stage": stage, **more})


# --- Models -----------------------------------------------------------------------------------------------------------


def test_a_model_comes_back_with_all_that_was_said_of_it(ci: Door) -> None:
    body = {"name": "churn", "description": "who leaves", "tags": [{"key": "a", "value": "1"}, {"key": "b"}]}
    made = ci.post(CREATE, body).body["registered_model"]
    assert made == ci.get(GET, name="churn").body["registered_model"]
    assert made["tags"] == [{"key": "a", "value": "1"}, {"key": "b", "value": ""}]
    assert (made["description"], made["user_id"]) == ("who leaves", "requester")
    assert isinstance(made["creation_timestamp"], int)
    assert "latest_versions" not in made  # empty lists are left out
    assert "aliases" not in made


def test_a_model_that_exists_is_400_by_the_code_that_clients_expect(ci: Door) -> None:
    ci.post(CREATE, {"name": "churn"})
    again, twin = ci.post(CREATE, {"name": "churn"}), ci.post(CREATE, {"name": "CHURN"})
    assert (again.status, again.code) == (400, "RESOURCE_ALREADY_EXISTS")
    # A client takes RESOURCE_ALREADY_EXISTS for leave to go on with this very name, which is not there.
    assert (twin.status, twin.code) == (409, "RESOURCE_CONFLICT")
    assert Model.objects.count() == 1


@pytest.mark.parametrize("name", ["a/b", "a:b", "..", ".", " a", "a%2fb", "a\u202eb", "а", "a\nb", "a" * 256, "a "])
def test_odd_names_of_models_are_refused(ci: Door, name: str) -> None:
    answer = ci.post(CREATE, {"name": name})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "name" in answer.message
    assert not Model.objects.exists()


def test_latest_versions_are_one_for_each_stage_and_carry_aliases_only_in_their_own_list(
    ci: Door, requester: Actor, reviewer: Actor
) -> None:
    for _ in range(4):
        ci.version()
    move(ci, "1", "Staging")
    move(ci, "2", "Staging")
    make.in_production(requester, reviewer, Version.objects.get(number=3))
    ci.post(ALIAS, {"name": "churn", "alias": "champion", "version": "3"})
    newest = ci.post(LATEST, {"name": "churn"}).body["model_versions"]
    assert {v["current_stage"]: v["version"] for v in newest} == {"None": "4", "Staging": "2", "Production": "3"}
    assert [v.get("aliases") for v in newest if v["version"] == "3"] == [["champion"]]
    model = ci.get(GET, name="churn").body["registered_model"]
    assert {v["version"] for v in model["latest_versions"]} == {"2", "3", "4"}
    assert not any("aliases" in v for v in model["latest_versions"])
    assert model["aliases"] == [{"alias": "champion", "version": "3"}]


def test_latest_versions_are_asked_for_by_post_and_by_get_with_stages_in_any_case(ci: Door) -> None:
    ci.version()
    move(ci, "1", "Staging")
    by_get = ci.get(LATEST, name="churn", stages=["Staging", "Production"])
    assert [v["version"] for v in by_get.body["model_versions"]] == ["1"]
    by_post = ci.post(LATEST, {"name": "churn", "stages": ["staging", "STAGING"]})
    assert by_post.body == by_get.body
    assert ci.post(LATEST, {"name": "churn", "stages": ["Production"]}).body == {}
    unknown = ci.post(LATEST, {"name": "churn", "stages": ["QA"]})
    assert (unknown.status, unknown.code) == (400, "INVALID_PARAMETER_VALUE")
    assert ci.post(LATEST, {"name": "nothing"}).status == 404


def test_a_model_without_versions_has_no_latest_ones(ci: Door) -> None:
    ci.post(CREATE, {"name": "churn"})
    assert (ci.post(LATEST, {"name": "churn"}).status, ci.post(LATEST, {"name": "churn"}).body) == (200, {})


# --- Query counts: both are on the way of every model that is loaded --------------------------------------------------


def test_get_latest_versions_costs_the_tokens_query_and_one_more(ci: Door, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        ci.version(tags=[{"key": "a", "value": "b"}])
    ci.get(GET, name="churn")  # the token's use is noted now, and not again within a minute
    with django_assert_num_queries(2):
        ci.post(LATEST, {"name": "churn", "stages": ["Production", "None"]})


def test_registered_models_get_costs_a_constant_number_of_queries(ci: Door, django_assert_num_queries: Any) -> None:
    for number in range(3):
        ci.version()
        ci.post(ALIAS, {"name": "churn", "alias": f"a{number}", "version": str(number + 1)})
    with django_assert_num_queries(5):  # token, model, tags, aliases, latest versions
        ci.get(GET, name="churn")


def test_get_download_uri_costs_two_queries(ci: Door, django_assert_num_queries: Any) -> None:
    ci.version()
    with django_assert_num_queries(2):
        ci.get(DOWNLOAD, name="churn", version="1")


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_a_version_has_the_types_that_clients_insist_on(ci: Door) -> None:
    made = ci.version(description="first", run_link="https://ci.example/1", tags=[{"key": "k", "value": "v"}])
    assert made["version"] == "1"
    assert (made["status"], made["current_stage"], made["user_id"]) == ("READY", "None", "requester")
    assert isinstance(made["creation_timestamp"], int)
    assert made["tags"] == [{"key": "k", "value": "v"}]
    assert (made["description"], made["run_link"]) == ("first", "https://ci.example/1")
    assert ci.get(GET_VERSION, name="churn", version="1").body["model_version"] == made
    plain = ci.version()
    assert (plain["description"], plain["run_link"]) == ("", "")  # empty texts are told, empty lists are not
    assert "tags" not in plain


def test_a_repeated_create_gives_the_same_version_and_says_so(ci: Door) -> None:
    ci.post(CREATE, {"name": "churn"})
    run_id, source = ci.run_with_model()
    body = {"name": "churn", "source": source, "run_id": run_id, "tags": [{"key": "a", "value": "b"}]}
    first, second = ci.post(CREATE_VERSION, body), ci.post(CREATE_VERSION, body)
    assert "Vouch-Repeated" not in first.headers
    assert second.headers["Vouch-Repeated"] == "true"
    assert first.body == second.body
    assert Version.objects.count() == 1
    assert ci.post(CREATE_VERSION, {**body, "description": "another"}).body["model_version"]["version"] == "2"


def test_what_is_loaded_is_the_frozen_files_not_the_source(ci: Door) -> None:
    made = ci.version()
    version = Version.objects.get()
    answer = ci.get(DOWNLOAD, name="churn", version="1")
    assert answer.body == {"artifact_uri": f"mlflow-artifacts:/versions/{version.pk.hex}"}
    assert made["manifest_digest"] == version.manifest.digest
    listed = ci.get("mlflow-artifacts/artifacts", path=f"versions/{version.pk.hex}").body
    assert listed["files"] == [{"path": "MLmodel", "is_dir": False, "file_size": 32}]
    file = ci.get(f"mlflow-artifacts/artifacts/versions/{version.pk.hex}/MLmodel")
    assert file.content == made["run_id"].encode()


def test_a_version_whose_bytes_lie_elsewhere_is_loaded_from_its_source(ci: Door) -> None:
    ci.post(CREATE, {"name": "churn"})
    made = ci.post(CREATE_VERSION, {"name": "churn", "source": "s3://bucket/model", "run_id": "of another server"})
    assert made.body["model_version"]["run_id"] == "of another server"
    assert "manifest_digest" not in made.body["model_version"]
    assert ci.get(DOWNLOAD, name="churn", version="1").body == {"artifact_uri": "s3://bucket/model"}


@pytest.mark.parametrize("number", ["abc", "0", "-1", "1.5", "99999999999", "１"])
def test_what_is_no_number_of_a_version_is_400(ci: Door, number: str) -> None:
    ci.version()
    answer = ci.get(GET_VERSION, name="churn", version=number)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert ci.get(GET_VERSION, name="churn", version="2").status == 404


# --- Aliases ----------------------------------------------------------------------------------------------------------


def test_an_alias_is_set_moved_found_and_removed(ci: Door) -> None:
    ci.version()
    ci.version()
    for number in ("1", "2"):
        assert ci.post(ALIAS, {"name": "churn", "alias": "champion", "version": number}).body == {}
        found = ci.get(ALIAS, name="churn", alias="champion").body["model_version"]
        assert (found["version"], found["aliases"]) == (number, ["champion"])
    for _ in range(2):  # an absent one is removed as well
        assert ci.post(ALIAS, {"name": "churn", "alias": "champion"}, method="DELETE").status == 200


def test_a_missing_alias_is_400_and_a_missing_model_404(ci: Door) -> None:
    ci.version()
    missing = ci.get(ALIAS, name="churn", alias="champion")
    assert (missing.status, missing.code) == (400, "INVALID_PARAMETER_VALUE")
    assert ci.get(ALIAS, name="nothing", alias="champion").status == 404


def test_the_alias_latest_is_the_highest_version_and_cannot_be_set(ci: Door) -> None:
    ci.version()
    ci.version()
    assert ci.get(ALIAS, name="churn", alias="latest").body["model_version"]["version"] == "2"
    for reserved in ("latest", "LATEST", "v1", "a b", "Production", "é"):
        assert ci.post(ALIAS, {"name": "churn", "alias": reserved, "version": "1"}).status == 400


def test_delete_takes_a_json_body_and_without_one_the_query(ci: Door) -> None:
    ci.version()
    answer = ci.raw("DELETE", f"{ALIAS}?name=churn&alias=x", "{}")
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "'name'" in answer.message
    ci.post(ALIAS, {"name": "churn", "alias": "best", "version": "1"})
    assert ci.raw("DELETE", f"{ALIAS}?name=churn&alias=best", "", content_type="").status == 200
    assert ci.get(ALIAS, name="churn", alias="best").status == 400


# --- Stages -----------------------------------------------------------------------------------------------------------


def test_production_is_403_with_what_is_missing_and_the_page(ci: Door, settings: Any) -> None:
    ci.version()
    answer = move(ci, "1", "production")
    opened = Promotion.objects.get()
    assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
    assert "1 more approval" in answer.message
    assert f"{settings.VOUCH_URL}/promotions/{opened.pk}" in answer.message
    assert answer.body["page"] == f"{settings.VOUCH_URL}/promotions/{opened.pk}"
    assert answer.body["reasons"]
    assert move(ci, "1", "Production").status == 403
    assert Promotion.objects.count() == 1
    assert ci.get(GET_VERSION, name="churn", version="1").body["model_version"]["current_stage"] == "None"


def test_an_approved_version_is_told_with_its_promotion_and_the_one_before_is_archived(
    ci: Door, requester: Actor, reviewer: Actor
) -> None:
    ci.version()
    ci.version()
    make.in_production(requester, reviewer, Version.objects.get(number=1))
    move(ci, "2", "Production")
    asked = Promotion.objects.get(version__number=2)
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    now = ci.get(GET_VERSION, name="churn", version="2").body["model_version"]
    assert (now["current_stage"], now["promotion"]) == ("Production", str(asked.pk))
    assert ci.get(GET_VERSION, name="churn", version="1").body["model_version"]["current_stage"] == "Archived"
    assert move(ci, "2", "Production").status == 200  # it holds it already


def test_an_administrators_transition_is_carried_out_as_a_bypass(ci: Door, root: Door) -> None:
    ci.version()
    answer = move(root, "1", "Production")
    assert answer.body["model_version"]["current_stage"] == "Production"
    assert Promotion.objects.get().bypass
    assert AuditEntry.objects.filter(verb="promotion.bypassed").exists()


def test_archive_existing_versions_moves_the_others_out(ci: Door) -> None:
    ci.version()
    ci.version()
    move(ci, "1", "Staging")
    assert move(ci, "2", "Staging", archive_existing_versions=True).status == 200
    assert ci.get(GET_VERSION, name="churn", version="1").body["model_version"]["current_stage"] == "Archived"


@pytest.mark.parametrize("stage", ["None", "Archived"])
def test_archiving_others_for_a_stage_that_serves_nothing_is_400(ci: Door, stage: str) -> None:
    ci.version()
    answer = move(ci, "1", stage, archive_existing_versions=True)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "archive_existing_versions" in answer.message


def test_an_unknown_stage_and_an_unknown_version_are_a_4xx(ci: Door) -> None:
    ci.version()
    unknown = move(ci, "1", "QA")
    assert (unknown.status, unknown.code) == (400, "INVALID_PARAMETER_VALUE")
    assert "Production" in unknown.message
    assert move(ci, "2", "Staging").status == 404
    assert not Promotion.objects.exists()


def test_a_new_version_is_told_as_it_is_read_later(ci: Door) -> None:
    run = ci.run()
    ci.put(f"0/{run}/artifacts/model/MLmodel", b"flavors: {}")
    ci.post("mlflow/registered-models/create", {"name": "told"})
    body = {"name": "told", "source": f"runs:/{run}/model", "run_id": run, "description": "d", "run_link": "https://x/"}
    made = ci.post("mlflow/model-versions/create", {**body, "tags": [{"key": k, "value": "v"} for k in ("b", "a")]})
    assert made.body == ci.get("mlflow/model-versions/get", name="told", version="1").body
