"""Frozen files are looked into once, and their bytes are compared again as long as they are kept."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.actor import Actor
from lineage import tasks
from lineage.inspection import Contents
from lineage.models import Manifest
from lineage.services import artifacts, manifests
from lineage.services.artifacts import Place
from lineage.storage import local
from lineage.storage.blobs import Blob
from registry.services import catalog
from registry.services.catalog import Origin
from tests import make
from tests.lineage.test_inspection import MODEL

pytestmark = pytest.mark.django_db
LATER = datetime.timedelta(days=2)


def frozen(actor: Actor, files: dict[str, bytes] = MODEL, upload: str = "build-7") -> Manifest:
    """A manifest of these files, uploaded by the actor."""
    blobs = {}
    for path, content in files.items():
        file, _ = artifacts.upload(actor, Place(upload_name=upload), path, [content])
        blobs[path] = Blob(file.sha256, file.size)
    return artifacts.manifest_of(actor.workspace_id, blobs)


def kept_at(manifest: Manifest, path: str) -> Path:
    """Where the bytes of a file lie, made writable as whoever damages a disk does not ask."""
    place = local.path_of(manifest.files.get(path=path).sha256)
    place.chmod(0o600)
    return place


def flip(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


# --- Looking in -------------------------------------------------------------------------------------------------------


def test_a_registered_model_is_looked_into_after_the_commit(
    requester: Actor, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    make.model(requester)
    for path, content in MODEL.items():
        artifacts.upload(requester, Place(upload_name="build-7"), path, [content])
    origin = Origin(source="upload:build-7", place=Place(upload_name="build-7"))
    with django_capture_on_commit_callbacks(execute=True):
        catalog.register_version(requester, "churn", origin)
        assert Manifest.objects.get().inspected is None
    seen = Manifest.objects.get().contents
    assert seen
    assert (seen.has_signature, seen.input_example, seen.pickles) == (True, "input_example.json", ("model.pkl",))


def test_a_registration_stands_whatever_looking_in_does(
    requester: Actor,
    django_capture_on_commit_callbacks: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the store is away")

    make.model(requester)
    monkeypatch.setattr(manifests, "wanted", broken)
    with django_capture_on_commit_callbacks(execute=True):
        version = make.version(requester)
    assert version.number == 1
    monkeypatch.undo()
    tasks.inspect_new()
    assert Manifest.objects.get().contents == Contents(pickles=("model.bin",), pickle_count=1)


def test_the_sweep_looks_into_the_oldest_first_and_once(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = (frozen(requester, {"README.md": title}, title.decode()) for title in (b"one", b"two"))
    looked: list[str] = []
    inspect = manifests.inspect
    monkeypatch.setattr(manifests, "inspect", lambda found: (looked.append(found.digest), inspect(found)))
    tasks.inspect_new()
    tasks.inspect_new()
    assert looked == [older.digest, newer.digest]
    frozen(requester, {"README.md": b"three"}, "three")
    assert manifests.inspect_new(seconds=0) == 0


def test_looking_in_again_changes_nothing(requester: Actor, django_assert_num_queries: Callable[..., Any]) -> None:
    manifest = frozen(requester)
    stale = Manifest.objects.get()
    seen = manifests.inspect(manifest)
    Manifest.objects.update(inspected={**(seen.as_json() if seen else {}), "problem": "the first look"})
    again = manifests.inspect(stale)
    assert again
    assert again.problem == "the first look"
    with django_assert_num_queries(0):
        manifests.inspect(stale)


def test_contents_of_another_format_are_not_read(requester: Actor) -> None:
    manifest = frozen(requester)
    manifest.inspected = {"format": 99, "mlmodel": {"path": "x"}}
    assert manifest.contents is None


def test_damage_seen_on_looking_in_is_noted_and_does_not_hold_up_the_sweep(requester: Actor) -> None:
    damaged, whole = frozen(requester, MODEL), frozen(requester, {"README.md": b"# Two"}, "two")
    good = kept_at(damaged, "MLmodel").read_bytes()
    flip(kept_at(damaged, "MLmodel"))
    tasks.inspect_new()
    damaged.refresh_from_db()
    whole.refresh_from_db()
    assert damaged.inspected is None
    assert damaged.damage.startswith("MLmodel has the SHA-256 ")
    assert whole.contents
    assert manifests.inspect_new(seconds=5) == 0  # it is not tried again and again
    kept_at(damaged, "MLmodel").write_bytes(good)
    assert manifests.verify(damaged) == ""
    assert manifests.inspect_new(seconds=5) == 1


@pytest.mark.django_db(transaction=True)
def test_the_store_is_not_read_inside_a_transaction(requester: Actor) -> None:
    manifest = frozen(requester)
    for read in (manifests.inspect, manifests.verify):
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            read(manifest)
    assert manifests.inspect(manifest)


# --- Comparing again --------------------------------------------------------------------------------------------------


def test_frozen_bytes_count_as_verified_and_are_again_when_compared(requester: Actor) -> None:
    manifest = frozen(requester)
    assert manifest.verified_at
    assert abs(timezone.now() - manifest.verified_at) < datetime.timedelta(minutes=1)
    with time_machine.travel(timezone.now() + LATER):
        assert manifests.verify(manifest) == ""
        assert abs(timezone.now() - manifest.verified_at) < datetime.timedelta(minutes=1)
    assert manifest.damage == ""


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (flip, "model.pkl has the SHA-256 "),
        (lambda place: place.write_bytes(place.read_bytes()[:-1]), "model.pkl has 3 bytes where 4 were frozen"),
        (lambda place: place.write_bytes(place.read_bytes() + b"x"), "model.pkl has 5 bytes where 4 were frozen"),
        (lambda place: place.unlink(), "model.pkl is missing"),
        (lambda place: (place.unlink(), place.mkdir()), "model.pkl cannot be read: Is a directory"),
    ],
    ids=["a byte flipped", "cut", "grown", "gone", "unreadable"],
)
def test_damage_on_disk_is_found_named_and_struck_out_when_mended(
    requester: Actor, harm: Callable[[Path], object], says: str
) -> None:
    manifest = frozen(requester)
    place = kept_at(manifest, "model.pkl")
    harm(place)
    assert manifests.verify(manifest).startswith(says)
    found = Manifest.objects.get()
    assert (found.damage, found.damage[: len(says)]) == (manifest.damage, says)
    if place.is_dir():
        place.rmdir()
    artifacts.upload(requester, Place(upload_name="build-7"), "model.pkl", [MODEL["model.pkl"]])  # as the guide says
    assert manifests.verify(manifest) == ""
    assert Manifest.objects.get().damage == ""


def test_the_first_bad_file_is_named_and_the_others_are_counted(requester: Actor) -> None:
    manifest = frozen(requester)
    for path in ("model.pkl", "conda.yaml", "MLmodel"):
        kept_at(manifest, path).unlink()
    assert manifests.verify(manifest).startswith("MLmodel is missing")
    assert manifest.damage.endswith("; 2 more files are damaged")


def test_a_check_that_began_before_strikes_out_no_later_finding(
    requester: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = frozen(requester)

    def meanwhile(_: object) -> str:
        Manifest.objects.update(damage="found by another")
        return ""

    monkeypatch.setattr(manifests, "_wrong", meanwhile)
    assert manifests.verify(manifest) == ""
    assert manifest.damage == "found by another"


def test_a_large_file_is_compared_in_flat_memory(requester: Actor) -> None:
    part = b"0123456789abcdef" * 65536  # 1 MiB
    blob = local.Disk().write(part for _ in range(200))
    manifest = artifacts.manifest_of(requester.workspace_id, {"weights.bin": blob})
    before = _peak(reset=True)
    assert manifests.verify(manifest) == ""
    assert _peak() - before < 16_000
    with kept_at(manifest, "weights.bin").open("r+b") as file:
        file.seek(150_000_000)
        file.write(b"X")
    assert manifests.verify(manifest).startswith("weights.bin has the SHA-256 ")


def _peak(*, reset: bool = False) -> int:
    """The most memory that this process held, in kB; since now when `reset`."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# --- By the clock, and by hand ----------------------------------------------------------------------------------------


