"""Whoever writes entries says so before they get their ids, and the database tells how far all of them are there.

A lock that shuts nobody out, held to the end of the transaction, whose number says above which id the entries of the
transaction will be. It goes when the transaction ends, however it does: commit, rollback or a lost connection.
"""

from django.db import migrations, models

_TAG = 0x5641  # the upper 16 bits of our advisory locks
_NAME = "accounts_auditentry_id_seq"

ANNOUNCE = f"""
CREATE FUNCTION accounts_audit_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once in a transaction; after a rollback to a savepoint both the lock and the setting are as they were before it.
    IF current_setting('vouch.announced', true) IS DISTINCT FROM 'yes' THEN
        PERFORM pg_advisory_xact_lock_shared(({_TAG}::bigint << 48) + coalesce(
            pg_sequence_last_value((quote_ident(TG_TABLE_SCHEMA) || '.{_NAME}')::regclass), 0));
        PERFORM set_config('vouch.announced', 'yes', true);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_announce BEFORE INSERT ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_audit_announce();

CREATE FUNCTION accounts_audit_horizon() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    -- First this, then the locks: whoever has none when they are looked at gets higher ids.
    given bigint := coalesce(pg_sequence_last_value('{_NAME}'), 0);
BEGIN
    RETURN least(given, (
        SELECT min(((classid::bigint << 32) | objid::bigint) - ({_TAG}::bigint << 48))
          FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = {_TAG}
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND pid IS DISTINCT FROM pg_backend_pid()));
END $$;
"""  # noqa: S608 - a number and a name of our own
FORGET = """
DROP FUNCTION accounts_audit_horizon();
DROP TRIGGER audit_announce ON accounts_auditentry;
DROP FUNCTION accounts_audit_announce();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_checkpoints_and_audit_indexes")]
    operations = [
        migrations.AddIndex("auditentry", models.Index(fields=["workspace", "id"], name="audit_in_order")),
        migrations.RunSQL(ANNOUNCE, FORGET),
    ]
