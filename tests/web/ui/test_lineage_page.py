"""The line of a version as a picture and as a table: whole, with parts missing, of a copy, of what lies elsewhere."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from accounts.actor import Actor
from accounts.models import User
from accounts.roles import Role
from accounts.services import people
from lineage.services import experiments, links, logged_models, runs
from registry.descent import descent
from registry.models import Version
from registry.queries import find_version
from registry.services import aliases, catalog, promotions
from registry.services.catalog import Origin
from tests import make
from tests.web.ui.conftest import signed_in, text_of, trained
from web.ui.lineage import Box, picture

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>\u202e" + "x" * 200


def boxes(actor: Actor, name: str = "churn", number: int = 1) -> dict[str, list[Box]]:
    """The boxes of a picture by its columns' heads."""
    drawn = picture(descent(actor, find_version(actor, name, number)))
    return {head: list(each) for head, each in drawn.columns}


def svg_of(response: Any) -> ElementTree.Element:
    found = re.search(r'<svg viewBox[^>]*role="group".*?</svg>', response.content.decode(), re.S)
    assert found
    return ElementTree.fromstring(found[0])


def test_the_whole_line_is_drawn_from_data_to_production(requester: Actor, reviewer: Actor, viewer: Actor) -> None:
    make.model(requester)
    version = trained(requester)
    make.in_production(requester, reviewer, version)
    aliases.set_alias(requester, "churn", "champion", 1)
    found = boxes(viewer)
    assert [(box.kind, box.title) for box in found["Made with"]] == [
        ("Data set", "customers"), ("Code", "c0ffee"), ("Environment", "not told"),
    ]  # fmt: skip
    assert found["Run"][0].href == f"/runs/{version.run_id.hex}"  # type: ignore[union-attr]
    assert (found["Registered from"][0].kind, found["Registered from"][0].title) == ("Files of the run", "model")
    assert found["Version"][0].title == "churn v1"
    assert [(box.kind, box.title) for box in found["Went to"]] == [("Is in", "Production"), ("Alias", "@champion")]
    response = signed_in(viewer).get("/models/churn/versions/1/lineage")
    svg = svg_of(response)
    linked = [element.attrib["aria-label"] for element in svg.iter() if element.tag == "a"]
    assert "Version churn v1, @champion" in linked
    assert sum(element.attrib.get("class") == "edge" for element in svg.iter()) == 2 + 1 + 1 + 2
    page = text_of(response)
    assert "Made with Data set customers d-0.9" in page
    assert "log_model(…, pip_requirements=[…])" in page


