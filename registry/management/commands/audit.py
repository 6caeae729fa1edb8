"""`manage.py audit verify|checkpoint|export`: check the audit log, witness it outside the database, write it out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from accounts import export, verification
from accounts.checkpoints import keys, making, places
from accounts.export import Format
from accounts.verification import Flaw, Witnesses
from core import text
from core.errors import Refusal, shown
from registry.models import Model

_EVERY = 2.0  # seconds between two lines of progress


class Command(BaseCommand):
    help = "Check the audit log against itself and its checkpoints, make a checkpoint, or write the log out."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        verify = actions.add_parser(
            "verify", help="check every chain and every checkpoint; status 1 if anything is bad"
        )
        verify.add_argument(
            "--checkpoints", default="", metavar="PLACE", help="file:///DIRECTORY or s3://BUCKET/PREFIX"
        )
        verify.add_argument(
            "--public-key",
            action="append",
            default=[],
            metavar="KEY",
            help="a key to trust, hex, base64 or a file; again for each key that was ever used",
        )
        verify.add_argument("--model", default="", metavar="NAME", help="only models of this name, deleted ones too")
        actions.add_parser("checkpoint", help="make the next checkpoint now")
        written = actions.add_parser("export", help="write the log out, chain by chain")
        written.add_argument("--format", choices=[str(form) for form in Format], default=str(Format.JSONL))
        written.add_argument("--model", default="", metavar="NAME", help="only models of this name, deleted ones too")
        written.add_argument(
            "--since", metavar="TIME", help="2026-01-31 or 2026-01-31T12:00:00+01:00; UTC without zone"
        )
        written.add_argument("--until", metavar="TIME", help="entries before this time")
        written.add_argument("--out", metavar="FILE", help="standard output by default")

    def handle(self, *args: Any, **options: Any) -> None:
        acts = {"verify": self._verify, "checkpoint": self._checkpoint, "export": self._export}
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")  # nobody waits for an answer here
            acts[options["action"]](options)
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal

    # --- verify ---------------------------------------------------------------------------------------------------
    def _verify(self, options: dict[str, Any]) -> None:
        tell = self._progress()
        subjects = _models_named(options["model"])
        place = places.at(options["checkpoints"])
        witnesses = verification.read_checkpoints(place, self._trusted(options, place), subjects, tell)
        chains = entries = 0
        bad = list(witnesses.gone.values())
        for chain, flaw in verification.verify(subjects, witnesses):
            chains += 1
            entries += chain.last_sequence
            if flaw:
                bad.append(flaw)
            tell(f"{chains} chains, {entries} entries")
        self._report(bad, chains, entries, witnesses)

    def _trusted(self, options: dict[str, Any], place: places.Place) -> set[str]:
        if options["public_key"]:
            return {keys.public_key(value) for value in options["public_key"]}
        if own := keys.own_public():
            return {own}
        beside = set()
        for name in place.names("public-key-"):
            if file := place.open(name):
                with file:
                    beside.add(file.read(200).decode("ascii", "replace").strip())
        if beside:
            self.stderr.write(
                "The public key is taken from beside the checkpoints, where whoever can write could have replaced it: "
                "name the one you know with --public-key."
            )
        return beside

    def _report(self, bad: list[Flaw], chains: int, entries: int, witnesses: Witnesses) -> None:
        for fault in witnesses.bad:
            self.stdout.write(self.style.ERROR(f"checkpoint {fault.number}: {fault.problem}"))
        for flaw in bad:
            what = f" ({flaw.verb}, {shown(flaw.subject)})" if flaw.verb else ""
            self.stdout.write(self.style.ERROR(f"chain {flaw.chain}, entry {flaw.sequence}{what}: {flaw.problem}"))
        told = []
        if bad:
            told.append(f"{len(bad)} of {chains + len(witnesses.gone)} chains are damaged")
        if witnesses.bad:
            told.append(f"{len(witnesses.bad)} checkpoints are bad")
        if told:
            raise CommandError(f"{' and '.join(told)}: the first bad entry of each chain is named above")
        self.stdout.write(self.style.SUCCESS(f"whole: {chains} chains, {entries} entries"))
        if witnesses.newest:
            newest = f"{witnesses.newest:%Y-%m-%d %H:%M:%S} UTC"
            self.stdout.write(
                f"as {witnesses.sound} checkpoints say, the newest of {newest}; later entries have no witness yet"
            )
        else:
            self.stdout.write(
                "There is no checkpoint: somebody who rewrote the whole of a chain would not be found. "
                "Make one with `audit checkpoint`."
            )

    def _progress(self) -> Callable[[str], None]:
        last = time.monotonic()

        def tell(progress: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                self.stderr.write(f"so far {progress}")

        return tell

    # --- checkpoint -----------------------------------------------------------------------------------------------
    def _checkpoint(self, options: dict[str, Any]) -> None:
        made = making.make()
        self.stdout.write(
            f"checkpoint {made.number}, {made.digest}" if made else "nothing has been written since the last checkpoint"
        )
        self.stdout.write(f"at {places.at()}\npublic key {keys.own_public()}")

    # --- export ---------------------------------------------------------------------------------------------------
    def _export(self, options: dict[str, Any]) -> None:
        rows = export.entries(
            subjects=_models_named(options["model"]),
            since=text.moment("--since", options["since"]) if options["since"] else None,
            until=text.moment("--until", options["until"]) if options["until"] else None,
        )
        pieces = export.written(rows, Format(options["format"]))
        if not options["out"]:
            for piece in pieces:
                self.stdout.write(piece.decode(), ending="")
            return
        path = Path(options["out"])
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            part.replace(path)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def _models_named(name: str) -> list[uuid.UUID | None] | None:
    """The subjects of the chains of all models that have this name, in whatever workspace; None for every chain."""
    if not name:
        return None
    found: list[uuid.UUID | None] = list(Model.objects.filter(name=text.searchable(name)).values_list("id", flat=True))
    if not found:
        raise CommandError(f"There is no model named {name!r}.")
    return found
