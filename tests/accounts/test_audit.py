"""The audit chain: append-only, and every tampering is found at its place."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from accounts import audit, verification
from accounts.actor import Actor
from accounts.models import AuditChain, AuditEntry
from accounts.verbs import Verb
from registry.models import Model
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain(requester: Actor) -> AuditChain:
    """Six entries about one model."""
    model = make.model(requester)
    for _ in range(5):
        make.version(requester)
    return AuditChain.objects.get(subject_id=model.pk)


@contextmanager
def as_superuser() -> Iterator[None]:
    """What somebody can do who owns the database: put the triggers out of action."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER audit_rows_stay")
        yield
        cursor.execute("ALTER TABLE accounts_auditentry ENABLE TRIGGER audit_rows_stay")


def flaw_of(chain: AuditChain) -> verification.Flaw | None:
    return dict(verification.verify())[chain]


def bad_entry(chain: AuditChain) -> int | None:
    flaw = flaw_of(chain)
    return flaw.sequence if flaw else None


def test_a_whole_chain_has_no_flaw(chain: AuditChain) -> None:
    assert flaw_of(chain) is None
    assert chain.last_sequence == 6


@pytest.mark.parametrize("number", [1e16, -1.5e300, -0.0, 1.0, 0.1, 5e-324, 1.7976931348623157e308, 10**30])
def test_a_number_comes_back_from_the_database_as_it_was_hashed(number: float, requester: Actor) -> None:
    model = make.model(requester)
    with transaction.atomic():
        audit.record(
            requester, Verb.MODEL_TAGGED, subject="x", data={"measured": [{"value": number}]}, chain_of=model.pk
        )
    assert flaw_of(AuditChain.objects.get(subject_id=model.pk)) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET verb = 'model.deleted'",
        "DELETE FROM accounts_auditentry",
    ],
)
def test_the_database_refuses_to_change_or_delete_an_entry(chain: AuditChain, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_database_refuses_to_empty_the_table(db: None) -> None:
    with connection.cursor() as cursor:  # the suite's own set-up has put this one trigger out of action
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditentry ENABLE TRIGGER audit_table_stays")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE accounts_auditentry CASCADE")


def test_a_changed_field_is_found(chain: AuditChain) -> None:
    with as_superuser():
        chain.entries.filter(sequence=3).update(actor_name="somebody else")
    assert flaw_of(chain) == verification.Flaw(
        str(chain), 3, "its content is not what was written", "version.registered", "churn v2"
    )


def test_a_deleted_entry_is_found(chain: AuditChain) -> None:
    with as_superuser():
        chain.entries.filter(sequence=4).delete()
    assert bad_entry(chain) == 4


def test_a_truncated_tail_is_found(chain: AuditChain) -> None:
    with as_superuser():
        chain.entries.filter(sequence=6).delete()
    assert bad_entry(chain) == 6


def test_swapped_entries_are_found(chain: AuditChain) -> None:
    with as_superuser():
        for before, after in ((2, 99), (3, 2), (99, 3)):
            chain.entries.filter(sequence=before).update(sequence=after)
    assert bad_entry(chain) == 2


def test_the_command_names_the_first_bad_entry(chain: AuditChain) -> None:
    out = io.StringIO()
    call_command("audit", "verify", stdout=out)
    assert "whole: 2 chains" in out.getvalue()
    with as_superuser():
        chain.entries.filter(sequence=3).update(data={"model": "other"})
    with pytest.raises(CommandError, match="1 of 2 chains"):
        call_command("audit", "verify", stdout=out)
    assert f"chain {chain}, entry 3" in out.getvalue()


def test_an_entry_and_its_write_are_one_transaction(requester: Actor) -> None:
    before = AuditEntry.objects.count()
    with transaction.atomic():
        make.model(requester)
        transaction.set_rollback(True)
    assert (Model.objects.count(), AuditEntry.objects.count()) == (0, before)


@pytest.mark.django_db(transaction=True)
def test_an_entry_outside_a_transaction_is_a_mistake_of_ours(requester: Actor) -> None:
    with pytest.raises(RuntimeError, match="in the transaction"):
        audit.record(requester, Verb.MODEL_CREATED, subject="x", data={})
