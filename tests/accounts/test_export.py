"""The export: what each hash covers in JSON lines, cells without formulas in CSV, as much of it as was asked for."""

from __future__ import annotations

import csv
import datetime
import io
import json
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import audit, export
from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.verbs import Verb
from core.canonical import digest
from registry.services import catalog
from tests import make

pytestmark = pytest.mark.django_db


def exported(*arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", "export", *arguments, stdout=out)
    return out.getvalue()


def entries(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(*arguments).splitlines()]


def test_a_line_holds_exactly_what_its_hash_covers(requester: Actor) -> None:
    make.model(requester)
    told = entries()
    assert len(told) == AuditEntry.objects.count()
    for entry in told:
        assert entry.pop("hash") == digest(entry)
    assert told[-1]["data"]["model"] == "churn"


def test_chains_follow_each_other_whole_and_in_order(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 2)
    for name in ("a", "b"):
        make.model(requester, name)
    for _ in range(3):
        for name in ("a", "b"):
            catalog.tag_model(requester, name, "k", "v")
    seen: dict[str, list[int]] = {}
    told = entries()
    for entry in told:
        assert entry["chain"] not in seen or entry["chain"] == list(seen)[-1]
        seen.setdefault(entry["chain"], []).append(entry["sequence"])
    assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in seen.values())
    assert len(told) == AuditEntry.objects.count()


def test_an_export_reads_a_page_at_a_time(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 5)
    make.model(requester)
    for _ in range(20):
        catalog.tag_model(requester, "churn", "k", "v")
    rows = export.entries()
    with CaptureQueriesContext(connection) as queries:
        for _ in range(5):
            next(rows)
    assert len(queries) == 1


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "'"])
def test_no_cell_of_a_csv_is_a_formula(begins: str, requester: Actor) -> None:
    subject = f"{begins}cmd|'/c calc'!A1"
    with transaction.atomic():
        audit.record(requester, Verb.MODEL_TAGGED, subject=subject, data={"k": subject})
    *_, row = csv.DictReader(io.StringIO(exported("--format", "csv"), newline=""))
    assert row["subject"] == "'" + subject
    assert json.loads(row["data"]) == {"k": subject}
    assert row["sequence"].isdecimal()
    assert row["hash"] == AuditEntry.objects.get(subject=subject).hash
    assert all(not cell.startswith(tuple("=+-@\t\r\n")) for cell in row.values())


def test_an_export_can_be_narrowed_to_a_model_and_a_time(requester: Actor, tmp_path: Path) -> None:
    start = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    for day in range(3):
        with time_machine.travel(start + datetime.timedelta(days=day)):
            make.model(requester, f"m{day}")
    between = ["--since", "2030-01-02", "--until", "2030-01-03T00:00:00+00:00"]
    assert [entry["data"]["model"] for entry in entries(*between)] == ["m1"]
    assert [entry["data"]["model"] for entry in entries("--model", "m2")] == ["m2"]
    file = tmp_path / "log.jsonl"
    assert exported("--model", "m2", "--out", str(file)) == ""
    assert len(file.read_text().splitlines()) == 1
    for wrong in (["--model", "nothing"], ["--since", "yesterday"], ["--out", "/nowhere/log"]):
        with pytest.raises(CommandError):
            exported(*wrong)
