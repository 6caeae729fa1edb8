"""Experiments are found by a part of their name off an index, as models are (registry 0015)."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("lineage", "0005_logged_models_are_not_folded"),
    ]

    operations = [
        TrigramExtension(),
        migrations.AddIndex(
            model_name="experiment",
            index=GinIndex(fields=["name"], name="experiment_by_part_of_name", opclasses=["gin_trgm_ops"]),
        ),
    ]
