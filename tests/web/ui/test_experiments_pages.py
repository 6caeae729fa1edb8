"""Experiments, the table of their runs, and runs side by side."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import User
from accounts.roles import Role
from accounts.services import people
from lineage.models import Experiment, LatestMetric, Param, Run
from lineage.services import experiments, links, runs
from lineage.services.metrics import Point
from tests import make
from tests.web.ui.conftest import signed_in, text_of

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script><img src=x>\u202etxt"
MOST_QUERIES = 15


def logged(
    owner: Actor,
    experiment: Experiment,
    name: str,
    *,
    metrics: dict[str, list[float]] | None = None,
    params: dict[str, str] | None = None,
    started_ms: int = 1_700_000_000_000,
    **more: Any,
) -> Run:
    run = runs.create(owner, experiment, name=name, started_ms=started_ms, tags=more.pop("tags", {}), **more)
    points = [
        Point(key, value, 1000 * at, at) for key, each in (metrics or {}).items() for at, value in enumerate(each)
    ]
    runs.log(owner, run.pk, metrics=points, params=list((params or {}).items()))
    return run


@pytest.fixture
def sweep(requester: Actor) -> Experiment:
    """Three runs: `a` the oldest, `c` the newest and without a metric."""
    experiment = experiments.create(requester, name="sweep", tags={"team": "risk"})
    logged(
        requester, experiment, "run-a", metrics={"auc": [0.5, 0.9]}, params={"depth": "3"}, started_ms=1_700_000_000_000
    )
    logged(
        requester,
        experiment,
        "run-b",
        metrics={"auc": [0.4, 0.7]},
        params={"depth": "12"},
        started_ms=1_700_000_100_000,
    )
    logged(requester, experiment, "run-c", params={"depth": "3", "seed": "1"}, started_ms=1_700_000_200_000)
    return experiment


def names_in(response: Any) -> list[str]:
    """The runs of the table, from top to bottom."""
    return re.findall(r'href="/runs/[0-9a-f]{32}"><bdi>(.*?)</bdi>', response.content.decode())


def headings_of(response: Any) -> list[str]:
    return re.findall(r'<th scope="col"[^>]*><(?:a|bdi)[^>]*>(?:<bdi>)?(.*?)<', response.content.decode())


# --- The list ---------------------------------------------------------------------------------------------------------


def test_experiments_are_listed_with_what_ran_in_them_and_found_by_a_part_of_their_name(
    sweep: Experiment, viewer: Actor, requester: Actor
) -> None:
    experiments.create(requester, name="other 100%", tags={})
    client = signed_in(viewer)
    page = text_of(client.get("/experiments"))
    assert re.search(r"sweep 3 14 Nov 2023 team : risk", page)
    assert re.search(r"other 100% 0 none yet", page)
    found = text_of(client.get("/experiments", {"q": "WEE"}))
    assert "sweep" in found
    assert "other" not in found
    assert "other" in text_of(client.get("/experiments", {"q": "%"}))
    assert "sweep" not in text_of(client.get("/experiments", {"q": "%"}))
    assert "No experiment is named like that" in text_of(client.get("/experiments", {"q": "zzz"}))


def test_without_an_experiment_the_page_says_what_to_write(viewer: Actor) -> None:
    page = text_of(signed_in(viewer).get("/experiments"))
    assert "There is no experiment yet" in page
    assert "mlflow.set_experiment" in page


def test_who_reads_a_single_model_alone_or_works_elsewhere_finds_none(
    sweep: Experiment, requester: Actor, administrator: Actor, outsider: Actor
) -> None:
    guest = make.actor("guest")
    model = make.model(requester)
    people.give(administrator, Role.VIEWER, user=User.objects.get(username="guest"), model_id=model.pk)
    run = Run.objects.earliest("created_at")
    for stranger in (guest, outsider):
        client = signed_in(stranger)
        page = client.get("/experiments")
        assert (page.status_code, "sweep" in text_of(page)) == (200, False)
        for path in (f"/experiments/{sweep.pk}", f"/experiments/{sweep.pk}/compare", f"/runs/{run.pk.hex}"):
            assert client.get(path).status_code == 404, path
    assert Client().get("/experiments").status_code == 302


# --- The table of runs ------------------------------------------------------------------------------------------------


def test_the_table_shows_what_most_of_the_newest_runs_log_and_the_last_begun_first(
    sweep: Experiment, viewer: Actor
) -> None:
    response = signed_in(viewer).get(f"/experiments/{sweep.pk}")
    assert names_in(response) == ["run-c", "run-b", "run-a"]
    assert headings_of(response) == ["Run", "Started", "Took", "auc", "depth", "seed"]


def test_columns_are_those_that_were_chosen_whatever_their_names(sweep: Experiment, requester: Actor) -> None:
    logged(requester, sweep, "run-d", metrics={"a, b": [1.0]}, params={"tags.x": "y"}, tags={"team": "risk"})
    client = signed_in(requester)
    response = client.get(f"/experiments/{sweep.pk}?columns=metrics.a, b,params.tags.x&columns=tags.team")
    assert headings_of(response) == ["Run", "Started", "Took", "a, b", "tags.x", "team"]
    assert "risk" in text_of(response)
    none = client.get(f"/experiments/{sweep.pk}?columns=")
    assert headings_of(none) == ["Run", "Started", "Took"]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("metrics.auc", ["run-b", "run-a", "run-c"]),
        ("-metrics.auc", ["run-a", "run-b", "run-c"]),
        ("started", ["run-a", "run-b", "run-c"]),
        ("run", ["run-a", "run-b", "run-c"]),
        ("-run", ["run-c", "run-b", "run-a"]),
        ("params.depth", ["run-b", "run-c", "run-a"]),
        ("duration", ["run-b", "run-c", "run-a"]),
    ],
)
def test_runs_are_ordered_by_a_column(sweep: Experiment, requester: Actor, order: str, names: list[str]) -> None:
    run = Run.objects.get(name="run-b")
    runs.update(requester, run.pk, ended_ms=run.started_ms + 1000)
    response = signed_in(requester).get(f"/experiments/{sweep.pk}", {"order": order})
    assert names_in(response) == names


def test_a_heading_says_its_order_and_leads_to_the_other_one(sweep: Experiment, viewer: Actor) -> None:
    client = signed_in(viewer)
    page = client.get(f"/experiments/{sweep.pk}", {"order": "-metrics.auc", "filter": "params.depth = '3'"}).content
    assert b'aria-sort="descending" class="right"><a href="?order=metrics.auc&amp;filter=' in page
    assert b"order=-metrics.auc" in client.get(f"/experiments/{sweep.pk}").content


def test_what_no_index_gives_is_no_order_of_a_large_experiment(
    sweep: Experiment, viewer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineage.tables.COUNTED", 2)
    client = signed_in(viewer)
    assert client.get(f"/experiments/{sweep.pk}", {"order": "-metrics.auc"}).status_code == 200
    response = client.get(f"/experiments/{sweep.pk}", {"order": "params.depth"})
    assert response.status_code == 400
    assert "filter by it instead" in text_of(response)


def test_runs_are_filtered_as_mlflow_filters_them(sweep: Experiment, viewer: Actor) -> None:
    client = signed_in(viewer)
    for asked, names in {
        "metrics.auc > 0.8": ["run-a"],
        "params.depth = '3' AND status = 'RUNNING'": ["run-c", "run-a"],
        "run_name LIKE '%-b'": ["run-b"],
        "params.depth = '99'": [],
    }.items():
        assert names_in(client.get(f"/experiments/{sweep.pk}", {"filter": asked})) == names, asked
    assert "No run fulfils the filter" in text_of(client.get(f"/experiments/{sweep.pk}?filter=metrics.auc > 2"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("filter=nonsense", "Write FIELD OPERATOR VALUE"),
        ("filter=metrics.auc > 'x'", "give a number"),
        ("filter=a%00b = 'x'", "U+0000"),
        ("filter=" + "x" * 2001, "at most 2000"),
        ("order=shoe size", "Runs cannot be ordered by 'shoe size'"),
        ("columns=auc", "'auc' is no column"),
        ("columns=metrics.%00", "NUL"),
        ("columns=" + ",".join(f"metrics.m{n}" for n in range(13)), "13 columns were chosen; at most 12"),
        ("page=nonsense", "page token"),
        ("page=9.x", "page token"),
    ],
)
def test_a_query_that_cannot_be_read_is_a_page_with_the_way_out(
    sweep: Experiment, viewer: Actor, query: str, said: str
) -> None:
    response = signed_in(viewer).get(f"/experiments/{sweep.pk}?{query}")
    assert response.status_code == 400
    assert said in response.content.decode().replace("&#x27;", "'")
    assert f'<a href="/experiments/{sweep.pk}">Show all runs of the experiment</a>' in response.content.decode()


@pytest.mark.parametrize(
    "path", ["/experiments/9999999999", "/experiments/0", "/experiments/x", "/runs/x", "/runs/" + "f" * 32]
)
def test_what_is_not_there_is_404(viewer: Actor, path: str) -> None:
    assert signed_in(viewer).get(path).status_code == 404


def test_pages_of_runs_follow_each_other_in_every_order(sweep: Experiment, requester: Actor, viewer: Actor) -> None:
    for n in range(60):
        logged(
            requester,
            sweep,
            f"more-{n}",
            metrics={"auc": [n / 100]} if n % 2 else None,
            started_ms=1_600_000_000_000 + n,
        )
    client = signed_in(viewer)
    for order in ("", "-metrics.auc", "params.depth"):
        seen: list[str] = []
        path = f"/experiments/{sweep.pk}?order={order}"
        while path:
            response = client.get(path)
            seen += names_in(response)
            following = re.search(r'href="(\?[^"]*)">Next page', response.content.decode())
            path = f"/experiments/{sweep.pk}{following[1]}".replace("&amp;", "&") if following else ""
        assert len(seen) == len(set(seen)) == 63, order


# --- Side by side -----------------------------------------------------------------------------------------------------


def test_runs_beside_each_other_show_what_differs_first(sweep: Experiment, requester: Actor) -> None:
    one, other = (
        logged(requester, sweep, name, metrics={"loss": [1.0, loss]}, params={"alike": "1", "depth": depth})
        for name, loss, depth in (("one", 0.5, "3"), ("other", 0.25, "4"))
    )
    links.log_inputs(
        requester, one.pk, [links.DatasetUse("customers", "d1", "local", "x", tags={"mlflow.data.context": "training"})]
    )
    response = signed_in(requester).get(f"/experiments/{sweep.pk}/compare?runs={one.pk.hex},{other.pk.hex}")
    page, said = response.content.decode(), text_of(response)
    assert "2 runs side by side" in said
    assert page.count("<figure") == 1
    assert re.search(r"one 0\.5 other 0\.25", said)
    assert said.index("depth 3 4") < said.index("alike the same 1 1")
    assert "customers training d1 –" in said


def test_runs_to_compare_are_few_known_and_of_the_experiment(sweep: Experiment, requester: Actor) -> None:
    other = experiments.create(requester, name="other", tags={})
    stranger = logged(requester, other, "stranger")
    client = signed_in(requester)
    path = f"/experiments/{sweep.pk}/compare"
    assert "No run is chosen" in text_of(client.get(path))
    assert client.get(path, {"runs": stranger.pk.hex}).status_code == 404
    assert client.get(path, {"runs": "x\0"}).status_code == 404
    ids = [logged(requester, sweep, f"n{n}").pk.hex for n in range(9)]
    assert client.get(path, {"runs": ids[:8]}).status_code == 200
    refused = client.get(path, {"runs": ids})
    assert refused.status_code == 400
    assert "9 runs were chosen; at most 8" in text_of(refused)
    refused = client.get(path, {"runs": ids[:2], "metrics": "nothing"})
    assert (refused.status_code, "is none of the metrics that can be drawn here" in text_of(refused)) == (400, True)


# --- What it costs, and hostile text ----------------------------------------------------------------------------------


def test_no_page_takes_more_queries_the_more_there_is(
    sweep: Experiment, requester: Actor, viewer: Actor, django_assert_max_num_queries: Any
) -> None:
    """If this fails: look for a query in a loop."""
    for n in range(30):
        experiments.create(requester, name=f"e{n}", tags={"a": "b", "c": "d"})
        run = logged(
            requester,
            sweep,
            f"r{n}",
            metrics={f"m{k}": [1.0, 2.0] for k in range(12)},
            params={f"p{k}": "1" for k in range(9)},
        )
        links.log_inputs(requester, run.pk, [links.DatasetUse(f"d{k}", "1", "local", "x") for k in range(5)])
    several = ",".join(key.hex for key in Run.objects.filter(experiment=sweep).values_list("id", flat=True)[:8])
    client = signed_in(viewer)
    for path in (
        "/experiments",
        "/experiments?q=e",
        f"/experiments/{sweep.pk}",
        f"/experiments/{sweep.pk}?order=-metrics.m1",
        f"/experiments/{sweep.pk}?order=metrics.auc",
        f"/experiments/{sweep.pk}?filter=metrics.m1 > 0 AND params.p1 = '1' AND tags.x = 'y' AND params.p2 = '1'",
        f"/experiments/{sweep.pk}/compare?runs={several}",
    ):
        with django_assert_max_num_queries(MOST_QUERIES):
            assert client.get(path).status_code == 200, path


def test_names_and_values_show_as_text(requester: Actor, viewer: Actor) -> None:
    experiment = experiments.create(requester, name=HOSTILE, tags={"<b>": HOSTILE * 20})
    run = logged(
        requester,
        experiment,
        HOSTILE,
        metrics={"<i>m</i>": [1.0, 2.0]},
        params={"<u>p</u>": HOSTILE * 100},
        user_name="<b>u",
    )
    logged(requester, experiment, "other", metrics={"<i>m</i>": [1.0, float("nan")]})
    LatestMetric.objects.filter(run=run).update(value=float("inf"))
    client = signed_in(viewer)
    several = ",".join(key.hex for key in Run.objects.values_list("id", flat=True))
    for path in (
        "/experiments",
        f"/experiments/{experiment.pk}",
        f"/experiments/{experiment.pk}/compare?runs={several}",
        f"/runs/{run.pk.hex}",
    ):
        page = client.get(path).content.decode()
        for raw in ("<script>alert", "<img src=x", "<i>m", "<u>p", "<b>u", " style=", " onload="):
            assert raw not in page, (path, raw)
        assert "&lt;script&gt;alert(1)" in page, path
    assert Param.objects.filter(run=run).exists()


def test_a_deleted_experiment_shows_the_runs_that_went_with_it(
    sweep: Experiment, requester: Actor, viewer: Actor
) -> None:
    runs.delete(requester, Run.objects.get(name="run-c").pk)
    experiments.delete(requester, sweep)
    client = signed_in(viewer)
    for query in ("", "?order=metrics.auc", "?filter=params.depth+%3D+'3'", "?filter=metrics.auc+>+0"):
        response = client.get(f"/experiments/{sweep.pk}{query}")
        page = text_of(response)
        assert "2 runs" in page, query
        assert "run-a" in page, query
        assert "run-c" not in page, query


def test_experiments_are_found_by_a_part_of_their_name_in_any_case_and_nothing_in_it_is_wild(
    sweep: Experiment, requester: Actor, viewer: Actor
) -> None:
    experiments.create(requester, name="100% of_it", tags={})
    client = signed_in(viewer)
    for asked, found in (("WEE", "sweep"), ("0% O", "100% of_it"), ("f_i", "100% of_it")):
        page = client.get("/experiments", {"q": asked}).content.decode()
        assert f"<bdi>{found}</bdi></a>" in page, asked
    for nothing in ("s%p", "swee_", "\\", "\\%"):
        assert "No experiment is named like that" in text_of(client.get("/experiments", {"q": nothing})), nothing
