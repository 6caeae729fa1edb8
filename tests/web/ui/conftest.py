"""People at the pages: signed-in test clients, and a promotion to look at."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.actor import Actor
from lineage.services import experiments, links, metrics, runs
from lineage.services.artifacts import Place, upload
from registry.models import Promotion, Version
from registry.services import catalog, promotions
from registry.services.catalog import Origin
from tests import make


@pytest.fixture(autouse=True)
def own_cache(settings: Any) -> None:
    """Attempts counted by one test are not another's."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "ui"}}
    cache.clear()


def signed_in(actor: Actor, **options: Any) -> Client:
    """A browser in which this person has signed in by the form."""
    client = Client(**options)
    client.get("/sign-in")
    token = client.cookies["vouch_csrf"].value
    sent = {"username": actor.username, "password": make.PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post("/sign-in", sent).status_code == 302
    return client


def text_of(response: Any) -> str:
    """The page's words, without markup and on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def trained(owner: Actor, name: str = "churn", *, files: int = 1, values: int = 1, score: float = 0.9) -> Version:
    """The next version of the model, from a run with `values` parameters and metrics and `files` files."""
    experiment = experiments.default(owner)
    run = runs.create(owner, experiment, tags={"mlflow.source.git.commit": "c0ffee"})
    points = [metrics.Point("accuracy", score, 1_700_000_000_000)]
    points += [metrics.Point(f"metric-{n}", n * score, 1_700_000_000_000) for n in range(values)]
    runs.log(owner, run.pk.hex, metrics=points, params=[(f"param-{n}", str(score)) for n in range(values)])
    links.log_inputs(owner, run.pk.hex, [links.DatasetUse("customers", f"d-{score}", "local", "x")])
    place = Place(upload_name=run.pk.hex)
    for n in range(files):
        upload(owner, place, f"model/part-{n}.bin", [f"{n} {score} {run.pk}".encode()])
    origin = Origin(source=f"runs:/{run.pk.hex}/model", place=place, run=run, run_ref=run.pk.hex)
    return catalog.register_version(owner, name, origin).version


@pytest.fixture
def asked(requester: Actor, reviewer: Actor) -> Promotion:
    """churn v1 is in Production and v2 is asked for."""
    make.model(requester)
    make.in_production(requester, reviewer, trained(requester, score=0.9))
    trained(requester, score=0.92)
    return promotions.request(requester, "churn", 2, "Production", comment="it is better")
