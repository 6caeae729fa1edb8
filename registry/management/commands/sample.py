"""`manage.py sample accounts|status`: the accounts of a first start, and whether there are models yet."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from accounts.actor import Actor
from accounts.models import User, UserKind
from accounts.queries import session_actor, system_actor
from accounts.roles import Role, Scope
from accounts.services import people, tokens
from registry.models import Model

_READ_AND_ASK = (Scope.READ, Scope.REGISTER, Scope.REQUEST)
# Account → kind, role in the default workspace, scopes of its token.
_CAST: dict[str, tuple[UserKind, Role, tuple[Scope, ...]]] = {
    "admin": (UserKind.PERSON, Role.ADMINISTRATOR, tuple(Scope)),
    "reviewer": (UserKind.PERSON, Role.REVIEWER, (Scope.READ, Scope.REQUEST, Scope.REVIEW)),
    "ci": (UserKind.PERSON, Role.CONTRIBUTOR, _READ_AND_ASK),
}


class Command(BaseCommand):
    help = "Make the accounts admin, reviewer and ci (accounts), or tell whether there are models yet (status)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["accounts", "status"])
        parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
        parser.add_argument("--fresh", action="store_true", help="give existing accounts new passwords and tokens too")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "status":
            self.stdout.write("filled" if Model.objects.living().exists() else "empty")
            return
        made = _accounts(fresh=options["fresh"])
        if options["json"]:
            self.stdout.write(json.dumps(made))
            return
        for name, account in made["accounts"].items():
            shown = f"password {account['password']}  token {account['token']}" if account["token"] else "unchanged"
            self.stdout.write(f"{name:9} {shown}")


@transaction.atomic
def _accounts(*, fresh: bool) -> dict[str, Any]:
    operator = system_actor(people.default_workspace())
    accounts = {}
    created = False
    for name, (kind, role, scopes) in _CAST.items():
        there = User.objects.filter(username=name).exists()
        created = created or not there
        accounts[name] = _account(operator, name, kind, role, scopes, there=there) if fresh or not there else _UNCHANGED
    return {"created": created, "accounts": accounts}


_UNCHANGED: dict[str, str | None] = {"password": None, "token": None}


def _account(
    operator: Actor, name: str, kind: UserKind, role: Role, scopes: tuple[Scope, ...], *, there: bool
) -> dict[str, str | None]:
    password = secrets.token_urlsafe(12)
    if there:
        user = people.set_password(operator, name, password)
    else:
        user = people.create_user(operator, username=name, kind=kind, password=password)
    people.give(operator, role, user=user)
    if role == Role.ADMINISTRATOR:
        people.make_operator(operator, name)
    owner = session_actor(user, people.default_workspace())
    return {"password": password, "token": tokens.create(owner, name="first start", scopes=scopes).plain}
