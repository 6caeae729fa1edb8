"""The OpenAPI document: as its snapshot says, and shown without loading anything from elsewhere."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.live import ROOT

SNAPSHOT = ROOT / "docs" / "openapi.yaml"
ACCEPT = (
    'python manage.py shell -c \'from web.api.docs import document as d; open("docs/openapi.yaml", "wb").write(d())\''
)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.mark.django_db
def test_the_document_is_the_snapshot(client: Client) -> None:
    served = client.get("/api/v1/openapi.yaml")
    assert (served.status_code, served["Content-Type"]) == (200, "application/yaml")
    assert served.content == SNAPSHOT.read_bytes(), f"The API has changed. If it is meant, accept it with:\n{ACCEPT}"


def test_the_docs_page_loads_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/api/v1/docs")
    assert page.status_code == 200
    html = page.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", html)
    sources = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(sources) == 5
    for source in sources:
        assert re.match(r"/[^/]", source), source
        if source.startswith("/static/"):
            assert finders.find(source.removeprefix("/static/")), source
    script = client.get("/api/v1/docs?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert "/api/v1/openapi.yaml" in script.content.decode()
    policy = page["Content-Security-Policy"]
    assert "img-src 'self' data:" in policy
    assert "unsafe" not in policy
