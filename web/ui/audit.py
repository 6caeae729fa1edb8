"""The audit log: read, checked and exported by who may read all of it."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.permissions import require_anywhere
from accounts.roles import Action
from accounts.verbs import Verb
from core import times
from core.errors import Refusal
from core.paging import Page
from core.text import NAME
from lineage.queries import as_uuid
from registry import trail
from registry.formats import sentence
from registry.formats.words import plain
from registry.services import audits
from registry.services.audits import TooMuchToCheck, Verdict
from registry.trail import Asked, Row
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.snippets import Snippet

_PER_PAGE = 50
_DATA_SHOWN = 5000  # characters; the export has all of it
_HEADS_SHOWN = 100
_INSTANT, _END_OF_TIME = datetime.timedelta(microseconds=1), datetime.datetime.max.replace(tzinfo=datetime.UTC)
_MEDIA_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
_TITLES = {
    "promotions": "Promotions",
    "versions": "Versions",
    "models": "Models",
    "aliases": "Aliases",
    "checks": "Checks",
    "comments": "Comments",
    "policies": "Policies",
    "webhooks": "Webhooks",
    "accounts": "Accounts, roles and tokens",
    "log": "The log itself",
}
ACCOUNT = re.compile(r"[A-Za-z0-9_.@+-]{1,150}")
_FIELDS = ("what", "by", "model", "since", "until", "bypasses")


@dataclass(frozen=True)
class Line:
    """An entry as the page shows it: a sentence, the page of what it is about, and its data as JSON."""

    entry: AuditEntry
    said: SafeString | str
    page: str
    data: str
    cut: int  # characters that are not shown

    @property
    def is_bypass(self) -> bool:
        data = self.entry.data
        removed = self.entry.verb == Verb.ALIAS_REMOVED and isinstance(data, dict) and bool(data.get("bypass"))
        return removed or self.entry.verb == Verb.PROMOTION_BYPASSED


@require_safe
@signed_in
def audit(request: PageRequest, actor: Actor) -> HttpResponse:
    """Entries, the newest first, narrowed down as the query says."""
    require_anywhere(actor, Action.READ_AUDIT)
    return _page(request, actor, request.GET)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def verify(request: PageRequest, actor: Actor) -> HttpResponse:
    """Checks the log, of one model or of all, and says on the page what came of it."""
    if request.method != "POST":
        return redirect("audit")
    require_anywhere(actor, Action.READ_AUDIT)
    try:
        verdict = audits.check(actor, request.POST.get("model", "").strip())
    except Refusal as refusal:
        return _page(request, actor, request.POST, refusal=refusal)
    return _page(request, actor, request.POST, verdict=verdict)


@require_POST
@signed_in
def export(request: PageRequest, actor: Actor) -> HttpResponseBase:
    """The log, of one model or of all, as a file that is written while it is read; the export is recorded."""
    require_anywhere(actor, Action.READ_AUDIT)
    try:
        since, until = _days(request.POST)
        form = request.POST.get("format", "")
        pieces = audits.write_out(
            actor, form, model_name=request.POST.get("model", "").strip(), since=since, until=until
        )
    except Refusal as refusal:
        return _page(request, actor, request.POST, refusal=refusal)
    return StreamingHttpResponse(
        pieces,
        content_type=_MEDIA_TYPES[form],
        headers={
            "Content-Disposition": f'attachment; filename="audit-{actor.workspace_slug}.{form}"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "private, no-store",
        },
    )


def _page(
    request: PageRequest,
    actor: Actor,
    sent: QueryDict,
    *,
    refusal: Refusal | None = None,
    verdict: Verdict | None = None,
) -> HttpResponse:
    typed = {name: sent.get(name, "").strip() for name in _FIELDS}
    everywhere = actor.may(Action.READ_AUDIT)
    page: Page[AuditEntry] = Page([], "")
    acted = refusal is not None or verdict is not None
    if everywhere or typed["model"]:
        try:
            token = "" if acted else request.GET.get("page", "")
            page = trail.page(actor, _asked(typed, sent), size=_PER_PAGE, token=token)
        except Refusal as unreadable:
            if unreadable.at_field == "page_token":
                raise
            refusal = refusal or unreadable
    wrong = _field_of(refusal)
    if wrong in ("since", "until"):  # the message names it, and a field for a day holds nothing else
        typed[wrong] = ""
    # What was sent by a form stands in no address: links to more of the list begin from here.
    query = urlencode({name: value for name, value in typed.items() if value})
    rows = trail.rows(actor, page.items)
    context = {
        "page": page,
        "lines": [_line(actor, row) for row in rows],
        # Its entries are found by its name, but it cannot be named to have them checked or exported.
        "gone": bool(typed["model"] and rows) and all(row.model and row.model.deleted_at for row in rows),
        "typed": typed,
        "query": query,
        "acted": acted,
        "narrowed": bool(query),
        "titles": _TITLES,
        "groups": [(group, _TITLES[group], verbs) for group, verbs in trail.GROUPS.items()],
        "everywhere": everywhere,
        "readable": [] if everywhere else trail.readable_models(actor),
        "refusal": refusal,
        "wrong": wrong,
        "too_much": isinstance(refusal, TooMuchToCheck),
        "verdict": verdict,
        "heads": verdict.heads[:_HEADS_SHOWN] if verdict else (),
        "command": _command(typed["model"]) if verdict or refusal else [],
        "heads_more": max(0, len(verdict.heads) - _HEADS_SHOWN) if verdict else 0,
    }
    return show(request, "registry/audit.html", context, status=status_of(refusal) if refusal else 200)


def _asked(typed: dict[str, str], sent: QueryDict) -> Asked:
    since, until = _days(sent)
    return Asked(typed["what"], typed["by"], typed["model"], since, until, bool(typed["bypasses"]))


def _days(sent: QueryDict) -> tuple[datetime.datetime | None, datetime.datetime | None]:
    """From the first moment of one day to before the end of another, in UTC; BadDay."""
    first, last = sent.get("since", "").strip(), sent.get("until", "").strip()
    since = times.span("since", first)[0] if first else None
    until = times.span("until", last)[1] if last else None
    return since, until + _INSTANT if until and until < _END_OF_TIME else until


def _field_of(refusal: Refusal | None) -> str:
    if refusal is None or isinstance(refusal, TooMuchToCheck):
        return ""
    return refusal.at_field or ("model" if refusal.code == "model-not-found" else "")


def _command(model: str) -> list[Snippet]:
    """How an operator checks all of the log, its checkpoints too."""
    name = f' --model "{plain(model)}"' if model else ""
    return [Snippet("On the server, with the checkpoints", f"manage audit verify{name}")]


# --- One entry --------------------------------------------------------------------------------------------------------


def _line(actor: Actor, row: Row) -> Line:
    data = json.dumps(row.entry.data, indent=2, ensure_ascii=False, sort_keys=True)
    said: SafeString | str = row.entry.subject
    if row.told:
        # The words are ours; each part of them that others named is escaped.
        said = mark_safe(sentence(row.told, _isolated))  # noqa: S308
    return Line(row.entry, said, _page_of(actor, row), data[:_DATA_SHOWN], max(0, len(data) - _DATA_SHOWN))


def _isolated(value: object) -> str:
    # Without a full stop at its end: the sentence brings one.
    return format_html("<bdi>{}</bdi>", plain(value).rstrip(" ."))


def _page_of(actor: Actor, row: Row) -> str:
    """The path of the page of what an entry is about; empty when there is none, or none any more."""
    if row.told is None:
        return ""
    data, verb = row.told.data, row.told.verb
    if row.model:
        return "" if row.model.deleted_at else _page_in(row.model.name, verb, data)
    if "policy" in data and as_uuid(data["policy"]):
        return reverse("policy", args=[as_uuid(data["policy"])])
    if "webhook" in data and as_uuid(data["webhook"]):
        return reverse("webhook", args=[as_uuid(data["webhook"])])
    return _page_of_account(row.told.subject, data) if actor.may(Action.EDIT_GRANTS) else ""


def _page_in(model: str, verb: Verb, data: Any) -> str:
    if as_uuid(data.get("promotion")):
        return reverse("promotion", args=[as_uuid(data["promotion"])])
    number = data.get("version")
    if type(number) is int and 0 < number < 10**10 and verb != Verb.VERSION_DELETED:
        return reverse("version", args=[model, number])
    if "policy" in data and as_uuid(data["policy"]):
        return reverse("policy", args=[as_uuid(data["policy"])])
    return reverse("model", args=[model])


def _page_of_account(subject: str, data: Any) -> str:
    """Of the account or the team that an entry is about: grants and tokens name theirs, the others are called so."""
    kind, _, name = subject.partition(" ")
    user = data.get("user") or data.get("owner") or (name if kind == "user" else "")
    if kind == "user":
        user = name
    team = data.get("team") or (name if kind == "team" else "")
    if isinstance(user, str) and ACCOUNT.fullmatch(user):
        return reverse("member", args=[user])
    if isinstance(team, str) and NAME.fullmatch(team):
        return reverse("team", args=[team])
    return ""
