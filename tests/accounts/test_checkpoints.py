"""Checkpoints: what they hold, that they stay, and that one which is missing or forged is found."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import audit, tasks
from accounts.actor import Actor
from accounts.checkpoints import files, keys, making, places
from accounts.checkpoints.files import Checkpoint, Point
from accounts.models import AuditCheckpoint, AuditWitness
from accounts.verbs import Verb
from core.canonical import canonical_json
from tests import fake_s3

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def write(actor: Actor, *subjects: uuid.UUID) -> None:
    for subject in subjects:
        with transaction.atomic():
            audit.record(actor, Verb.MODEL_TAGGED, subject="model churn", data={}, chain_of=subject)


def made(actor: Actor, *subjects: uuid.UUID) -> Checkpoint:
    """A checkpoint of something new."""
    write(actor, *(subjects or [uuid.uuid4()]))
    checkpoint = making.make()
    assert checkpoint
    return checkpoint


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def verdict(*arguments: str) -> str:
    """What `audit verify` prints; CommandError's message at the end when it fails."""
    out = io.StringIO()
    try:
        call_command("audit", "verify", *arguments, stdout=out, stderr=out)
    except CommandError as error:
        return f"{out.getvalue()}FAILED {error}"
    return out.getvalue()


def test_a_checkpoint_names_the_chains_that_have_moved_and_the_one_before_it(requester: Actor, place: Path) -> None:
    one, other = uuid.uuid4(), uuid.uuid4()
    first = made(requester, one, other, one)
    second = made(requester, other)
    head, *points, closing = lines(place / files.name(1))
    assert (head["number"], head["previous"], head["key"]) == (1, files.FIRST_PREVIOUS, keys.own_public())
    named = {point["chain"]: point["sequence"] for point in points}
    assert named.pop("") > 0  # accounts were made, too
    assert named == {str(one): 2, str(other): 1}
    assert closing["digest"] == first.digest
    head, *points, _ = lines(place / files.name(2))
    assert (head["number"], head["previous"]) == (2, first.digest)
    assert [(point["chain"], point["sequence"]) for point in points] == [(str(other), 2)]
    assert AuditCheckpoint.objects.get(number=2).digest == second.digest
    assert "whole: 3 chains" in verdict()


def test_nothing_is_made_when_nothing_has_moved(requester: Actor, place: Path) -> None:
    made(requester)
    tasks.checkpoint_audit()
    assert [path.name for path in place.glob("checkpoint-*")] == [files.name(1)]
    write(requester, uuid.uuid4())
    tasks.checkpoint_audit()
    assert len(list(place.glob("checkpoint-*"))) == 2
    assert not list(place.glob(".*"))


def test_a_checkpoint_takes_as_many_queries_for_many_chains_as_for_one(requester: Actor) -> None:
    made(requester)
    counts = []
    for chains in (1, 50):
        write(requester, *(uuid.uuid4() for _ in range(chains)))
        with CaptureQueriesContext(connection) as queries:
            making.make()
        counts.append(len(queries))
    assert counts[0] == counts[1], queries.captured_queries


def test_the_key_is_made_for_our_eyes_only_and_its_public_half_is_shown(
    requester: Actor, place: Path, data_directory: Path
) -> None:
    write(requester)
    out = io.StringIO()
    call_command("audit", "checkpoint", stdout=out)
    key = data_directory / "checkpoint.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((place / files.name(1)).stat().st_mode) == 0o444
    [public] = place.glob("public-key-*")
    assert public.read_text().strip() == keys.own_public()
    assert keys.own_public() in out.getvalue()
    assert key.read_text().strip() not in out.getvalue()


def test_a_key_that_is_gone_is_not_quietly_replaced(requester: Actor, data_directory: Path, settings: Any) -> None:
    made(requester)
    old = keys.own_public()
    (data_directory / "checkpoint.key").unlink()
    write(requester, uuid.uuid4())
    with pytest.raises(keys.KeyIsGone, match=old):
        making.make()
    settings.VOUCH_CHECKPOINT_KEY = base64.b64encode(b"7" * 32).decode()
    assert making.make()
    assert f"checkpoint 1: it is signed by the key {old}" in verdict()
    assert "whole" in verdict("--public-key", old, "--public-key", keys.own_public())


