"""What a message says: one event, or a digest of several, as mail in plain text or as text for Slack."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formataddr, parseaddr

from django.conf import settings
from django.core.mail import EmailMessage

from accounts.models import AuditEntry, User
from core.canonical import canonical_json
from registry.delivery import told_by
from registry.formats import sentence
from registry.formats.words import for_slack, plain
from registry.models import Notification, Reason

SHOWN = 100  # events of a digest by mail
SHOWN_IN_CHAT = 20
_SUBJECT_LIMIT = 150
PATH_OF_SETTINGS = "/notifications"


# --- Mail -------------------------------------------------------------------------------------------------------------


def mail(row: Notification) -> EmailMessage:
    """One event as mail. The row's user, and its entry with workspace and chain, are loaded.

    Raises nothing here; ValueError on sending, when the address of the user is none.
    """
    told = told_by(row.entry)
    said = sentence(told)
    body = [said, *([told.link] if told.link else []), f"{told.at:%Y-%m-%d %H:%M} UTC, workspace {told.workspace}"]
    if row.fills_the_day:
        body.append(_full(settings.VOUCH_MAILS_PER_DAY, "mail"))
    why = f"You are told because {Reason(row.reason).label}."
    mute = f" To mute {plain(told.model)}, or to be told otherwise:" if told.model else " To be told otherwise:"
    body.append(f"-- \n{why}{mute}\n{_settings_page()}")
    # Mail programs show what concerns one promotion, or else one model, as one conversation.
    about = row.entry.data.get("promotion") or row.entry.chain.subject_id
    thread = {"References": _message_id(f"about-{about}")} if about else {}
    return _mail(row.user, said.rstrip("."), "\n\n".join(body), f"notification-{row.pk.hex}", thread)


def digest_mail(rows: Sequence[Notification], count: int) -> EmailMessage:
    """Several events of one user as one mail, grouped by model; `rows` are the first of `count`, oldest first."""
    groups: dict[str, list[str]] = {}
    for row in rows[:SHOWN]:
        told = told_by(row.entry)
        lines = [f"{told.at:%Y-%m-%d %H:%M}  {sentence(told)}", f"    {told.link}"]
        groups.setdefault(told.model, []).append("\n".join(line for line in lines if line.strip()))
    body = [f"{plain(name) or 'Webhooks'}\n\n" + "\n".join(lines) for name, lines in groups.items()]
    if more := count - min(len(rows), SHOWN):
        body.append(f"And {more} more: {_settings_page()}")
    body.append(f"-- \nTimes are in UTC. To mute a model, or to be told otherwise:\n{_settings_page()}")
    others = f" and {len(groups) - 1} more" if len(groups) > 1 else ""
    about = f"{plain(next(iter(groups))) or 'webhooks'}{others}"
    subject = f"{count} event{'' if count == 1 else 's'} of {about}"
    return _mail(rows[0].user, subject, "\n\n\n".join(body), f"digest-{rows[0].pk.hex}", {})


def _mail(user: User, subject: str, body: str, name: str, headers: dict[str, str]) -> EmailMessage:
    if len(subject) > _SUBJECT_LIMIT:
        subject = subject[: _SUBJECT_LIMIT - 1].rstrip() + "…"
    return EmailMessage(
        subject=f"[Vouch] {subject}",
        body=body + "\n",
        from_email=settings.VOUCH_MAIL_FROM,
        to=[formataddr((plain(user.get_full_name()), user.email))],
        headers={
            # The same at each attempt: a message that was sent twice is shown once.
            "Message-ID": _message_id(name),
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "List-Unsubscribe": f"<{_settings_page()}>",
            **headers,
        },
    )


def _message_id(name: str) -> str:
    return f"<{name}@{parseaddr(settings.VOUCH_MAIL_FROM)[1].rpartition('@')[2] or 'vouch.invalid'}>"


# --- Slack ------------------------------------------------------------------------------------------------------------


def chat(row: Notification) -> bytes:
    """One event as the body of a post to an incoming webhook of Slack or a like; loaded as for `mail`."""
    parts = [_line(row.entry), f"({for_slack(Reason(row.reason).label)})"]
    if row.fills_the_day:
        parts.append(for_slack(_full(settings.VOUCH_MAILS_PER_DAY, "message")))
    return _posted(" ".join(parts))


def digest_chat(rows: Sequence[Notification], count: int) -> bytes:
    """Several events of one user as one post; `rows` are the first of `count`, oldest first."""
    lines = [f"{count} event{'' if count == 1 else 's'} since the last digest:"]
    lines += [f"• {_line(row.entry)}" for row in rows[:SHOWN_IN_CHAT]]
    if more := count - min(len(rows), SHOWN_IN_CHAT):
        lines.append(f"And {more} more.")
    return _posted("\n".join(lines))


def _line(entry: AuditEntry) -> str:
    told = told_by(entry)
    link = f" <{told.link.replace('&', '&amp;').replace('>', '%3E').replace('|', '%7C')}|Open in Vouch>"
    return sentence(told, for_slack) + (link if told.link else "")


def _posted(text: str) -> bytes:
    return canonical_json({"text": text})


# --- Both -------------------------------------------------------------------------------------------------------------


def _full(cap: int, what: str) -> str:
    return f"This is the last {what} of today, of {cap}: what else happens comes in one digest."


def _settings_page() -> str:
    return settings.VOUCH_URL + PATH_OF_SETTINGS
