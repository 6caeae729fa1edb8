"""The list of models, the page of one, of a version and of several: what they show, and what they cost."""

from __future__ import annotations

import datetime
import re
import uuid
from typing import Any
from urllib.parse import unquote

import pytest
from django.utils import timezone

from accounts.actor import Actor
from lineage.services import metrics, runs
from registry.lanes import IN_LANE, Lane, Moved, Stay, places
from registry.models import Occupancy, Pointing, Promotion, Version
from registry.policy import Scope
from registry.services import aliases, catalog, policies, promotions, webhooks
from tests import make
from tests.web.ui.conftest import signed_in, text_of, trained
from tests.web.ui.test_pages import HOSTILE
from web.ui.timeline import timeline

pytestmark = pytest.mark.django_db
PAGES = ["/models", "/models?q=churn&owner=requester&tag=team&stage=Production", "/models/churn",
         "/models/churn/versions/2", "/models/churn/compare?versions=1,2,3"]  # fmt: skip


@pytest.fixture
def busy(asked: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    """churn has been in use for a while: thirty versions, a protected alias, tags, and earlier occupants."""
    policies.write(maintainer, Scope(), "@champion", {"approvals": 1})
    for n in range(28):
        trained(requester, score=0.5 + n / 100, values=9)
    for n in (3, 4, 5):
        make.in_production(requester, reviewer, Version.objects.select_related("model").get(number=n))
        promotions.request(requester, "churn", n + 10, "Staging")
        guarded = promotions.request(requester, "churn", n, "@champion")
        promotions.approve(reviewer, guarded.pk, evidence=make.evidence(guarded))
        aliases.set_alias(requester, "churn", f"free-{n}", n)
        catalog.tag_model(requester, "churn", f"tag-{n}", "x" * 5000)
    catalog.tag_model(requester, "churn", "team", "growth & co")


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("page", PAGES)
def test_no_page_takes_more_than_fifteen_queries(
    page: str, reviewer: Actor, maintainer: Actor, django_assert_max_num_queries: Any
) -> None:
    for actor in (reviewer, maintainer):
        client = signed_in(actor)
        client.get("/models")  # the first page of a session notes that it goes on
        with django_assert_max_num_queries(15):
            assert client.get(page).status_code == 200


@pytest.mark.usefixtures("busy")
def test_the_links_of_a_row_find_what_they_say(viewer: Actor) -> None:
    client = signed_in(viewer)
    page = client.get("/models").content.decode()
    assert 'aria-label="accuracy, v11 to v30: from 0.58 to 0.77"' in page
    links = re.findall(r'href="(\?(?:owner|tag)=[^"]+)"', page)
    assert "?tag=team=growth & co" in [unquote(link) for link in links]
    for link in links:
        assert "<bdi>churn</bdi></a>" in client.get(f"/models{link}").content.decode(), link
    assert "No model is like that" in text_of(client.get("/models?tag=team=growth"))
    assert client.get("/models?stage=Moon").status_code == 400


@pytest.mark.usefixtures("busy")
def test_a_model_tells_what_was_where(viewer: Actor) -> None:
    page = signed_in(viewer).get("/models/churn").content.decode()
    lanes = re.findall(r'<svg class="lane-bars"[^>]* aria-label="([^"]+)">(.*?)</svg>\s*</div>', page, re.S)
    assert [name for name, _ in lanes] == ["Production", "Staging", "@champion"]  # the free aliases are not guarded
    bars = {
        name: re.findall(r'<a href="/models/churn/versions/(\d+)" aria-label="([^"]+)"', lane) for name, lane in lanes
    }
    assert [number for number, _ in bars["Production"]] == ["1", "3", "4", "5"]
    assert [number for number, _ in bars["@champion"]] == ["3", "4", "5"]
    assert re.search(r"^v4 in Production from \d.* UTC to \d.* UTC, .*; reviewer$", bars["Production"][2][1])
    assert re.search(r"^v5 under @champion from \d.* UTC until now", bars["@champion"][2][1])
    assert page.count("stay-open") == 5  # one in Production, three in Staging, one under the alias


@pytest.mark.usefixtures("busy")
def test_a_deleted_version_stays_in_the_picture_without_a_link(requester: Actor, maintainer: Actor) -> None:
    catalog.delete_version(maintainer, "churn", 3)
    page = signed_in(requester).get("/models/churn").content.decode()
    assert "v3 in Production from" in page
    assert 'href="/models/churn/versions/3"' not in page


def test_the_board_holds_what_the_stages_hold(requester: Actor) -> None:
    model = make.model(requester)
    for n in range(8):
        make.version(requester)
        promotions.request(requester, "churn", n + 1, "Staging")
    there = places(model)
    staging = there.board[1]
    assert ([stay.number for stay in staging.stays], staging.more) == ([8, 7, 6, 5, 4], True)
    assert there.holders() == {"Production": []}  # Staging holds several: nothing to roll back to
    assert [lane.target for lane in there.lanes] == ["Staging"]


def test_a_long_history_is_cut_and_what_lasts_stays_in_sight(requester: Actor) -> None:
    model = make.model(requester)
    version = make.version(requester)
    first = timezone.now() - datetime.timedelta(days=400)
    days = [first + datetime.timedelta(days=n) for n in range(100)]
    Occupancy.objects.bulk_create(
        Occupancy(model=model, version=version, number=1, stage="Staging", started_at=day,
                  ended_at=day + datetime.timedelta(hours=9)) for day in days
    )  # fmt: skip
    (lane,) = places(model).lanes
    assert (len(lane.stays), lane.more) == (IN_LANE, True)
    drawn = timeline("churn", [lane], timezone.now())
    assert drawn
    assert drawn.rows[0].bars[0].x == "0.00%"
    assert drawn.ticks[0].words == f"{days[70].day} {days[70]:%b %Y}"


def test_a_stage_that_is_held_now_says_that_it_was_held_more_often(asked: Promotion) -> None:
    first = timezone.now() - datetime.timedelta(days=400)
    Occupancy.objects.bulk_create(
        Occupancy(model=asked.model, version=asked.version, number=2, stage="Production", exclusive=True,
                  started_at=first + datetime.timedelta(days=n), ended_at=first + datetime.timedelta(days=n, hours=9))
        for n in range(IN_LANE + 5)
    )  # fmt: skip
    (lane,) = places(asked.model).lanes
    assert (len(lane.stays), lane.more) == (IN_LANE + 1, True)


def test_an_alias_that_moves_often_hides_no_other_ones_history(asked: Promotion) -> None:
    version, first = asked.version, timezone.now() - datetime.timedelta(days=400)
    for alias, moves in (("busy", 8 * IN_LANE + 1), ("calm", 2)):
        begin = [first + datetime.timedelta(hours=n) for n in range(moves)]
        if alias == "busy":
            begin = [moment + datetime.timedelta(days=300) for moment in begin]
        Pointing.objects.bulk_create(
            Pointing(model=asked.model, alias=alias, version=version, promotion=asked, started_at=moment,
                     ended_at=begin[n + 1] if n + 1 < moves else None) for n, moment in enumerate(begin)
        )  # fmt: skip
    lanes = {lane.target: (len(lane.stays), lane.more) for lane in places(asked.model).lanes}
    assert lanes["@busy"] == (IN_LANE + 1, True)
    assert lanes["@calm"] == (2, False)


def test_bars_that_overlap_lie_above_each_other_and_end_where_the_next_begins() -> None:
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    day = datetime.timedelta(days=1)

    def stay(number: int, since: int, until: int | None, **marks: bool) -> Stay:
        ended = None if until is None else at + until * day
        moved = Moved(uuid.uuid4(), "Staging", uuid.uuid4(), marks.get("bypass", False), False, None, "ana")
        return Stay("Staging", number, uuid.uuid4(), at + since * day, ended, False, moved)

    drawn = timeline(
        "x", [Lane("Staging", (stay(1, 0, 5), stay(2, 5, 10), stay(3, 2, None, bypass=True)), False)], at + 10 * day
    )
    assert drawn
    row = drawn.rows[0]
    places_of = {bar.stay.number: (bar.x, bar.width, bar.y) for bar in row.bars}
    assert places_of == {1: ("0.00%", "49.00%", 4), 3: ("19.60%", "78.40%", 30), 2: ("49.00%", "49.00%", 4)}
    assert row.height == 56
    assert row.bars[1].said == "v3 in Staging from 3 Jan 2026, 00:00:00 UTC until now, 8 days; ana by bypass"
    assert timeline("x", [], at) is None


@pytest.mark.usefixtures("busy")
def test_chosen_versions_stand_beside_each_other(viewer: Actor) -> None:
    client = signed_in(viewer)
    page = client.get("/models/churn").content.decode()
    assert page.count('name="versions"') == 25
    response = client.get("/models/churn/compare?versions=30&versions=3&versions=4")
    said = text_of(response)
    assert "v30, v3 and v4 beside each other" in said
    assert "0.77 best" in said
    shown = response.content.decode()
    assert len(re.findall(r'class="line reactive nofill"', shown)) == 3
    assert re.search(r'name="axes" value="accuracy" checked', shown)
    one = client.get("/models/churn/compare?versions=30,3&axes=accuracy")
    assert "One metric is no picture" in text_of(one)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    ("query", "status", "said"),
    [("", 400, "names no versions"),
     ("versions=3", 400, "3"), ("versions=3,x", 400, "x"), ("versions=3,99", 404, "v99"),
     ("versions=1,2,3,4,5,6,7,8,9", 400, "9 versions were chosen"), ("versions=3,4&axes=%00", 400, "None of these"),
     ("versions=3,99999999999999999999", 400, "99999999999999999999")],
)  # fmt: skip
def test_what_cannot_be_compared_is_said_with_the_way_out(viewer: Actor, query: str, status: int, said: str) -> None:
    response = signed_in(viewer).get(f"/models/churn/compare?{query}")
    assert response.status_code == status
    assert said in text_of(response)
    assert 'name="versions" value="30"' in response.content.decode()


