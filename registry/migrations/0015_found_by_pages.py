"""Models are found by a part of their name, and by the stage in which they have something, off an index each.

`pg_trgm` comes with PostgreSQL and is a trusted extension: whoever may create in the database may add it.
"""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0014_searched_by_tag_and_source"),
    ]

    operations = [
        TrigramExtension(),
        migrations.AddIndex(
            model_name="model",
            index=GinIndex(fields=["name"], name="model_by_part_of_name", opclasses=["gin_trgm_ops"]),
        ),
        migrations.AddIndex(
            model_name="occupancy",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", True), ("stage__in", ["Staging", "Production"])),
                fields=["stage", "model"],
                name="occupancy_serving",
            ),
        ),
    ]
