"""`manage.py artifacts verify`: are the bytes kept still those that were frozen?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lineage.services import manifests


class Command(BaseCommand):
    help = "Read all files of the manifests again and compare them with their digests."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["verify"])
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--digest", default="", help="only the manifest of this SHA-256")
        which.add_argument("--damaged", action="store_true", help="only those found damaged before")

    def handle(self, *args: Any, **options: Any) -> None:
        checked = size = bad = 0
        for manifest in manifests.every(digest=options["digest"], damaged=options["damaged"]):
            checked += 1
            size += manifest.size
            self.stderr.write(f"{checked}: manifest {manifest.digest}, {manifest.size} bytes", self.style.NOTICE)
            if damage := manifests.verify(manifest):
                bad += 1
                self.stdout.write(self.style.ERROR(f"manifest {manifest.digest}: {damage}"))
        if options["digest"] and not checked:
            raise CommandError(f"there is no manifest {options['digest']}")
        if bad:
            raise CommandError(f"{bad} of {checked} manifests are damaged: each is named above")
        self.stdout.write(self.style.SUCCESS(f"whole: {checked} manifests, {size} bytes"))
