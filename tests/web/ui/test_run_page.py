"""The page of a run: what it logged, its files, and what came of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from lineage.models import Folder, Run
from lineage.services import experiments, links, logged_models, runs
from lineage.services.artifacts import Place, upload
from lineage.services.metrics import Point
from tests import make
from tests.web.ui.conftest import signed_in, text_of, trained

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(requester: Actor) -> Run:
    tags = {"mlflow.source.git.commit": "c0ffee", "mlflow.source.name": "train.py", "team": "risk"}
    run = runs.create(requester, experiments.default(requester), name="first", user_name="maria", tags=tags)
    points = [Point("loss", 1 / (step + 1), 1000 * step, step) for step in range(5)]
    runs.log(requester, run.pk, metrics=points, params=[("depth", "3")])
    return run


def test_a_run_shows_what_it_logged(run: Run, requester: Actor, viewer: Actor) -> None:
    links.log_inputs(
        requester, run.pk, [links.DatasetUse("customers", "d1", "s3", "x", tags={"mlflow.data.context": "training"})]
    )
    made = logged_models.create(requester, run.experiment, name="forest", source_run_id=run.pk.hex, params={}, tags={})
    response = signed_in(viewer).get(f"/runs/{run.pk.hex}")
    page = text_of(response)
    for said in (
        "first running",
        "by maria",
        "loss 0.2",
        "depth 3",
        "customers training d1 s3",
        "Code c0ffee",
        "Source train.py",
        "team risk",
        f"forest m-{made.pk.hex[:8]}",
    ):
        assert said in page, said
    assert response.content.decode().count("<figure") == 1


def test_what_was_not_logged_is_said_with_what_to_write(requester: Actor, viewer: Actor) -> None:
    run = runs.create(requester, experiments.default(requester), tags={})
    page = text_of(signed_in(viewer).get(f"/runs/{run.pk.hex}"))
    for said in (
        "mlflow.log_metric",
        "mlflow.log_params",
        "mlflow.log_input",
        "mlflow.log_artifact",
        "mlflow.register_model",
        "no commit noted",
    ):
        assert said in page, said


def test_versions_registered_from_it_are_linked_for_whoever_may_see_them(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    version = trained(requester)
    assert version.run
    page = signed_in(viewer).get(f"/runs/{version.run.pk.hex}").content.decode()
    assert '<a href="/models/churn/versions/1"><bdi>churn</bdi> v1</a>' in page
    assert 'href="/models/churn/versions/1/lineage"' in page


def test_files_are_listed_level_by_level_and_saved_never_shown(run: Run, requester: Actor, viewer: Actor) -> None:
    for path in ("report.html", "plots/<b>/roc.svg", "plots/x"):
        upload(requester, Place(run=run), path, [b"<script>alert(1)</script>"])
    client = signed_in(viewer)
    page = client.get(f"/runs/{run.pk.hex}").content.decode()
    assert re.search(rf'href="/runs/{run.pk.hex}/files/report.html" download', page)
    assert "?path=plots#files" in page
    assert "roc.svg" not in page
    inner = client.get(f"/runs/{run.pk.hex}", {"path": "plots/<b>"}).content.decode()
    assert "roc.svg" in inner
    assert "<b>/" not in inner
    response = client.get(f"/runs/{run.pk.hex}/files/report.html")
    assert response["Content-Disposition"] == 'attachment; filename="report.html"'
    assert (response["Content-Type"], response["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
    assert b"".join(response) == b"<script>alert(1)</script>"  # type: ignore[arg-type]
    assert client.get(f"/runs/{run.pk.hex}/files/nothing").status_code == 404
    assert "There is no file at or below" in text_of(client.get(f"/runs/{run.pk.hex}", {"path": "nothing"}))


def test_files_of_a_run_are_for_those_who_see_it(run: Run, requester: Actor, outsider: Actor) -> None:
    upload(requester, Place(run=run), "report.html", [b"x"])
    assert signed_in(outsider).get(f"/runs/{run.pk.hex}/files/report.html").status_code == 404
    assert Client().get(f"/runs/{run.pk.hex}/files/report.html").status_code == 302


@pytest.mark.parametrize(
    "query", ["metrics=nothing", "path=../x", "path=a%00b", "metrics=" + ",".join("abcdefghijklm")]
)
def test_a_query_that_cannot_be_read_is_a_page_with_the_way_out(run: Run, requester: Actor, query: str) -> None:
    Folder.objects.create(workspace_id=requester.workspace_id, run=run)
    response = signed_in(requester).get(f"/runs/{run.pk.hex}?{query}")
    assert response.status_code == 400
    assert f'<a href="/runs/{run.pk.hex}">Back to the run</a>' in response.content.decode()
    assert "c0ffee" in response.content.decode()


def test_a_page_of_a_run_takes_no_more_queries_the_more_it_logged(
    run: Run, requester: Actor, django_assert_max_num_queries: Any
) -> None:
    make.model(requester)
    version = trained(requester, files=3, values=40)
    assert version.run
    key = version.run.pk
    for n in range(40):
        upload(requester, Place(run=version.run), f"d{n}/{n}", [b"x"])
        logged_models.create(
            requester, run.experiment, name=f"m{n}", source_run_id=version.run.pk.hex, params={}, tags={}
        )
    runs.log(
        requester,
        key,
        metrics=[Point(f"m{n % 9}", n, n, n) for n in range(500)],
        tags={f"t{n}": "x" for n in range(40)},
    )
    links.log_inputs(requester, key, [links.DatasetUse(f"d{n}", "1", "local", "x") for n in range(30)])
    client = signed_in(requester)
    with django_assert_max_num_queries(15):
        assert client.get(f"/runs/{key.hex}").status_code == 200


def test_a_path_that_is_refused_is_not_taken_apart(run: Run, viewer: Actor) -> None:
    """Its parents, each with a link, would be a page of many megabytes."""
    response = signed_in(viewer).get(f"/runs/{run.pk.hex}", {"path": "a/" * 4000})
    assert response.status_code == 400
    assert len(response.content) < 60_000
    page = text_of(signed_in(viewer).get(f"/runs/{run.pk.hex}", {"metrics": "none-such"}))
    assert "is none of the metrics that can be drawn here" in page
    assert "No files were logged" not in page


def test_a_run_that_logged_more_than_is_shown_says_so(
    run: Run, requester: Actor, viewer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(viewer)
    assert "of each kind are shown" not in text_of(client.get(f"/runs/{run.pk.hex}"))
    monkeypatch.setattr("lineage.provenance.KEPT", 3)
    assert "the first 3 of each kind are shown" in text_of(client.get(f"/runs/{run.pk.hex}"))
    compared = client.get(f"/experiments/{run.experiment_id}/compare", {"runs": run.pk.hex})
    assert "Of each run the first 3 metrics" in text_of(compared)
