"""The pages of models and versions; what hostile text does to pages, which headers they carry, what they cost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg.errors import LockNotAvailable

from accounts.actor import Actor
from lineage.services import manifests
from lineage.services.artifacts import Place, upload
from lineage.storage import local
from lineage.storage.blobs import StoreFails
from registry.lifecycle import Stage
from registry.models import Promotion, Version
from registry.queries import find_version
from registry.services import aliases, catalog, checks, discussion, promotions
from registry.services.catalog import Origin
from tests import make
from tests.lineage.test_inspection import MODEL
from tests.web.ui.conftest import signed_in, text_of, trained

pytestmark = pytest.mark.django_db
HOSTILE = '<script>alert(1)</script> \u202e"><img src=x onerror=alert(1)> {{ 7 }} & '


# --- What one sees ----------------------------------------------------------------------------------------------------


def test_models_are_found_by_name_and_paged(requester: Actor, viewer: Actor) -> None:
    for n in range(30):
        make.model(requester, f"demand-{n}")
    make.model(requester, "churn")
    client = signed_in(viewer)
    first = client.get("/models")
    assert len(re.findall(r'<th scope="row">', first.content.decode())) == 25
    following = re.search(r'rel="next" href="(\?page=[^"]+)"', first.content.decode())
    assert following
    second = client.get("/models" + following[1])
    assert len(re.findall(r'<th scope="row">', second.content.decode())) == 6
    assert re.findall(r'href="/models/([^"]+)"', client.get("/models?q=CHU").content.decode()) == ["churn"]
    assert "No model is like that" in text_of(client.get("/models?q=zzz"))


@pytest.mark.parametrize("path", ["/models?page=forged", "/models?q=%00", "/models?q=" + "x" * 300])
def test_bad_parameters_are_answered_with_a_page(viewer: Actor, path: str) -> None:
    response = signed_in(viewer).get(path)
    assert response.status_code == 400
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.parametrize(
    "path",
    ["/models/nope", "/models/%00", "/models/..", "/models/churn/versions/0", "/models/churn/versions/9",
     "/models/churn/versions/01", "/models/churn/versions/1/files/../../etc/passwd",
     "/promotions/00000000-0000-7000-8000-000000000000", "/promotions/nonsense", "/nowhere", "/%ff"],
)  # fmt: skip
def test_what_is_not_there_is_a_404_page(requester: Actor, path: str) -> None:
    make.model(requester)
    make.version(requester)
    response = signed_in(requester).get(path)
    assert response.status_code in (400, 404)
    assert "<h1>" in response.content.decode()


def test_empty_pages_say_what_to_type(requester: Actor) -> None:
    client = signed_in(requester)
    assert "registered_model_name=&quot;churn&quot;" in client.get("/models").content.decode()
    assert "curl" in text_of(client.get("/models"))
    make.model(requester)
    assert "register_model" in text_of(client.get("/models/churn"))
    assert "transition_model_version_stage" in text_of(client.get("/reviews?show=waiting"))
    assert "MLFLOW_TRACKING_TOKEN" in text_of(client.get("/tokens"))


def test_a_model_shows_its_stages_versions_and_what_waits(asked: Promotion, viewer: Actor, maintainer: Actor) -> None:
    aliases.set_alias(make.actor("requester"), "churn", "champion", 1)
    page = text_of(signed_in(viewer).get("/models/churn"))
    assert "Production v1 since" in page
    assert "@champion → points at v1" in page
    assert "v2 → to Production asked by requester" in page
    assert "What you did here" in page
    assert "promotion.promoted" not in page
    assert "promotion.promoted" in text_of(signed_in(maintainer).get("/models/churn"))


def test_a_version_says_what_asking_for_a_stage_does_before_it_does_it(requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, trained(requester))
    trained(requester)
    client = signed_in(requester)
    page = text_of(client.get("/models/churn/versions/2"))
    assert "At once: v2 becomes Staging." in page
    assert (
        "Nothing changes yet. Once one reviewer who had no part in it approved: v2 becomes Production, "
        "v1 becomes Archived."
    ) in page
    assert "Nothing is in Production after that" in text_of(client.get("/models/churn/versions/1"))
    assert find_version(requester, "churn", 2).stage == Stage.NONE
    assert client.post("/models/churn/versions/2", {"stage": "Staging"})["Location"] == "/models/churn/versions/2"
    assert find_version(requester, "churn", 2).stage == Stage.STAGING
    response = client.post("/models/churn/versions/2", {"stage": "Production", "comment": "please"})
    promotion = Promotion.objects.get(target="Production", state="open")
    assert (response["Location"], promotion.comment) == (promotion.page, "please")
    assert "Production is asked for already" in text_of(client.get("/models/churn/versions/2"))


@pytest.mark.parametrize(("stage", "status"), [("Staging", 409), ("Moon", 400), ("", 400), ("\0", 400)])
def test_asking_for_what_cannot_be_shows_the_page_again(requester: Actor, stage: str, status: int) -> None:
    make.model(requester)
    make.version(requester)
    promotions.request(requester, "churn", 1, "Staging")
    response = signed_in(requester).post("/models/churn/versions/1", {"stage": stage, "comment": "kept"})
    assert response.status_code == status
    assert "Nothing was asked for" in text_of(response)


def test_who_may_not_ask_sees_no_button_and_is_refused(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    make.version(requester)
    client = signed_in(viewer)
    assert 'name="stage"' not in client.get("/models/churn/versions/1").content.decode()
    assert client.post("/models/churn/versions/1", {"stage": "Staging"}).status_code == 403
    assert find_version(requester, "churn", 1).stage == Stage.NONE


def test_a_file_is_saved_and_never_shown(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    make.version(requester, content=b"<script>alert(1)</script>")
    response = signed_in(viewer).get("/models/churn/versions/1/files/model.bin")
    assert b"".join(response.streaming_content) == b"<script>alert(1)</script>"  # type: ignore[attr-defined]
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="model.bin"'
    assert response["Content-Security-Policy"].startswith("sandbox")
    assert response["X-Content-Type-Options"] == "nosniff"


def logged(owner: Actor, mlmodel: bytes = MODEL["MLmodel"]) -> Version:
    """The next version, made of what MLflow writes for a model."""
    place = Place(upload_name="logged")
    for path, content in {**MODEL, "MLmodel": mlmodel}.items():
        upload(owner, place, path, [content])
    return catalog.register_version(owner, "churn", Origin(source="upload:logged", place=place)).version


def test_a_version_says_what_lies_in_its_files(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    version = logged(requester)
    client = signed_in(viewer)
    page = text_of(client.get("/models/churn/versions/1"))
    assert "Nobody has looked into its files yet" in page
    assert "Bytes verified just now" in page
    assert version.manifest
    manifests.inspect(version.manifest)
    page = text_of(client.get("/models/churn/versions/1"))
    assert "Signature inputs and outputs Input example input_example.json" in page
    assert "Flavors python_function , sklearn" in page
    assert "Can run code when loaded: model.pkl" in page
    assert "Bytes verified just now" in page
    assert "damaged" not in page


def test_damaged_files_are_shouted_about(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    version = logged(requester, mlmodel=b"flavors: &a {<script>: *a}")
    assert version.manifest
    manifests.inspect(version.manifest)
    local.path_of(version.manifest.files.get(path="model.pkl").sha256).unlink()
    manifests.verify(version.manifest)
    response = signed_in(viewer).get("/models/churn/versions/1")
    assert "Its files are damaged model.pkl is missing" in text_of(response)
    assert "Bytes damaged , last compared just now" in text_of(response)
    assert "Not understood MLmodel: The YAML is not read: it uses the anchor" in text_of(response)
    assert "Signature" not in text_of(response)  # what could not be read is not said to be missing
    assert "load nothing from it" in text_of(response)


def test_a_file_that_the_bucket_does_not_give_is_503_with_a_time_to_come_again(
    requester: Actor, viewer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise StoreFails("no route to the bucket")

    make.model(requester)
    make.version(requester)
    monkeypatch.setattr("lineage.storage.local.Disk.open_blob", fails)
    by_token = {"Authorization": f"Bearer {make.token(viewer)}"}
    for response in (
        signed_in(viewer).get("/models/churn/versions/1/files/model.bin"),
        Client().get("/api/v1/models/churn/versions/1/files/model.bin", headers=by_token),
    ):
        assert (response.status_code, response["Retry-After"]) == (503, "2")
        assert b"route" not in response.content


# --- Hostile text -----------------------------------------------------------------------------------------------------


def test_names_tags_and_comments_show_as_text(requester: Actor, reviewer: Actor) -> None:
    catalog.create_model(requester, name="churn", description=HOSTILE * 50, tags={"<b>key": HOSTILE})
    make.version(requester, description=HOSTILE * 100, tags={"<i>": HOSTILE * 10})
    promotion = promotions.request(requester, "churn", 1, "Production", comment=(HOSTILE * 200)[:10_000])
    client = signed_in(reviewer)
    for path in ("/models", "/models/churn", "/models/churn/versions/1", "/reviews", promotion.page):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page, path
        assert "<img" not in page, path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page, path
    checks.report(requester, "churn", 1, check="<b>tests", state="failed", summary=HOSTILE * 100, values={"<i>": 1})
    client.post(promotion.page, {"act": "comment", "text": (HOSTILE * 200)[:9_900] + " @requester @<b>x"})
    assert '<b class="mention"><bdi>@requester</bdi></b> @&lt;b&gt;x' in client.get(promotion.page).content.decode()
    for path in ("/models/churn/versions/1", promotion.page):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page, path
        assert "<img" not in page, path
        assert "&lt;b&gt;tests" in page, path
    response = client.post(promotion.page, {"act": "reject", "reason": (HOSTILE * 200)[:10_000]}, follow=True)
    assert "<script>alert" not in response.content.decode()
    assert "<script>" not in client.get("/models", {"q": HOSTILE[:200].replace("\u202e", "")}).content.decode()


def test_no_page_carries_script_or_style_of_its_own(asked: Promotion, administrator: Actor) -> None:
    client = signed_in(administrator)
    paths = ["/models", "/models/churn", "/models/churn/versions/2", "/reviews", asked.page, "/tokens", "/nowhere"]
    for page in [Client().get("/sign-in").content.decode(), *(client.get(path).content.decode() for path in paths)]:
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! src=\"/static/[a-z0-9_./-]+\" defer></script>)", page
        )


# --- Headers and doors ------------------------------------------------------------------------------------------------


def test_pages_carry_the_headers_of_the_security_baseline(viewer: Actor) -> None:
    response = signed_in(viewer).get("/models")
    policy = response["Content-Security-Policy"]
    for directive in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'",
                      "frame-ancestors 'none'", "base-uri 'none'"):  # fmt: skip
        assert directive in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["X-Frame-Options"] == "DENY"
    assert "private" in response["Cache-Control"]


def test_pages_take_no_token_and_token_doors_take_no_session(administrator: Actor, asked: Promotion) -> None:
    token = make.token(administrator)
    assert Client().get("/models", headers={"Authorization": f"Bearer {token}"}).status_code == 302
    client = signed_in(administrator)
    for path in ("/api/v1/models", "/api/2.0/mlflow/registered-models/search"):
        response = client.get(path)
        assert response.status_code in (401, 403, 404), path
        assert not hasattr(response.wsgi_request, "session")
    approve = f"/api/v1/promotions/{asked.pk}/approve"
    assert client.post(approve, {"evidence": make.evidence(asked)}, "application/json").status_code in (401, 403, 404)
    asked.refresh_from_db()
    assert asked.state == "open"


def test_a_busy_database_is_a_503_that_may_be_tried_again(viewer: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(viewer)

    def locked(*_: object) -> None:
        raise OperationalError("canceling statement") from LockNotAvailable()

    monkeypatch.setattr("web.ui.models.shelf.models", locked)
    response = client.get("/models")
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert b"canceling" not in response.content


# --- What a page costs ------------------------------------------------------------------------------------------------


def queries(get: Callable[[], object]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        get()
    return len(seen)


def test_no_page_takes_more_than_28_queries_however_much_there_is(
    asked: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor, administrator: Actor
) -> None:
    """If this fails: look for a query in a loop; if the page shows more than it did, join it to one that is there."""
    paths = ["/models", "/models/churn", "/models/churn/versions/2", "/reviews", "/reviews?show=waiting",
             "/reviews?show=decided", asked.page, "/tokens"]  # fmt: skip
    gate = {"gate": "required_checks", "names": ["check-1"]}
    client = signed_in(reviewer)
    small = {path: queries(lambda path=path: client.get(path)) for path in paths}
    for n in range(12):
        make.model(requester, f"model-{n}")
        make.version(requester, f"model-{n}")
        promotions.request(requester, f"model-{n}", 1, "Production", comment="please")
        make.token(reviewer)
    for n in range(9):
        trained(requester, files=20, values=30, score=0.5 + n / 100)
        promotions.request(requester, "churn", 3 + n, "Archived" if n % 2 else "Staging")
        aliases.set_alias(requester, "churn", f"alias-{n}", 3 + n)
        catalog.tag_version(requester, "churn", 2, f"tag-{n}", "x")
        checks.report(requester, "churn", 2, check=f"check-{n}", state="failed", summary="why", values={"a": n})
        discussion.comment(requester, "churn", 2, f"{n} @reviewer", promotion=asked.pk)
    discussion.request_review(requester, asked.pk, ["reviewer", "second-reviewer"])
    # Approvals that no longer count, and the policy of two that keeps the promotion open.
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, "approvals": 3, "gates": [gate]})
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    promotions.transition(administrator, "churn", 5, "Production")
    promotions.approve(second_reviewer, asked.pk, evidence=make.evidence(asked))
    large = {path: queries(lambda path=path: client.get(path)) for path in paths}
    assert max(large.values()) <= 28, large
    assert large["/models/churn/versions/2"] <= 20, large
    for path in ("/models", "/tokens"):
        assert large[path] <= small[path] + 6, (small, large)
