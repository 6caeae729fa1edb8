"""The log against somebody who owns the database: each kind of tampering is found, and the first bad entry named.

Found by `audit verify`, and by the verifier that knows nothing of Vouch, from an export of the tampered log.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from psycopg.types.json import Jsonb

from accounts import audit, verification
from accounts.actor import Actor
from accounts.checkpoints import keys, making
from accounts.models import AuditChain, AuditEntry, AuditWitness
from accounts.verbs import Verb
from core.canonical import digest
from tests.live import ROOT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("VOUCH_TESTS_SUPERUSER" not in os.environ, reason="needs the bundled PostgreSQL's superuser"),
]
VERIFIER = ROOT / "docs" / "verify" / "verify_audit.py"
LENGTH = 6


@dataclass
class Log:
    """A chain of six entries about one model, a checkpoint after each."""

    subject: uuid.UUID
    actor: Actor

    def add(self) -> None:
        with transaction.atomic():
            audit.record(self.actor, Verb.MODEL_TAGGED, subject="model churn", data={"k": "é"}, chain_of=self.subject)
        making.make()

    @property
    def chain(self) -> AuditChain:
        return AuditChain.objects.get(subject_id=self.subject)


@pytest.fixture
def log(requester: Actor) -> Log:
    log = Log(uuid.uuid4(), requester)
    for _ in range(LENGTH):
        log.add()
    return log


@pytest.fixture
def superuser() -> Iterator[psycopg.Cursor]:
    """The superuser of the server, with the triggers put out of action."""
    here = urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(
        host=here.hostname,
        port=here.port,
        user="postgres",
        password=os.environ["VOUCH_TESTS_SUPERUSER"],
        dbname=connection.settings_dict["NAME"],
        autocommit=True,
    ) as mine:
        cursor = mine.execute("SET session_replication_role = replica")
        yield cursor


Attack = Callable[[psycopg.Cursor, AuditChain], object]


def rehash(cursor: psycopg.Cursor, chain: AuditChain, first: int) -> None:
    """Make the chain from `first` on look whole, and its head too, as somebody does who has read our source."""
    previous = chain.entries.filter(sequence=first - 1).values_list("hash", flat=True).first() or audit.FIRST_PREVIOUS
    last = first - 1
    for entry in chain.entries.select_related("chain").filter(sequence__gte=first).order_by("sequence"):
        entry.previous_hash = previous
        previous, last = digest(audit.content(entry)), entry.sequence
        change = "UPDATE accounts_auditentry SET previous_hash = %s, hash = %s WHERE id = %s"
        cursor.execute(change, [entry.previous_hash, previous, entry.pk])
    head = "UPDATE accounts_auditchain SET last_sequence = %s, last_hash = %s WHERE id = %s"
    cursor.execute(head, [last, previous, chain.pk])


def renumber(cursor: psycopg.Cursor, chain: AuditChain, *, beyond: int, by: int) -> None:
    """Move the entries beyond a sequence by so many places; by way of far ones, since each place is unique."""
    move = "UPDATE accounts_auditentry SET sequence = sequence + %s WHERE chain_id = %s AND sequence > %s"
    cursor.execute(move, [1000, chain.pk, beyond])
    cursor.execute(move, [by - 1000, chain.pk, 1000])


def change_a_field(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    cursor.execute("UPDATE accounts_auditentry SET actor_name = 'eve' WHERE chain_id = %s AND sequence = 3", [chain.pk])


def delete_one(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    cursor.execute("DELETE FROM accounts_auditentry WHERE chain_id = %s AND sequence = 3", [chain.pk])


def insert_one(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    """Between 3 and 4, with a hash of its own that is right."""
    third, fourth = chain.entries.select_related("chain").filter(sequence__in=(3, 4)).order_by("sequence")
    renumber(cursor, chain, beyond=3, by=1)
    fourth.previous_hash, fourth.actor_name = third.hash, "eve"
    cursor.execute(
        "INSERT INTO accounts_auditentry (chain_id, sequence, previous_hash, hash, at, workspace_id, verb, "
        "actor_user_id, actor_name, token_id, address, request_id, subject, data) "
        "SELECT chain_id, 4, %s, %s, at, workspace_id, verb, actor_user_id, 'eve', token_id, address, request_id, "
        "subject, data FROM accounts_auditentry WHERE id = %s",
        [third.hash, digest(audit.content(fourth)), fourth.pk],
    )
    cursor.execute("UPDATE accounts_auditchain SET last_sequence = 7 WHERE id = %s", [chain.pk])


def reorder(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    for before, after in ((2, 99), (3, 2), (99, 3)):
        change = "UPDATE accounts_auditentry SET sequence = %s WHERE chain_id = %s AND sequence = %s"
        cursor.execute(change, [after, chain.pk, before])


def swap_contents(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    """What 2 and 5 tell changes places; sequences and hashes stay."""
    one, other = chain.entries.filter(sequence__in=(2, 5)).order_by("sequence")
    for entry, content in ((one, other), (other, one)):
        change = "UPDATE accounts_auditentry SET at = %s, request_id = %s, data = %s WHERE id = %s"
        cursor.execute(change, [content.at, content.request_id, Jsonb(content.data), entry.pk])


def truncate_the_tail(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    cursor.execute("DELETE FROM accounts_auditentry WHERE chain_id = %s AND sequence > 4", [chain.pk])
    rehash(cursor, chain, 4)


def truncate_and_mend_the_head(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    cursor.execute("DELETE FROM accounts_auditentry WHERE chain_id = %s AND sequence <= 2", [chain.pk])
    renumber(cursor, chain, beyond=2, by=-2)
    rehash(cursor, chain, 1)


def rewrite_all_after(cursor: psycopg.Cursor, chain: AuditChain) -> None:
    cursor.execute("UPDATE accounts_auditentry SET actor_name = 'eve' WHERE chain_id = %s AND sequence = 4", [chain.pk])
    rehash(cursor, chain, 4)


def by_the_chain_alone(log: Log) -> int | None:
    [flaw] = [flaw for chain, flaw in verification.verify() if chain == log.chain]
    return flaw.sequence if flaw else None


def by_the_verifier(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    export = tmp_path / "audit.jsonl"
    call_command("audit", "export", out=str(export))
    places = ["--checkpoints", str(tmp_path / "checkpoints"), "--public-key", keys.own_public()]
    return subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(export), *places, *more], capture_output=True, text=True, timeout=60
    )


def test_a_log_that_nobody_touched_is_whole(log: Log, tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("audit", "verify", stdout=out)
    assert "whole: 2 chains" in out.getvalue()
    assert f"as {LENGTH} checkpoints say" in out.getvalue()
    told = by_the_verifier(tmp_path)
    assert (told.returncode, "nothing wrong" in told.stdout) == (0, True), told


@pytest.mark.parametrize(
    ("attack", "bad", "bad_by_the_chain_alone"),
    [
        (change_a_field, 3, 3),
        (delete_one, 3, 3),
        (insert_one, 4, 5),
        (reorder, 2, 2),
        (swap_contents, 2, 2),
        (truncate_the_tail, 5, None),
        (truncate_and_mend_the_head, 1, None),
        (rewrite_all_after, 4, None),
    ],
)
def test_tampering_as_superuser_is_found_at_the_first_bad_entry(
    attack: Attack, bad: int, bad_by_the_chain_alone: int | None, log: Log, superuser: psycopg.Cursor, tmp_path: Path
) -> None:
    attack(superuser, log.chain)
    assert by_the_chain_alone(log) == bad_by_the_chain_alone
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"1 of 2 chains are damaged"):
        call_command("audit", "verify", stdout=out)
    named = f"chain model {log.subject}, entry {bad}"
    there = AuditEntry.objects.filter(chain=log.chain, sequence=bad).exists()
    assert (f"{named} (model.tagged, model churn): " if there else f"{named}: ") in out.getvalue()
    told = by_the_verifier(tmp_path)
    assert told.returncode == 1, told
    assert f"chain {log.subject}, entry " in told.stdout
    if attack is not delete_one:  # in an export the next one is what is at fault
        assert f"chain {log.subject}, entry {bad}" in told.stdout


def test_a_chain_that_is_gone_with_its_head_is_missed(log: Log, superuser: psycopg.Cursor, tmp_path: Path) -> None:
    chain = log.chain
    superuser.execute("DELETE FROM accounts_auditentry WHERE chain_id = %s", [chain.pk])
    superuser.execute("DELETE FROM accounts_auditwitness WHERE chain_id = %s", [chain.pk])
    superuser.execute("DELETE FROM accounts_auditchain WHERE id = %s", [chain.pk])
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 of 2 chains"):
        call_command("audit", "verify", stdout=out)
    assert f"chain model {log.subject}, entry 1: the whole chain is gone" in out.getvalue()
    told = by_the_verifier(tmp_path)
    assert (told.returncode, f"chain {log.subject}, entry 1: it is missing" in told.stdout) == (1, True), told


def test_a_later_checkpoint_does_not_cover_an_earlier_rewriting(log: Log, superuser: psycopg.Cursor) -> None:
    rewrite_all_after(superuser, log.chain)
    log.add()
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("audit", "verify", stdout=out)
    assert f"chain model {log.subject}, entry 4 (model.tagged" in out.getvalue()


def test_a_chain_kept_out_of_the_checkpoints_is_found(log: Log, superuser: psycopg.Cursor) -> None:
    """Whoever may write to the database could say that the last entry is in a checkpoint already."""
    with transaction.atomic():
        entry = audit.record(log.actor, Verb.MODEL_TAGGED, subject="model churn", data={}, chain_of=log.subject)
    AuditWitness.objects.filter(chain=log.chain).update(sequence=entry.sequence, hash=entry.hash)
    call_command("audit", "verify", stdout=io.StringIO())
    with time_machine.travel(entry.at.timestamp() + 2 * 3600):
        log_of_another = Log(uuid.uuid4(), log.actor)
        log_of_another.add()
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("audit", "verify", stdout=out)
    assert f"chain model {log.subject}, entry {LENGTH + 1} (model.tagged" in out.getvalue()
    assert "none of the checkpoints made since names it" in out.getvalue()


def test_the_service_itself_cannot_put_the_triggers_out_of_action_for_a_session(log: Log) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")


def test_the_verifier_says_what_it_could_not_check(log: Log, tmp_path: Path) -> None:
    export = tmp_path / "audit.jsonl"
    call_command("audit", "export", out=str(export))
    command = [sys.executable, "-I", str(VERIFIER), str(export)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (told.returncode, "NOT CHECKED  the checkpoints" in told.stdout) == (3, True), told
    # Without site-packages there is no `cryptography`.
    places = ["--checkpoints", str(tmp_path / "checkpoints"), "--public-key", keys.own_public()]
    command = [sys.executable, "-I", "-S", str(VERIFIER), str(export), *places]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (told.returncode, "NOT CHECKED  the signatures" in told.stdout) == (3, True), told


def test_the_verifier_takes_a_part_for_a_part(log: Log, tmp_path: Path) -> None:
    export = tmp_path / "audit.jsonl"
    call_command("audit", "export", out=str(export))
    lines = export.read_text().splitlines(keepends=True)
    places = ["--checkpoints", str(tmp_path / "checkpoints"), "--public-key", keys.own_public()]
    export.write_text("".join(line for line in lines if str(log.subject) in line and '"sequence":1,' not in line))
    command = [sys.executable, "-I", str(VERIFIER), str(export), *places]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1
    assert subprocess.run([*command, "--part"], capture_output=True, timeout=60).returncode == 0
    export.write_text(export.read_text().replace("é", "e"))
    assert subprocess.run([*command, "--part"], capture_output=True, timeout=60).returncode == 1