def test_links_of_a_data_set_lead_to_the_runs_that_read_it(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    version = trained(requester)
    (dataset, *_) = boxes(viewer)["Made with"]
    assert version.run
    assert version.run.name in text_of(signed_in(viewer).get(dataset.href))


def test_a_logged_model_stands_between_its_run_and_the_version(requester: Actor) -> None:
    make.model(requester)
    run = runs.create(requester, experiments.default(requester), tags={})
    made = logged_models.create(requester, run.experiment, name="forest", source_run_id=run.pk.hex, params={}, tags={})
    catalog.register_version(requester, "churn", Origin(source=f"models:/m-{made.pk.hex}", logged_model=made))
    found = boxes(requester)
    assert (found["Registered from"][0].kind, found["Registered from"][0].title) == ("Logged model", "forest")
    assert found["Run"][0].title == run.name
    assert [box.missing for box in found["Made with"]] == [True, True, True]
    assert "mlflow.log_input" in found["Made with"][0].hint


def test_without_a_run_what_to_do_is_said(requester: Actor) -> None:
    make.model(requester)
    make.version(requester)
    found = boxes(requester)
    assert found["Run"][0].missing
    assert "mlflow.start_run()" in found["Run"][0].hint
    assert found["Registered from"][0].kind == "Upload"
    assert found["Went to"][0].missing
    response = signed_in(requester).get("/models/churn/versions/1/lineage")
    assert "registered without a run" in text_of(response)
    assert sum("missing" in element.attrib.get("class", "") for element in svg_of(response).iter()) == 5


def test_a_run_and_bytes_elsewhere_are_named_and_not_linked(requester: Actor) -> None:
    make.model(requester)
    catalog.register_version(requester, "churn", Origin(source="s3://bucket/model", run_ref="f" * 32))
    found = boxes(requester)
    assert (found["Run"][0].title, found["Run"][0].missing, found["Run"][0].href) == ("f" * 32, True, "")
    assert (found["Registered from"][0].kind, found["Registered from"][0].title) == ("Elsewhere", "s3://bucket/model")


def copy_of(actor: Actor, original: Version, name: str) -> Version:
    source = f"models:/{original.model.name}/{original.number}"
    return catalog.register_version(actor, name, Origin(source=source, copy_of=original)).version


def test_a_copy_leads_to_what_it_is_a_copy_of_and_back(requester: Actor, administrator: Actor) -> None:
    make.model(requester)
    original = trained(requester)
    make.model(requester, "churn-live")
    copy_of(requester, original, "churn-live")
    (from_,) = boxes(requester, "churn-live")["Registered from"]
    assert (from_.kind, from_.title, from_.href) == ("Copy of", "churn v1", "/models/churn/versions/1/lineage")
    back = boxes(requester)["Went to"][-1]
    assert (back.kind, back.title, back.href) == ("Copied to", "churn-live v1", "/models/churn-live/versions/1/lineage")
    people.give(
        administrator,
        Role.VIEWER,
        user=User.objects.get(username=make.actor("guest").username),
        model_id=Version.objects.get(model__name="churn-live").model_id,
    )
    guest = make.actor("guest")
    found = boxes(guest, "churn-live")
    assert (found["Registered from"][0].missing, found["Registered from"][0].href) == (True, "")
    client = signed_in(guest)
    assert client.get("/models/churn-live/versions/1/lineage").status_code == 200
    assert client.get("/models/churn/versions/1/lineage").status_code == 404


def test_who_sees_the_version_alone_is_told_of_its_run_and_led_to_no_page_of_it(
    requester: Actor, administrator: Actor
) -> None:
    model = make.model(requester)
    version = trained(requester)
    make.actor("guest")
    people.give(administrator, Role.VIEWER, user=User.objects.get(username="guest"), model_id=model.pk)
    found = boxes(make.actor("guest"))
    assert version.run
    assert found["Run"][0].title == version.run.name
    assert {box.href for column in ("Made with", "Run", "Registered from") for box in found[column]} == {""}


def test_names_show_as_text_and_within_their_boxes(requester: Actor) -> None:
    make.model(requester)
    version = trained(requester)
    run = version.run
    assert run
    runs.update(requester, run.pk, name=HOSTILE)
    links.log_inputs(
        requester,
        run.pk,
        [links.DatasetUse(HOSTILE, "'d", "local", "x"), links.DatasetUse("日本" * 40, "1", "local", "x")],
    )
    response = signed_in(requester).get("/models/churn/versions/1/lineage")
    assert "<script>alert" not in response.content.decode()
    texts = [element.text or "" for element in svg_of(response).iter() if element.tag == "text"]
    assert any(text.startswith("<script>alert(1)") and text.endswith("…") for text in texts)
    assert max(map(len, texts)) <= 28
    assert not any("\u202e" in text for text in texts)
    dataset = next(box for box in boxes(requester)["Made with"] if box.title == HOSTILE)
    assert signed_in(requester).get(dataset.href).status_code == 200


def test_a_line_is_cut_and_read_in_few_queries_however_long_it_is(
    requester: Actor, administrator: Actor, django_assert_max_num_queries: Any
) -> None:
    make.model(requester)
    version = trained(requester)
    for n in range(8):
        make.model(requester, f"copy-{n}")
        copy_of(requester, version, f"copy-{n}")
        promotions.transition(administrator, "churn", 1, "Staging" if n % 2 else "Archived")
        links.log_inputs(requester, version.run_id, [links.DatasetUse(f"d{n}", "1", "local", "x")])
    found = boxes(requester)
    assert found["Made with"][6].title == "and 3 more"
    assert [box.kind for box in found["Went to"]].count("Copied to") == 7
    assert [box.kind for box in found["Went to"]].count("Was in") == 5
    client = signed_in(requester)
    with django_assert_max_num_queries(15):
        assert client.get("/models/churn/versions/1/lineage").status_code == 200


def test_a_copy_is_not_one_of_a_younger_model_that_took_the_name(
    requester: Actor, maintainer: Actor, viewer: Actor
) -> None:
    make.model(requester)
    original = make.version(requester)
    make.model(requester, "served")
    copy_of(requester, original, "served")
    assert boxes(viewer, "served")["Registered from"][0].href == "/models/churn/versions/1/lineage"
    catalog.delete_model(maintainer, "churn")
    make.model(requester)
    make.version(requester)
    assert boxes(viewer, "served")["Registered from"][0].missing
    assert not [box for box in boxes(viewer)["Went to"] if box.kind == "Copied to"]
