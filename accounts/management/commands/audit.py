"""`manage.py audit verify`: check every chain of the audit log."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit


class Command(BaseCommand):
    help = "Check the audit log: every chain, from its first entry to its head."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["verify"])

    def handle(self, *args: Any, **options: Any) -> None:
        chains = entries = 0
        flaws = []
        for chain, flaw in audit.verify():
            chains += 1
            entries += chain.last_sequence
            if flaw:
                flaws.append(flaw)
                self.stdout.write(self.style.ERROR(f"chain {flaw.chain}, entry {flaw.sequence}: {flaw.problem}"))
        if flaws:
            raise CommandError(
                f"{len(flaws)} of {chains} chains are damaged: the first bad entry of each is named above"
            )
        self.stdout.write(self.style.SUCCESS(f"whole: {chains} chains, {entries} entries"))