@pytest.mark.parametrize("form", ["hex", "base64", "file"])
def test_a_key_comes_in_three_forms(form: str, settings: Any, tmp_path: Path) -> None:
    seed = bytes(range(32))
    (tmp_path / "seed").write_text(seed.hex() + "\n")
    forms = {"hex": seed.hex(), "base64": base64.b64encode(seed).decode(), "file": str(tmp_path / "seed")}
    settings.VOUCH_CHECKPOINT_KEY = forms[form]
    # RFC 8032 fixes how a seed becomes a key, so this is a constant.
    assert keys.own_public() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"


@pytest.mark.parametrize("value", ["secret", "00" * 31, "/nowhere"])
def test_what_is_no_key_is_refused(value: str, settings: Any) -> None:
    settings.VOUCH_CHECKPOINT_KEY = value
    with pytest.raises(keys.BadKey, match="VOUCH_CHECKPOINT_KEY") as refused:
        keys.own(known="")
    assert value not in refused.value.message


@pytest.mark.parametrize("value", ["checkpoints", "file://host/x", "s3:///x", "https://x/y"])
def test_what_is_no_place_is_refused(value: str) -> None:
    with pytest.raises(places.BadPlace):
        places.at(value)


def flip(path: Path) -> None:
    """Change one hash."""
    content = path.read_text().splitlines(keepends=True)
    content[1] = content[1].replace('"hash":"', '"hash":"0')[:-3] + "}\n"
    path.chmod(0o600)
    path.write_text("".join(content))


def forge(path: Path) -> None:
    """Signed anew with a key of somebody else's."""
    told = [Point(point["chain"], point["sequence"], "0" * 64) for point in lines(path)[1:-1]]
    head = lines(path)[0]
    path.chmod(0o600)
    with path.open("wb") as file:
        at = AuditCheckpoint.objects.get(number=head["number"]).at
        other = keys.SigningKey.from_private_bytes(b"6" * 32)
        files.write(file, other, told, number=head["number"], previous=head["previous"], at=at)


def forge_in_our_name(path: Path) -> None:
    """Our public key and the right digest, but signed by somebody else."""
    head, *told, closing = lines(path)
    other = keys.SigningKey.from_private_bytes(b"6" * 32)
    signed = b"".join(canonical_json(line) + b"\n" for line in [head, {**told[0], "hash": "0" * 64}, *told[1:]])
    digest = hashlib.sha256(signed).hexdigest()
    closing |= {"digest": digest, "signature": other.sign(f"{files.FORMAT} {digest}".encode()).hex()}
    path.chmod(0o600)
    path.write_bytes(signed + canonical_json(closing) + b"\n")


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-20])


def nest(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"[" * 4000 + b"\n" + b"]" * 4000 + b"\n")


def swap_with_the_first(path: Path) -> None:
    first = path.with_name(files.name(1))
    path.unlink()
    path.write_bytes(first.read_bytes())


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (Path.unlink, "it is missing; the database knows of it"),
        (flip, "its content is not what was signed"),
        (forge, "which is not among those you trust"),
        (forge_in_our_name, "its signature is not valid"),
        (cut, "it is not a checkpoint, or it was cut off"),
        (nest, "it is not a checkpoint"),
        (swap_with_the_first, "it is checkpoint 1"),
    ],
)
def test_a_checkpoint_that_is_gone_or_another_is_found(
    damage: Callable[[Path], None], told: str, number: int, requester: Actor, place: Path
) -> None:
    for _ in range(3):
        made(requester)
    damage(place / files.name(number))
    assert f"checkpoint {number}: " in verdict()
    assert told in verdict()
    assert "1 checkpoints are bad" in verdict()


def test_the_files_bear_witness_against_a_database_that_forgot_them(requester: Actor, place: Path) -> None:
    """As after the restore of an old backup: what the files know and the database does not is found."""
    made(requester)
    with transaction.atomic():
        made(requester)
        transaction.set_rollback(True)
    assert "the whole chain is gone; checkpoint 2 names 1 entries of it" in verdict()


def test_one_replaced_with_our_own_key_is_not_the_one_that_the_database_knows(requester: Actor, place: Path) -> None:
    made(requester)
    checkpoint = made(requester)
    path = place / files.name(2)
    path.unlink()
    with path.open("wb") as file:
        files.write(file, keys.own(known=""), [], number=2, previous=checkpoint.previous, at=checkpoint.at)
    assert "checkpoint 2: it is another one than the database knows of" in verdict()


