"""What the new tables hold of the time before them: since when each alias points where, and what was decided on."""

from django.db import migrations

# The alias that is there now, since its last audit entry; where none is found, since its version was registered.
POINTINGS = """
INSERT INTO registry_pointing (model_id, alias, version_id, started_at)
SELECT a.model_id, a.name, a.version_id,
       coalesce((SELECT max(e.at) FROM accounts_auditentry e JOIN accounts_auditchain c ON c.id = e.chain_id
                  WHERE c.subject_id = a.model_id AND e.verb = 'alias.set' AND e.data->>'alias' = a.name),
                v.created_at)
  FROM registry_alias a JOIN registry_version v ON v.id = a.version_id
"""
# The whole evidence was not kept then, but what a rollback compares is in the entry of the decision.
DECIDED_ON = """
UPDATE registry_promotion p
   SET decided_on = jsonb_build_object('source', v.source, 'manifest', e.data->'manifest')
  FROM registry_version v, accounts_auditentry e
 WHERE v.id = p.version_id AND e.hash = p.entry_hash AND p.state = 'promoted'
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_promotions_reviewed"), ("accounts", "0003_audit_is_append_only")]
    operations = [
        migrations.RunSQL(POINTINGS, migrations.RunSQL.noop),
        migrations.RunSQL(DECIDED_ON, migrations.RunSQL.noop),
    ]
