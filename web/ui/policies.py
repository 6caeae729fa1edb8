"""The pages of policies: what is written, and how it came to be."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actor import Actor
from accounts.roles import Action
from core.errors import NotFound, Refusal
from core.paging import paginate
from registry import policy_file, queries
from registry.models import Policy, PolicyRevision
from registry.policy import Terms, differences
from registry.services import policies as service
from registry.services.policies import as_entry
from web.ui import snippets
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of

_PER_PAGE = 25


@require_safe
@signed_in
def policies(request: PageRequest, actor: Actor) -> HttpResponse:
    """The policies of the workspace, by what they protect."""
    page = paginate(
        queries.policies(actor),
        order=("target", "pattern", "id"),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["policies", actor.workspace_id],
    )
    context = {"page": page, "snippets": snippets.first_policy(), "may_write": actor.may_somewhere(Action.EDIT_POLICY)}
    return show(request, "registry/policies.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def policy(request: PageRequest, actor: Actor, policy_id: uuid.UUID) -> HttpResponse:
    """One policy with its revisions, the newest first; takes it away."""
    if request.method == "POST":
        return _retire(request, actor, policy_id)
    return _page(request, actor, policy_id)


def _retire(request: PageRequest, actor: Actor, policy_id: uuid.UUID) -> HttpResponse:
    found = queries.find_policy(actor, policy_id)
    comment, seen = request.POST.get("comment", "").strip(), request.POST.get("revision", "")
    expected = int(seen) if re.fullmatch("[0-9]{1,9}", seen) else 0
    try:
        service.retire(actor, found.scope, found.target, comment=comment, expected=expected, only=found.pk)
    except NotFound:
        raise
    except Refusal as refusal:
        return _page(request, actor, policy_id, refusal=refusal)
    messages.success(request, "The policy was taken away. What is less specific is in force instead.")
    return redirect("policy", policy_id)


def _page(request: PageRequest, actor: Actor, policy_id: uuid.UUID, *, refusal: Refusal | None = None) -> HttpResponse:
    found = queries.find_policy(actor, policy_id)
    page = paginate(
        queries.policy_revisions(found),
        order=("-number",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["policy", str(found.pk)],
    )
    as_file = snippets.Snippet("As it stands in a file", policy_file.written([as_entry(found)]).rstrip())
    context = {
        "policy": found,
        "page": page,
        "revisions": _with_differences(found, page.items),
        "snippets": [as_file],
        "may_write": actor.may(Action.EDIT_POLICY, found.model_id) and not found.retired_at,
        "comment": request.POST.get("comment", ""),
        "refusal": refusal,
    }
    return show(request, "registry/policy.html", context, status=status_of(refusal) if refusal else 200)


def _with_differences(
    policy: Policy, revisions: Sequence[PolicyRevision]
) -> list[tuple[PolicyRevision, list[str], list[str]]]:
    """Each revision with what it said that the one before it did not, and the other way round. At most one query."""
    if not revisions:
        return []
    first = revisions[-1]
    before = {each.number: each.rules for each in revisions}
    if first.number > 1:
        before[first.number - 1] = policy.revisions.values_list("rules", flat=True).get(number=first.number - 1)
    rows = []
    for revision in revisions:
        then = before.get(revision.number - 1)
        more, less = (
            differences(_terms(then), _terms(revision.rules), policy.target) if then and revision.rules else ([], [])
        )
        rows.append((revision, more, less))
    return rows


def _terms(rules: Mapping[str, Any]) -> Terms:
    return Terms.of(rules, name="", why="")