def test_what_was_written_before_a_crash_is_taken_up(requester: Actor, place: Path) -> None:
    """The file was there, the database did not know yet."""
    made(requester)
    second = made(requester)
    AuditCheckpoint.objects.filter(number=2).delete()
    AuditWitness.objects.all().delete()
    write(requester, uuid.uuid4())
    third = making.make()
    assert third
    assert (third.number, third.previous) == (3, second.digest)
    assert AuditCheckpoint.objects.get(number=2).digest == second.digest
    assert "whole" in verdict()


def test_a_strangers_file_in_the_next_place_stops_us(requester: Actor, place: Path) -> None:
    made(requester)
    (place / files.name(2)).write_bytes((place / files.name(1)).read_bytes())
    write(requester, uuid.uuid4())
    with pytest.raises(making.NotOurs, match="it is checkpoint 1"):
        making.make()


def test_of_two_makers_at_once_one_gives_way(requester: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    made(requester)
    write(requester, uuid.uuid4())
    before = making._moved

    def overtaken() -> Iterator[Point]:
        """Another process makes the whole checkpoint while we read."""
        monkeypatch.setattr(making, "_moved", before)
        mine = list(before())
        making.make()
        return iter(mine)

    monkeypatch.setattr(making, "_moved", overtaken)
    with pytest.raises(making.MadeMeanwhile):
        making.make()
    assert "whole" in verdict()


def test_a_place_never_overwrites(tmp_path: Path) -> None:
    place = places.Directory(tmp_path / "new")
    place.write("a", io.BytesIO(b"1"))
    with pytest.raises(places.AlreadyThere):
        place.write("a", io.BytesIO(b"2"))
    assert (tmp_path / "new" / "a").read_bytes() == b"1"
    assert place.names("") == ["a"]


def test_a_place_that_cannot_be_reached_is_told(tmp_path: Path, settings: Any, requester: Actor) -> None:
    (tmp_path / "file").write_text("")
    settings.VOUCH_CHECKPOINTS = f"file://{tmp_path}/file"
    with pytest.raises(CommandError, match="cannot be reached: Not a directory"):
        call_command("audit", "checkpoint")


def test_without_a_checkpoint_verifying_says_what_is_not_proven(requester: Actor) -> None:
    assert "whole" in verdict()
    assert "There is no checkpoint" in verdict()


def test_an_auditor_without_the_key_is_told_whose_word_he_takes(
    requester: Actor, place: Path, data_directory: Path
) -> None:
    made(requester)
    public = keys.own_public()
    (data_directory / "checkpoint.key").unlink()
    told = verdict("--checkpoints", f"file://{place}")
    assert "whole" in told
    assert "taken from beside the checkpoints" in told
    assert "taken from" not in verdict("--checkpoints", f"file://{place}", "--public-key", public)


# --- In a bucket ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The objects of a bucket that checkpoints go to."""
    with fake_s3.serving() as (address, kept):
        for name, value in {**fake_s3.CREDENTIALS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        settings.VOUCH_CHECKPOINTS = "s3://witness/vouch/log"
        yield kept.objects


def test_checkpoints_go_to_a_bucket_and_are_verified_there(requester: Actor, bucket: dict[str, bytes]) -> None:
    for _ in range(5):
        made(requester)
    names = [f"witness/vouch/log/{files.name(number)}" for number in range(1, 6)]
    assert sorted(key for key in bucket if "checkpoint-" in key) == names
    assert "as 5 checkpoints say" in verdict()
    del bucket[names[3]]
    assert "checkpoint 4: it is missing" in verdict()


def test_a_bucket_never_overwrites(bucket: dict[str, bytes]) -> None:
    place = places.at()
    assert place.open("a") is None
    place.write("a", io.BytesIO(b"1"))
    with pytest.raises(places.AlreadyThere):
        place.write("a", io.BytesIO(b"2"))
    assert bucket["witness/vouch/log/a"] == b"1"


def test_a_bucket_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, bucket: dict[str, bytes]) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(places.PlaceFails, match=r"s3://witness/vouch/log/ cannot be reached"):
        places.at().names("")
