"""Writing a policy: its form, and beside it what the policy would have done, as it is typed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from accounts.actor import Actor
from accounts.permissions import require, require_anywhere
from accounts.roles import Action
from core import text
from core.errors import Refusal
from registry import queries
from registry.errors import Stale
from registry.models import Policy
from registry.policy import Terms, differences, in_words, tightened
from registry.policy_file import Entry
from registry.preview import DAYS, LIMIT, Preview, preview
from registry.services import policies as service
from registry.services.policies import as_entry
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.policy_form import Told, Typed, form_of, place_of, told


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def new(request: PageRequest, actor: Actor) -> HttpResponse:
    """The form for a new policy; writes it."""
    require_anywhere(actor, Action.EDIT_POLICY)
    return _form(request, actor, Typed.asked_for(request.GET))


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def edit(request: PageRequest, actor: Actor, policy_id: uuid.UUID) -> HttpResponse:
    """The form to change one; which models and what target it is for stays."""
    policy = queries.find_policy(actor, policy_id)
    require(actor, Action.EDIT_POLICY, policy.model)
    if policy.retired_at:
        return redirect("policy", policy_id)
    return _form(request, actor, Typed.of(as_entry(policy), revision=str(policy.revision)), policy)


def _form(request: PageRequest, actor: Actor, typed: Typed, policy: Policy | None = None) -> HttpResponse:
    """What the buttons of the form do; `typed` is what it begins with."""
    if request.method != "POST":
        return _shown(request, actor, typed, policy)
    typed, act = Typed.posted(request.POST), request.POST.get("act", "")
    if policy:
        typed = typed.at(policy)
    focus = ""
    try:
        if act == "save":
            return _saved(request, actor, typed, policy)
        if act == "as-yaml":
            typed = typed.written_out()
        elif act == "as-form":
            _in_place(typed, policy)
            typed = typed.filled_in()
        elif act == "add":
            typed, focus = typed.with_gate(request.POST.get("add", "")), f"gate-{len(typed.gates)}"
        elif act.startswith("remove-"):
            typed, focus = typed.without_gate(act.removeprefix("remove-")), "add"
    except Refusal as refusal:
        return _shown(request, actor, typed, policy, refusal)
    return _shown(request, actor, typed, policy, focus=focus)


def _in_place(typed: Typed, policy: Policy | None) -> Entry:
    return place_of(policy, typed.entry) if policy else typed.entry


def _saved(request: PageRequest, actor: Actor, typed: Typed, policy: Policy | None) -> HttpResponse:
    entry = _in_place(typed, policy)
    before = policy.revision if policy else 0
    written = service.write(
        actor, entry.scope, entry.target, entry.rules, comment=typed.comment.strip(), expected=typed.expected
    )
    if written.revision == before:
        messages.info(request, "It said this already, so nothing was changed.")
    else:
        messages.success(request, "The policy is in force. Open promotions that it is stricter with are held to it.")
    return redirect("policy", written.pk)


def _shown(
    request: PageRequest,
    actor: Actor,
    typed: Typed,
    policy: Policy | None,
    refusal: Refusal | None = None,
    *,
    focus: str = "",
) -> HttpResponse:
    there = None
    if isinstance(refusal, Stale) and not policy:  # somebody wants a new one where there is one
        there = _there(actor, typed.entry)
    elif isinstance(refusal, Stale) and policy:
        typed = replace(typed, revision=str(policy.revision))
    form = form_of(actor, typed)
    context = {
        "form": form,
        "policy": policy,
        "refusal": told(refusal, typed) if refusal and not there else None,
        "there": there,
        "would": _would(actor, form.typed, policy),
        "focus": focus,
        "days": DAYS,
        "limit": LIMIT,
    }
    return show(request, "registry/policy_form.html", context, status=status_of(refusal) if refusal else 200)


def _there(actor: Actor, entry: Entry) -> Policy | None:
    """The policy that is there already; one query."""
    here = queries.policies(actor).filter(target=entry.target, pattern=entry.scope.pattern)
    if entry.scope.model:
        return here.filter(model__name=text.searchable(entry.scope.model)).first()
    return here.filter(model__isnull=True).first()


# --- What it would do -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Would:
    """What the policy that is typed asks, what is new in it, and what it would have done."""

    problem: Told | None = None  # why nobody can say yet
    entry: Entry | None = None
    asks: tuple[str, ...] = ()
    more: tuple[str, ...] = ()  # than what is in force
    less: tuple[str, ...] = ()
    stricter: tuple[str, ...] = ()
    same: bool = False
    found: Preview | None = None


def _would(actor: Actor, typed: Typed, policy: Policy | None) -> Would:
    try:
        entry = _in_place(typed, policy)
    except Refusal as refusal:
        return Would(problem=told(refusal, typed))
    terms = Terms.of(entry.rules, name="", why="")
    more: Any = ((), ())
    stricter: list[str] = []
    if policy:
        more, stricter = differences(policy.terms, terms, entry.target), tightened(policy.terms, terms)
    return Would(
        entry=entry,
        asks=tuple(in_words(terms, entry.target)),
        more=tuple(more[0]),
        less=tuple(more[1]),
        stricter=tuple(stricter),
        same=policy is not None and policy.rules == entry.rules,
        found=preview(actor, entry.scope, entry.target, entry.rules),
    )
