"""Sending the messages that people are owed: at least once, each marked by itself, however slow the mail server is."""

from __future__ import annotations

import datetime
import smtplib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache

import structlog
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import F
from django.utils import timezone

from core import sealing
from core.http import Letter, Sender, Sent
from core.sealing import CannotOpen
from registry import messages
from registry.delivery import chat_egress
from registry.models import Channel, NotificationState
from registry.services.notices_due import PAUSES, Parcel, claim

log = structlog.get_logger()

_BATCH_SECONDS = 60.0  # after which what was taken and not begun is given back; well below the lease


@dataclass(frozen=True)
class Outcome:
    """What came of sending a parcel; no error: it went out. `final`: no further attempt could do better."""

    error: str = ""
    final: bool = False
    retry_after: float | None = None


class MailServerAway(Exception):
    """The mail server cannot be reached, or takes no mail of ours now."""


def send(*, seconds: float = 20.0) -> int:
    """Send what is due, for about so long; returns how many messages went out. One call at a time in a process."""
    if not _at_it.acquire(blocking=False):
        return 0  # a slow mail server must not hold all threads of the process that sends webhooks as well
    until, sent = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < until:
            parcels = claim(timezone.now())
            if parcels is None:
                break
            done, goes_on = _deliver(parcels)
            sent += done
            if not goes_on:
                break
    finally:
        _at_it.release()
    return sent


_at_it = threading.Lock()


# --- Sending ----------------------------------------------------------------------------------------------------------


def _deliver(parcels: Sequence[Parcel]) -> tuple[int, bool]:
    """Send them; returns how many went out, and whether to take more: not when the mail server is away."""
    until, sent, away = time.monotonic() + _BATCH_SECONDS, 0, ""
    posted = [(parcel, _post(parcel)) for parcel in parcels if parcel.channel == Channel.SLACK]
    mailer: BaseEmailBackend = get_connection()
    try:
        for parcel in parcels:
            if parcel.channel != Channel.MAIL:
                continue
            if away:
                record(parcel, Outcome(away))
            elif time.monotonic() >= until:
                _give_back(parcel)
            else:
                try:
                    sent += record(parcel, _mailed(mailer, parcel))
                except MailServerAway as error:
                    away = str(error)
                    log.warning("mail.server_away", error=away)
                    record(parcel, Outcome(away))
    finally:
        _close(mailer)
    sent += sum(record(parcel, _answered(future)) for parcel, future in posted)
    return sent, not away


def _mailed(mailer: BaseEmailBackend, parcel: Parcel) -> Outcome:
    """Mail a parcel; MailServerAway when others would fare no better."""
    try:
        mailer.open()
    except OSError as error:  # also every refusal of the server
        raise MailServerAway(_words(error)) from error
    try:
        mailer.send_messages([_as_mail(parcel)])
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        return Outcome(f"the mail server refused the recipient: {_words(error)}", final=code >= 500)
    except smtplib.SMTPDataError as error:
        return Outcome(f"the mail server refused the message: {_words(error)}", final=error.smtp_code >= 500)
    except OSError as error:
        _close(mailer)
        return Outcome(_words(error))
    except ValueError as error:  # a header that cannot be: the address of the user
        return Outcome(f"the address cannot be mailed to: {error}", final=True)
    return Outcome()


def _as_mail(parcel: Parcel) -> EmailMessage:
    return messages.digest_mail(parcel.rows, parcel.count) if parcel.digest else messages.mail(parcel.rows[0])


def _close(mailer: BaseEmailBackend) -> None:
    try:
        mailer.close()
    except OSError:
        log.info("mail.not_closed")


def _words(error: OSError) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    return f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1)
def _sender() -> Sender:
    return Sender(chat_egress())


def _post(parcel: Parcel) -> Future[Sent] | Outcome:
    try:
        url = sealing.opened(parcel.slack_url)
    except CannotOpen as error:
        return Outcome(str(error), final=True)
    body = messages.digest_chat(parcel.rows, parcel.count) if parcel.digest else messages.chat(parcel.rows[0])
    headers = {"user-agent": "Vouch", "content-type": "application/json"}
    return _sender().send(Letter(url, headers, body))


def _answered(future: Future[Sent] | Outcome) -> Outcome:
    if isinstance(future, Outcome):
        return future
    sent = future.result()
    if sent.status is not None and 200 <= sent.status < 300:
        return Outcome()
    later = sent.status is None or sent.status >= 500 or sent.status in (408, 429)
    # No more than that: what a connection fails by would tell anybody what there is in networks that he cannot reach.
    error = f"it answered {sent.status}" if sent.status else "the chat could not be reached"
    return Outcome(error, final=not later, retry_after=sent.retry_after)


# --- What came of it --------------------------------------------------------------------------------------------------


def record(parcel: Parcel, outcome: Outcome) -> bool:
    """Mark what was sent, when it is tried again, or that it is given up; returns whether it went out.

    It changes nothing of what somebody else has taken since.
    """
    now = timezone.now()
    if not outcome.error:
        state = NotificationState.FOLDED if parcel.digest else NotificationState.SENT
        parcel.taken().update(state=state, finished_at=now, error="")
        return True
    attempts, error = parcel.rows[0].attempts, outcome.error.replace("\0", "")[:500]
    if outcome.final or attempts > len(PAUSES):
        parcel.taken().update(state=NotificationState.FAILED, finished_at=now, error=error)
    else:
        pause = max(PAUSES[attempts - 1], min(outcome.retry_after or 0, PAUSES[-1]))
        parcel.taken().update(due_at=now + datetime.timedelta(seconds=pause), error=error)
    return False


def _give_back(parcel: Parcel) -> None:
    """What was taken and not begun is due again at once."""
    parcel.taken().update(due_at=timezone.now(), attempts=F("attempts") - 1)
