"""Which open promotions a gate holds, and on what evidence it was judged: so that queues are read off an index."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

# Those that are open are judged by the next sweep, which writes both down.
_LOOK_AT_ALL = """
UPDATE registry_promotion SET look_again_at = now() WHERE state = 'open' AND jsonb_array_length(policy->'gates') > 0
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0015_found_by_pages")]

    operations = [
        migrations.AddField("promotion", "held_by_gates", models.BooleanField(default=False)),
        migrations.AddField(
            "promotion",
            "judged_evidence",
            models.CharField(blank=True, max_length=64, default=""),
            preserve_default=False,
        ),
        migrations.AddIndex(
            "promotion",
            models.Index(
                fields=["requested_at", "id"],
                condition=Q(state="open", held_by_gates=True),
                name="promotion_held_by_gates",
            ),
        ),
        migrations.RunSQL(_LOOK_AT_ALL, migrations.RunSQL.noop),
    ]
