"""For the tests of notifications: people with addresses, and following the log."""

from __future__ import annotations

from accounts.actor import Actor
from accounts.models import User
from registry.models import Notification
from registry.services import notices

MAIL_SERVER = "smtp://mail.example.org"


def reachable(*actors: Actor) -> None:
    """Give each an address of mail."""
    for actor in actors:
        User.objects.filter(pk=actor.user_id).update(email=f"{actor.username}@example.org")


def told() -> list[tuple[str, str, str]]:
    """Note what has happened; (user, verb, reason) of every mail that is owed, in the order of events."""
    notices.note()
    rows = Notification.objects.filter(channel="mail").order_by("entry", "user__username")
    return list(rows.values_list("user__username", "entry__verb", "reason"))
