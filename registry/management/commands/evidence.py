"""`manage.py evidence MODEL VERSION`: write the evidence pack of a version, for an auditor."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Workspace
from accounts.queries import system_actor
from core.errors import Refusal
from registry import pack


class Command(BaseCommand):
    help = "Write the evidence pack of a version: one zip that tells who vouched for what, when, on which evidence."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model")
        parser.add_argument("version")
        parser.add_argument("--out", metavar="FILE", help="MODEL-vVERSION-evidence.zip here by default; - for stdout")
        parser.add_argument("--workspace", metavar="SLUG", default="default")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = Workspace.objects.filter(slug=options["workspace"]).first()
        if workspace is None:
            raise CommandError(f"there is no workspace {options['workspace']!r}")
        try:
            packed = pack.packed(system_actor(workspace), options["model"], options["version"])
        except Refusal as refusal:
            raise CommandError(refusal.message) from None
        with packed.file as made:
            if options["out"] == "-":
                shutil.copyfileobj(made, sys.stdout.buffer)
                return
            out = Path(options["out"] or packed.name)
            try:
                with out.open("wb") as file:
                    shutil.copyfileobj(made, file)
            except OSError as error:
                raise CommandError(f"{out} cannot be written: {error.strerror}") from None
        self.stdout.write(self.style.SUCCESS(f"{out}: {packed.size} bytes"))