def test_each_hour_what_was_longest_not_verified_is_read_up_to_a_bound(requester: Actor, settings: Any) -> None:
    never, long_ago, lately = (frozen(requester, {"f": name * 50}, name.decode()) for name in (b"a", b"b", b"c"))
    settings.VOUCH_VERIFY_BYTES_PER_HOUR = 51  # the second begins within it and is finished
    now = timezone.now()
    for manifest, then in ((never, None), (long_ago, now - 3 * LATER), (lately, now - LATER)):
        Manifest.objects.filter(pk=manifest.pk).update(verified_at=then)
    flip(kept_at(never, "f"))
    tasks.verify_oldest()
    for manifest in (never, long_ago, lately):
        manifest.refresh_from_db()
    assert never.damage
    assert never.verified_at
    assert long_ago.verified_at
    assert min(never.verified_at, long_ago.verified_at) >= now
    assert lately.verified_at == now - LATER
    tasks.verify_oldest()
    assert manifests.verify_oldest(10**9) == 0  # none twice within a day
    with time_machine.travel(now + LATER):
        assert manifests.verify_oldest(0) == 0
        assert manifests.verify_oldest(10**9) == 3


@pytest.fixture
def another_verifies() -> Iterator[None]:
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [manifests._VERIFYING])
        yield
    finally:
        other.close()


def test_two_do_not_verify_at_a_time(requester: Actor, another_verifies: None) -> None:
    frozen(requester)
    Manifest.objects.update(verified_at=None)
    assert manifests.verify_oldest(10**9) == 0


def test_the_sweeps_find_their_rows_by_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT * FROM lineage_manifest WHERE inspected IS NULL AND damage = '' ORDER BY id")
        assert "manifest_to_inspect" in str(cursor.fetchall())
        cursor.execute("EXPLAIN SELECT * FROM lineage_manifest ORDER BY verified_at ASC NULLS FIRST, id LIMIT 1")
        plan = str(cursor.fetchall())
    assert "manifest_by_verification" in plan
    assert "Sort" not in plan


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("artifacts", "verify", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_names_what_is_damaged_and_fails(requester: Actor, outsider: Actor) -> None:
    damaged, whole = frozen(requester), frozen(outsider, {"f": b"whole"})
    out, err = run()
    assert "whole: 2 manifests" in out
    assert damaged.digest in err
    flip(kept_at(damaged, "model.pkl"))
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 of 2 manifests are damaged"):
        call_command("artifacts", "verify", stdout=out, stderr=io.StringIO())
    assert f"manifest {damaged.digest}: model.pkl has the SHA-256" in out.getvalue()
    assert "whole: 1 manifests" in run("--digest", whole.digest)[0]
    with pytest.raises(CommandError, match="1 of 1"):
        run("--damaged")
    with pytest.raises(CommandError, match="there is no manifest"):
        run("--digest", "0" * 64)
