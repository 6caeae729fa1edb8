"""A server in a conformance run: what it does otherwise, and that it says so."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from config.conformance import SWITCHED_OFF
from tests.live import Live, serving


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("conformance"), "conformance", VOUCH_CONFORMANCE="1") as server:
        yield server


def call(live: Live, path: str, **body: object) -> tuple[int, dict[str, Any]]:
    credentials = base64.b64encode(f"anybody:{live.token('ci')}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{live.url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_stages_are_open_and_hold_several_versions(live: Live) -> None:
    assert call(live, "registered-models/create", name="open")[0] == 200
    for number in ("1", "2"):
        assert call(live, "model-versions/create", name="open", source="s3://bucket/model")[0] == 200
        moved = call(live, "model-versions/transition-stage", name="open", version=number, stage="Production")
        assert moved[1]["model_version"]["current_stage"] == "Production", moved
    still = call(live, "registered-models/get-latest-versions", name="open", stages=["Archived"])
    assert still == (200, {})


def test_a_repeated_create_makes_a_second_version(live: Live) -> None:
    call(live, "registered-models/create", name="repeated")
    made = [call(live, "model-versions/create", name="repeated", source="s3://bucket/model") for _ in range(2)]
    assert [answer["model_version"]["version"] for _, answer in made] == ["1", "2"]


@pytest.mark.parametrize("name", ["Grüße, Welt!", "a+b=c?", " spaced", "100%", "日本"])
def test_any_name_that_the_reference_takes_is_taken(live: Live, name: str) -> None:
    assert call(live, "registered-models/create", name=name)[1]["registered_model"]["name"] == name


@pytest.mark.parametrize("name", ["a/b", "a:b", ".", "..", " "])
def test_what_the_reference_refuses_is_refused(live: Live, name: str) -> None:
    assert call(live, "registered-models/create", name=name)[0] == 400


def test_it_is_told_at_the_start_and_on_every_page(live: Live) -> None:
    started = [json.loads(line) for line in live.log.read_text().splitlines() if "VOUCH_CONFORMANCE is on" in line]
    assert (started[0]["event"], started[0]["level"]) == (SWITCHED_OFF, "warning")
    with urllib.request.urlopen(f"{live.url}/sign-in", timeout=20) as page:
        assert "Conformance run: policies are open" in page.read().decode()


def test_without_the_setting_no_page_speaks_of_it(client: Any, db: None) -> None:
    assert "Conformance" not in client.get("/sign-in").content.decode()


def test_private_hosts_by_plain_http_are_receivers(live: Live) -> None:
    body = json.dumps({"url": "http://10.1.2.3:8080/hook"}).encode()
    headers = {"Authorization": f"Bearer {live.token('admin')}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{live.url}/api/v1/webhooks", body, headers)) as answer:
        assert answer.status == 201
