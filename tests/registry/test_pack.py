"""The evidence pack: whole, verifiable, escaped, the same for the same state, for those who may read the audit log."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accounts.actor import Actor
from accounts.checkpoints import making as checkpoints
from accounts.models import AuditEntry
from accounts.permissions import RoleMissing
from core.canonical import digest
from registry import pack
from registry.errors import ModelNotFound, VersionNotFound
from registry.models import Check, Comment, Promotion
from registry.policy import Scope
from registry.services import catalog, policies, promotions
from tests import make
from tests.web.ui.conftest import trained

pytestmark = pytest.mark.django_db
HOSTILE = '<script>alert(1)</script><img src=x onerror="x">{{ settings }}'


@pytest.fixture
def vouched(requester: Actor, reviewer: Actor, maintainer: Actor) -> Promotion:
    """churn v1 in Production under a policy with a gate, after a rejected attempt; every text in it is hostile."""
    make.model(requester)
    version = trained(requester, files=3)
    catalog.describe_version(requester, "churn", 1, HOSTILE)
    catalog.tag_version(requester, "churn", 1, HOSTILE[:20], HOSTILE)
    gates = [{"gate": "required_checks", "names": ["eval"]}]
    policies.write(maintainer, Scope("churn"), "Production", {"approvals": 1, "gates": gates})
    Check.objects.create(
        version=version,
        name="eval",
        state="passed",
        summary=HOSTILE,
        reporter_id=requester.user_id,
        values={"auc": 0.9},
    )
    Comment.objects.create(version=version, author_id=requester.user_id, text=HOSTILE)
    first = promotions.request(requester, "churn", 1, "Production")
    promotions.reject(reviewer, first.pk, reason=HOSTILE)
    asked = promotions.request(requester, "churn", 1, "Production", comment=HOSTILE)
    return promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked), comment=HOSTILE)


def opened(actor: Actor, number: int = 1) -> zipfile.ZipFile:
    with pack.packed(actor, "churn", number).file as file:
        return zipfile.ZipFile(io.BytesIO(file.read()))


def read(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(name))


def test_the_pack_verifies_as_its_readme_says(vouched: Promotion, maintainer: Actor, tmp_path: Path) -> None:
    archive = opened(maintainer)
    assert sorted(archive.namelist()) == [
        "README.txt",
        "SHA256SUMS",
        "chain.json",
        "checks.json",
        "entries.jsonl",
        "index.html",
        "lineage.json",
        "manifest.json",
        "policy.json",
        "promotions.json",
        "version.json",
    ]
    archive.extractall(tmp_path)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)
    commands = [line.strip() for line in (tmp_path / "README.txt").read_text().splitlines() if "python3 -c" in line]
    said = [subprocess.run(c, shell=True, cwd=tmp_path, check=True, capture_output=True).stdout for c in commands]
    assert said == [b"True\n", b"True\n"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["digest"] == vouched.version.manifest.digest  # type: ignore[union-attr]
    assert manifest["file_count"] == len(manifest["files"]) == 3


def test_it_holds_the_entries_that_concern_the_version_and_their_place(
    vouched: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    unrelated = make.version(requester)
    successor = make.version(requester)
    Check.objects.create(version=successor, name="eval", state="passed", reporter_id=requester.user_id)
    displaced_by = make.in_production(requester, reviewer, successor)
    archive = opened(maintainer)
    entries = [json.loads(line) for line in archive.read("entries.jsonl").splitlines()]
    verbs = [entry["verb"] for entry in entries]
    assert verbs[0] == "model.created"
    assert [verbs.count(v) for v in ("version.registered", "promotion.rejected", "promotion.approved")] == [1, 1, 2]
    assert any(entry["data"].get("promotion") == str(displaced_by.pk) for entry in entries)
    assert not any(entry["data"].get("version") == unrelated.number for entry in entries)
    for entry in entries:
        stored = AuditEntry.objects.get(hash=entry["hash"])
        assert (stored.sequence, stored.previous_hash) == (entry["sequence"], entry["previous_hash"])
        assert digest({key: value for key, value in entry.items() if key != "hash"}) == entry["hash"]
    newest = AuditEntry.objects.filter(chain__subject_id=vouched.model_id).latest("sequence")
    head = {"sequence": newest.sequence, "hash": newest.hash}
    unconfirmed = read(archive, "chain.json")
    assert (unconfirmed["head"], unconfirmed["confirmed"]) == (head, None)
    checkpoint = checkpoints.make()
    assert checkpoint
    confirmed = read(opened(maintainer), "chain.json")
    assert (confirmed["confirmed"], confirmed["newest_checkpoint"]["digest"]) == (head, checkpoint.digest)


def test_it_tells_each_decision_with_what_it_was_made_on(vouched: Promotion, maintainer: Actor) -> None:
    archive = opened(maintainer)
    rejected, promoted = read(archive, "promotions.json")
    assert (rejected["state"], rejected["reason"], rejected["decided_by"]) == ("rejected", HOSTILE, "reviewer")
    assert digest(promoted["decided_on"]) == promoted["evidence"]
    [approval] = promoted["approvals"]
    assert (approval["reviewer"], approval["counted"], approval["evidence"]) == ("reviewer", True, promoted["evidence"])
    assert approval["looked_at"] == promoted["decided_on"]
    [gate] = promoted["gates"]
    assert gate["outcome"] == "pass"
    assert gate["reason"]
    entry = AuditEntry.objects.get(hash=promoted["entry_hash"])
    assert entry.data["gates"] == promoted["gates"]
    _, policy = read(archive, "policy.json")
    assert policy["terms"] == promoted["terms"]
    assert (policy["revision"]["number"], policy["revision"]["changed_by"]) == (1, "maintainer")
    assert read(archive, "checks.json")[0]["values"] == {"auc": 0.9}
    assert read(archive, "lineage.json")["run"]["commit"] == "c0ffee"
    held = [(each["target"], each["until"] is None) for each in read(archive, "version.json")["intervals"]]
    assert held == [("None", False), ("Production", True)]


def test_the_page_of_the_pack_runs_nothing_and_loads_nothing(vouched: Promotion, maintainer: Actor) -> None:
    page = opened(maintainer).read("index.html").decode()
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 7
    assert " src=" not in page.replace("&lt;img src=x", "")
    assert "href=" not in page


def test_the_same_state_makes_the_same_pack_but_for_the_time_in_its_readme(
    vouched: Promotion, maintainer: Actor
) -> None:
    one, other = opened(maintainer), opened(maintainer)
    same = set(one.namelist()) - {"README.txt", "SHA256SUMS"}
    assert {name: one.read(name) for name in same} == {name: other.read(name) for name in same}
    assert {info.date_time for info in one.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_only_who_may_read_the_audit_log_gets_it(
    vouched: Promotion, reviewer: Actor, administrator: Actor, outsider: Actor
) -> None:
    with pytest.raises(RoleMissing):
        pack.packed(reviewer, "churn", 1)
    with pytest.raises(ModelNotFound):
        pack.packed(outsider, "churn", 1)
    with pytest.raises(VersionNotFound):
        pack.packed(administrator, "churn", 2)


def test_a_deleted_version_of_a_deleted_model_still_has_one(
    vouched: Promotion, requester: Actor, administrator: Actor, reviewer: Actor
) -> None:
    promotions.transition(administrator, "churn", 1, "Archived")
    catalog.delete_version(administrator, "churn", 1)
    assert read(opened(administrator), "version.json")["deleted_at"]
    catalog.delete_model(administrator, "churn")
    verbs = [json.loads(line)["verb"] for line in opened(administrator).read("entries.jsonl").splitlines()]
    assert verbs[-2:] == ["version.deleted", "model.deleted"]
    with pytest.raises(RoleMissing):
        pack.packed(reviewer, "churn", 1)


def test_a_pack_costs_the_same_however_often_the_version_was_moved(
    vouched: Promotion, administrator: Actor, requester: Actor, reviewer: Actor, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        promotions.transition(administrator, "churn", 1, "Archived")
        asked = promotions.request(requester, "churn", 1, "Production")
        promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    with django_assert_max_num_queries(20) as counted:
        opened(administrator)
    once = len(counted)
    promotions.transition(administrator, "churn", 1, "Archived")
    with django_assert_max_num_queries(once):
        opened(administrator)


def test_ten_thousand_files_leave_memory_flat(vouched: Promotion, maintainer: Actor) -> None:
    manifest = vouched.version.manifest
    assert manifest
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lineage_manifestfile (manifest_id, path, sha256, size) "
            "SELECT %s, 'part/' || n, encode(sha256(n::text::bytea), 'hex'), n FROM generate_series(1, 10000) n",
            [manifest.pk],
        )
    manifest.file_count += 10_000
    manifest.save(update_fields=["file_count"])
    pack.packed(maintainer, "churn", 1).file.close()  # what is imported and cached once
    tracemalloc.start()
    packed = pack.packed(maintainer, "churn", 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024**2
    with zipfile.ZipFile(packed.file) as archive:
        files = read(archive, "manifest.json")["files"]
        assert [file["path"] for file in files] == sorted(file["path"] for file in files)
        assert len(files) == 10_003
        assert len(archive.read("index.html")) < 200_000
        assert "9803 more are in manifest.json" in archive.read("index.html").decode()


def test_the_command_writes_the_pack(vouched: Promotion, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "pack.zip"
    call_command("evidence", "churn", "1", out=str(out))
    with zipfile.ZipFile(out) as archive:
        sums = dict(reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines())
        assert all(hashlib.sha256(archive.read(name)).hexdigest() == sum for name, sum in sums.items())
        assert len(sums) == len(archive.namelist()) - 1
    with pytest.raises(CommandError, match="no version 9"):
        call_command("evidence", "churn", "9")
    with pytest.raises(CommandError, match="no workspace"):
        call_command("evidence", "churn", "1", workspace="elsewhere")
