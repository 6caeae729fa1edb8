"""`manage.py webhooks`: what waits to be sent (status), and sealing all secrets with a new key (reseal)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, Min
from django.utils import timezone

from registry.models import Delivery
from registry.models.webhooks import DeliveryState
from registry.services.resealing import reseal


class Command(BaseCommand):
    help = "Tell what waits to be sent (status); seal all secrets with the first of VOUCH_ENCRYPTION_KEYS (reseal)."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        status = acts.add_parser("status", help="what is owed to each webhook; status 1 when something is long overdue")
        status.add_argument("--at-most", type=float, default=60, metavar="SECONDS", help="default: %(default)g")
        acts.add_parser("reseal", help="seal every secret anew; status 1 when the key of one is missing")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        if act == "status":
            self._status(options["at_most"])
        else:
            self._reseal()

    def _status(self, at_most: float) -> None:
        """A line for each webhook that is owed something, the longest wait first; a receiver at rest is not overdue."""
        now = timezone.now()
        pending = Delivery.objects.filter(state=DeliveryState.PENDING, webhook__retired_at__isnull=True)
        waiting = pending.values("webhook", "webhook__rests_until").annotate(count=Count("pk"), oldest=Min("due_at"))
        self.stdout.write(f"{'webhook':36}  {'pending':>9}  {'due for':>10}")
        overdue = []
        for row in waiting.order_by("oldest"):
            age, rests = (now - row["oldest"]).total_seconds(), row["webhook__rests_until"]
            resting = rests is not None and rests > now
            self.stdout.write(
                f"{row['webhook']}  {row['count']:9,}  {max(age, 0):8,.1f} s{'  rests' if resting else ''}"
            )
            if age > at_most and not resting:
                overdue.append(str(row["webhook"]))
        if overdue:
            raise CommandError(f"due for more than {at_most:g} s: {', '.join(overdue)}. Does the sender run?")

    def _reseal(self) -> None:
        done = reseal()
        self.stdout.write(f"{done.count} sealed anew")
        if done.unopened:
            ids = ", ".join(str(pk) for pk in done.unopened)
            raise CommandError(
                f"{len(done.unopened)} cannot be opened: {ids}. Put the key that they were sealed with back into "
                "VOUCH_ENCRYPTION_KEYS, or give those webhooks new secrets and those people's chats anew."
            )