def test_versions_of_a_model_that_one_cannot_see_are_nobodys(requester: Actor, outsider: Actor) -> None:
    make.model(requester)
    assert signed_in(outsider).get("/models/churn/compare?versions=1,2").status_code == 404


def test_hostile_text_is_text(requester: Actor, viewer: Actor) -> None:
    catalog.create_model(requester, name="churn", tags={"<b>key": HOSTILE, "vouch.headline_metric": "<i>" + "x" * 200})
    for score in (0.9, 0.8):
        trained(requester, score=score)
    for version in Version.objects.select_related("run"):
        assert version.run
        point = metrics.Point("<i>" + "x" * 200, version.number, 1)
        runs.log(
            requester, version.run.pk.hex, metrics=[point], params=[("<i>param", HOSTILE * 80 + str(version.number))]
        )
    make.model(requester, "n" * 255)
    client = signed_in(viewer)
    for page in (*PAGES[:4], "/models/churn/compare?versions=1,2"):
        shown = client.get(page.replace("&tag=team&stage=Production", "")).content.decode()
        assert "<script>alert" not in shown, page
        assert "<i>x" not in shown, page
        assert "<b>key" not in shown, page
        assert "&lt;i&gt;xx" in shown, page


def test_a_version_draws_what_its_run_measured_and_says_how_it_is_loaded(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    trained(requester)
    aliases.set_alias(requester, "churn", "champion", 1)
    client = signed_in(viewer)
    page = client.get("/models/churn/versions/1")
    for snippet in ("models:/churn/1", "models:/churn@champion", "curl -OJ", "If-None-Match"):
        assert snippet in text_of(page).replace("&quot;", '"'), snippet
    assert 'href="/models/churn/versions/1/lineage"' in page.content.decode()
    assert client.get("/models/churn/versions/1?metrics=nix").status_code == 400
    assert client.get("/models/churn/versions/9").status_code == 404
    assert client.get("/models/nobody/versions/1").status_code == 404


def test_asking_for_a_stage_says_which_webhooks_fire(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, make.version(requester))
    make.version(requester)
    webhooks.create(
        maintainer, url="https://deploy.example.org/", verbs=["version.transitioned"], targets=["Production"]
    )
    said = text_of(signed_in(requester).get("/models/churn/versions/2"))
    assert "v2 becomes Production, v1 becomes Archived, 1 webhook fires." in said
    assert "At once: v2 becomes Staging." in said
