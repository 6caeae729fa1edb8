"""The pages of policies: what is written, and how it came to be."""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from accounts.roles import Action
from core.paging import paginate
from registry import policy_file, queries
from registry.services.policies import as_entry
from web.ui import snippets
from web.ui.desk import PageRequest, show, signed_in

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
    context = {"page": page, "snippets": snippets.first_policy(), "may_write": actor.may(Action.EDIT_POLICY)}
    return show(request, "registry/policies.html", context)


@require_safe
@signed_in
def policy(request: PageRequest, actor: Actor, policy_id: uuid.UUID) -> HttpResponse:
    """One policy with its revisions, the newest first."""
    found = queries.find_policy(actor, policy_id)
    page = paginate(
        queries.policy_revisions(found),
        order=("-number",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["policy", str(found.pk)],
    )
    as_file = snippets.Snippet("As it stands in a file", policy_file.written([as_entry(found)]).rstrip())
    return show(request, "registry/policy.html", {"policy": found, "page": page, "snippets": [as_file]})
