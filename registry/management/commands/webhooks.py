"""`manage.py webhooks reseal`: after a new key was put before the others in VOUCH_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.services.resealing import reseal


class Command(BaseCommand):
    help = "Seal all secrets with the first of VOUCH_ENCRYPTION_KEYS (reseal), to drop a later one."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        acts.add_parser("reseal", help="seal every secret anew; status 1 when the key of one is missing")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        done = reseal()
        self.stdout.write(f"{done.count} sealed anew")
        if done.unopened:
            ids = ", ".join(str(pk) for pk in done.unopened)
            raise CommandError(
                f"{len(done.unopened)} cannot be opened: {ids}. Put the key that they were sealed with back into "
                "VOUCH_ENCRYPTION_KEYS, or give those webhooks new secrets and those people's chats anew."
            )
