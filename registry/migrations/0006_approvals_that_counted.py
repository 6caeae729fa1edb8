"""Which approvals a promotion was carried out on; of those before, the ones of the evidence that was decided on."""

from django.db import migrations, models

COUNTED = """
UPDATE registry_approval a SET counted = true
  FROM registry_promotion p
 WHERE p.id = a.promotion_id AND p.state = 'promoted' AND a.evidence = p.decided_evidence
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_what_was_then")]
    operations = [
        migrations.AddField(model_name="approval", name="counted", field=models.BooleanField(default=False)),
        migrations.RunSQL(COUNTED, migrations.RunSQL.noop),
    ]
