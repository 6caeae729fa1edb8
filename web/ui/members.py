"""Who belongs to the workspace: the lists, making an account, and the page of one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods

from accounts import members as reads
from accounts.actor import Actor
from accounts.models import User, UserKind
from accounts.permissions import require
from accounts.roles import Action, Role
from accounts.services import people, teams
from core.errors import Invalid, NotFound, Refusal
from core.paging import paginate
from registry.queries import find_model
from web.ui import role_words
from web.ui.desk import PageRequest, show, signed_in
from web.ui.errors import status_of
from web.ui.snippets import Snippet

_PER_PAGE = 25
_KINDS = {"people": UserKind.PERSON, "services": UserKind.SERVICE}


class UnknownRole(Invalid):
    """{value!r} is not a role: choose one of {known}."""

    field = "role"


class NobodyNamed(Invalid):
    """Nobody is named: write a user name, or that of a team."""

    field = "holder"


class NoSuchAct(NotFound):
    """One cannot {act!r} here."""


# --- The lists --------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def members(request: PageRequest, actor: Actor) -> HttpResponse:
    """People, service accounts or teams; gives a role to somebody by name, and makes a team."""
    require(actor, Action.EDIT_GRANTS)
    if request.method != "POST":
        return _list(request, actor)
    act = request.POST.get("act", "")
    try:
        if act == "team":
            team = teams.create(actor, request.POST.get("name", "").strip())
            messages.success(request, f"The team {team.name} is made. Add its members, then give it roles.")
            return redirect("team", name=team.name)
        if act == "give":
            return _give_by_name(request, actor)
    except Refusal as refusal:
        return _list(request, actor, refusal=refusal)
    raise NoSuchAct(act=act)


def _give_by_name(request: PageRequest, actor: Actor) -> HttpResponse:
    holder = request.POST.get("holder", "").strip()
    if not holder:
        raise NobodyNamed
    to_team = request.POST.get("to") == "team"
    give(request, actor, **({"team_name": holder} if to_team else {"username": holder}))
    return redirect("team", name=holder) if to_team else redirect("member", username=holder)


def give(request: PageRequest, actor: Actor, *, username: str = "", team_name: str = "") -> None:
    """Give the role that was posted, for the workspace or for the model that was named, and say what it allows."""
    role = request.POST.get("role", "")
    if role not in set(Role):
        raise UnknownRole(value=role, known=", ".join(Role))
    model_name = request.POST.get("model", "").strip()
    model = find_model(actor, model_name) if model_name else None
    _, is_new = people.give_by_name(
        actor, Role(role), username=username, team_name=team_name, model_id=model.pk if model else None
    )
    where = f"for the model {model.name}" if model else f"in {actor.workspace_slug}"
    did = "holds" if is_new else "holds already"
    messages.success(request, f"{username or team_name} {did} the role {role} {where}: may {role_words.allows(role)}.")


def take(request: PageRequest, actor: Actor) -> None:
    """Take the grant back that was posted."""
    grant = request.POST.get("grant", "")
    if not (grant.isascii() and grant.isdecimal() and len(grant) < 19):
        raise people.GrantNotFound
    people.take(actor, int(grant))
    messages.success(request, "The role is taken back. What it alone allowed is refused from now on.")


def roles_to_give(actor: Actor) -> list[tuple[Role, str]]:
    """The roles that the actor may give, each with what it allows."""
    return [(role, words) for role, words in role_words.ROLES.items() if _may_give(actor, role)]


def _may_give(actor: Actor, role: Role) -> bool:
    return role != Role.ADMINISTRATOR or Role.ADMINISTRATOR in actor.roles


def _list(request: PageRequest, actor: Actor, *, refusal: Refusal | None = None) -> HttpResponse:
    lane = request.GET.get("show", "")
    if request.POST.get("act") == "team" or request.POST.get("to") == "team":
        lane = "teams"
    lane = lane if lane in (*_KINDS, "teams") else "people"
    search = request.GET.get("q", "").strip()
    token = request.GET.get("page", "")
    query = ["members", lane, search, actor.workspace_id]
    context: dict[str, Any] = {"lane": lane, "search": search}
    if lane == "teams":
        page = paginate(reads.teams(actor, search), order=("name",), size=_PER_PAGE, token=token, query=query)
        context |= {"page": page, "teams": reads.team_rows(page.items)}
    else:
        listed = reads.members(actor, kind=_KINDS[lane], search=search)
        users = paginate(
            listed.select_related("responsible"), order=("username",), size=_PER_PAGE, token=token, query=query
        )
        context |= {"page": users, "members": reads.rows(actor, users.items), "operators": reads.operators()}
    again = request.POST if refusal else {}
    context |= {
        "refusal": refusal,
        "wrong": field_of(refusal),
        "typed": {name: again.get(name, "") for name in ("holder", "to", "role", "model", "name", "act")},
        "roles": roles_to_give(actor),
        "makes_accounts": actor.may(Action.EDIT_USERS),
    }
    return show(request, "accounts/members.html", context, status=status_of(refusal) if refusal else 200)


def field_of(refusal: Refusal | None) -> str:
    """The field at fault, as these forms call it; empty when it is none of them."""
    if refusal is None:
        return ""
    if refusal.code in ("user-not-found", "team-not-found"):
        return "holder"
    return refusal.at_field or ("model" if refusal.code == "model-not-found" else "")


# --- A new account ----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def new(request: PageRequest, actor: Actor) -> HttpResponse:
    """The form for a new account; makes it, and shows a password that was made up this once."""
    require(actor, Action.EDIT_USERS)
    if request.method != "POST":
        return _new_form(request, actor)
    sent = {name: request.POST.get(name, "").strip() for name in ("username", "display_name", "email", "kind", "role")}
    kind = UserKind.SERVICE if sent["kind"] == "service" else UserKind.PERSON
    typed = request.POST.get("password", "")
    password = (typed or secrets.token_urlsafe(15)) if kind == UserKind.PERSON else None
    try:
        if sent["role"] and sent["role"] not in set(Role):
            raise UnknownRole(value=sent["role"], known=", ".join(Role))
        responsible = request.POST.get("responsible", "").strip() if kind == UserKind.SERVICE else ""
        user = people.create_user(
            actor,
            username=sent["username"],
            kind=kind,
            password=password,
            email=sent["email"],
            display_name=sent["display_name"],
            responsible=answering(actor, responsible),
        )
        if sent["role"]:
            people.give(actor, Role(sent["role"]), user=user)
    except Refusal as refusal:
        return _new_form(request, actor, refusal=refusal)
    if password and not typed:
        return _made(request, user, password, f"The account {user.username} is made")
    holds = f"holds the role {sent['role']}" if sent["role"] else "holds no role yet"
    messages.success(request, f"The account {user.username} is made and {holds}.")
    return redirect("member", username=user.username)


def answering(actor: Actor, username: str) -> User | None:
    """The person of this name, who is to answer for a service account; nobody when none is named. UserNotFound."""
    if not username:
        return None
    try:
        return people.find_user(actor, username)
    except people.UserNotFound as unknown:
        raise NoSuchPerson(username=username) from unknown


class NoSuchPerson(Invalid):
    """There is nobody called {username!r} here who could answer for it."""

    field = "responsible"


def _made(request: PageRequest, user: User, password: str, title: str) -> HttpResponse:
    """A password that Vouch made up, on a page that nobody keeps."""
    context = {"user_made": user, "plain": [Snippet("Password", password)], "title": title}
    response = show(request, "accounts/password_made.html", context)
    patch_cache_control(response, no_store=True)
    return response


def _new_form(request: PageRequest, actor: Actor, *, refusal: Refusal | None = None) -> HttpResponse:
    again = request.POST if refusal else request.GET
    names = ("username", "display_name", "email", "kind", "role", "responsible")
    context = {
        "refusal": refusal,
        "wrong": refusal.at_field or "" if refusal else "",
        "typed": {name: again.get(name, "") for name in names},
        "roles": roles_to_give(actor),
    }
    return show(request, "accounts/new_member.html", context, status=status_of(refusal) if refusal else 200)


# --- One account ------------------------------------------------------------------------------------------------------


def _details(request: PageRequest, actor: Actor, user: User) -> HttpResponse | None:
    sent = {name: request.POST.get(name, "").strip() for name in ("display_name", "email", "responsible")}
    responsible = answering(actor, sent["responsible"]) if user.kind == UserKind.SERVICE else user.responsible
    people.edit_user(
        actor, user.username, display_name=sent["display_name"], email=sent["email"], responsible=responsible
    )
    messages.success(request, f"What is known of {user.username} is changed.")
    return None


def _password(request: PageRequest, actor: Actor, user: User) -> HttpResponse | None:
    if user.pk == actor.user_id:  # with the present one, which somebody at an open browser does not know
        return redirect("profile")
    typed = request.POST.get("password", "")
    password = typed or secrets.token_urlsafe(15)
    people.set_password(actor, user.username, password)
    if not typed:
        return _made(request, user, password, f"{user.username} has a new password")
    messages.success(request, f"{user.username} has a new password, and is signed out everywhere.")
    return None


def _disable(request: PageRequest, actor: Actor, user: User) -> HttpResponse | None:
    people.set_active(actor, user.username, False)
    messages.success(request, f"{user.username} is disabled: sessions and tokens are dead, and approvals do not count.")
    return None


def _enable(request: PageRequest, actor: Actor, user: User) -> HttpResponse | None:
    people.set_active(actor, user.username, True)
    messages.success(request, f"{user.username} is enabled, with the roles and tokens as they were.")
    return None


def _give(request: PageRequest, actor: Actor, user: User) -> HttpResponse | None:
    give(request, actor, username=user.username)
    return None


def _take(request: PageRequest, actor: Actor, user: User) -> HttpResponse | None:
    take(request, actor)
    return None


_ACTS: dict[str, Callable[[PageRequest, Actor, User], HttpResponse | None]] = {
    "details": _details,
    "password": _password,
    "disable": _disable,
    "enable": _enable,
    "give": _give,
    "take": _take,
}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def member(request: PageRequest, actor: Actor, username: str) -> HttpResponse:
    """One account: what it holds and by what, and all that one may change of it."""
    user = reads.find(actor, username)
    if request.method != "POST":
        return _page(request, actor, user)
    act = request.POST.get("act", "")
    if act not in _ACTS:
        raise NoSuchAct(act=act)
    try:
        answer = _ACTS[act](request, actor, user)
    except Refusal as refusal:
        return _page(request, actor, reads.find(actor, username), refusal=refusal, act=act)
    if answer is not None:
        return answer
    if act == "take" and user.pk == actor.user_id:  # he may not see this page any more
        return redirect("profile")
    # Whoever held one role here and lost it may be no member any more.
    return redirect("member", username=user.username) if _still(actor, user) else redirect("members")


def _still(actor: Actor, user: User) -> bool:
    try:
        reads.find(actor, user.username)
    except Refusal:
        return False
    return True


def _page(
    request: PageRequest, actor: Actor, user: User, *, refusal: Refusal | None = None, act: str = ""
) -> HttpResponse:
    [row] = reads.rows(actor, [user])
    for_models = paginate(
        reads.grants_for_models(actor, user),
        order=("id",),
        size=_PER_PAGE,
        token=request.GET.get("page", ""),
        query=["grants", user.pk, actor.workspace_id],
    )
    again = request.POST if refusal else {}
    now = {"display_name": user.display_name, "email": user.email, "role": "", "model": ""}
    now["responsible"] = user.responsible.username if user.responsible else ""
    living = reads.living_tokens(actor, user).filter(expires_at__gt=timezone.now())
    context = {
        "member": user,
        "held": row.held,
        "page": for_models,
        "teams": reads.teams_of(actor, user),
        "answers_for": reads.answers_for(actor, user) if user.kind == UserKind.PERSON else [],
        "tokens": living.count(),
        "is_self": user.pk == actor.user_id,
        "is_service": user.kind == UserKind.SERVICE,
        "roles": roles_to_give(actor),
        "may_take": [role for role in Role if _may_give(actor, role)],
        "looks_after": actor.may(Action.EDIT_USERS),
        "typed": {name: again.get(name, value) for name, value in now.items()},
        "refusal": refusal,
        "wrong": field_of(refusal),
        "act": act,
    }
    return show(request, "accounts/member.html", context, status=status_of(refusal) if refusal else 200)
