"""`manage.py policy apply|show|diff`: the policies of a workspace as one YAML file, for teams that keep it in git."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actor import Actor
from accounts.models import User, Workspace
from accounts.queries import WorkspaceNotFound, session_actor, system_actor
from accounts.services.people import DEFAULT_WORKSPACE, UserNotFound
from core.errors import Refusal
from registry import policy_file
from registry.policy_file import Entry
from registry.queries import policies as policies_of
from registry.services import policies

_FAILED = 2  # the status of `diff` that is neither "the same" (0) nor "there is a difference" (1)


class Command(BaseCommand):
    help = "Write the policies of a workspace from a YAML file (apply), print them as one (show), compare them (diff)."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        apply = acts.add_parser("apply", help="write all policies of a file, or none when one will not do")
        diff = acts.add_parser("diff", help="print what apply would change; status 1 when there is something")
        show = acts.add_parser("show", help="print the policies as a file that apply takes")
        for act in (apply, diff):
            act.add_argument("file", help="the YAML file; - for the standard input")
            act.add_argument("--prune", action="store_true", help="take away the policies that are not in the file")
        apply.add_argument("--dry-run", action="store_true", help="try it and say what it would change")
        apply.add_argument("--comment", default="", help="why, for the list of revisions")
        apply.add_argument("--as", dest="username", default="", help="act as this user, who must be allowed to")
        for act in (apply, diff, show):
            act.add_argument("--workspace", default=DEFAULT_WORKSPACE)

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        try:
            getattr(self, act)(**options)
        except Refusal as refusal:
            raise CommandError(refusal.message, returncode=_FAILED) from None

    def apply(
        self, file: str, workspace: str, prune: bool, dry_run: bool, comment: str, username: str, **rest: Any
    ) -> None:
        actor = _actor(workspace, username)
        done = policies.apply(actor, _read(file), comment=comment, prune=prune, dry_run=dry_run)
        for change in done.changes:
            self._tell(change)
        for promotion in done.reopened:
            what = f"{promotion.model.name} v{promotion.version.number} to {promotion.target}"
            self.stdout.write(f"reopened: {what}, {settings.VOUCH_URL}{promotion.page}")
        ends = "nothing was written: a dry run" if dry_run else "written" if done.changes else "nothing to change"
        self.stdout.write(f"{len(done.changes)} changes, {ends}" if done.changes else ends)

    def diff(self, file: str, workspace: str, prune: bool, **rest: Any) -> None:
        found = policy_file.changes(_there(_actor(workspace)), _read(file), prune=prune)
        for change in found:
            self._tell(change)
        if found:
            sys.exit(1)

    def show(self, workspace: str, **rest: Any) -> None:
        self.stdout.write(policy_file.written(_there(_actor(workspace))), ending="")

    def _tell(self, change: policy_file.Change) -> None:
        for line in policy_file.told(change):
            self.stdout.write(line)


def _actor(slug: str, username: str = "") -> Actor:
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None:
        raise WorkspaceNotFound(slug=slug)
    if not username:
        return system_actor(workspace)
    user = User.objects.named(username).filter(is_active=True).first()
    if user is None:
        raise UserNotFound(username=username)
    return session_actor(user, workspace)


def _there(actor: Actor) -> list[Entry]:
    return [policies.as_entry(policy) for policy in policies_of(actor)]


def _read(file: str) -> list[Entry]:
    try:
        # A character more than is taken: enough to tell that it is too long.
        with sys.stdin if file == "-" else Path(file).open(encoding="utf-8") as opened:
            return policy_file.read(opened.read(policy_file.LIMIT + 1))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", returncode=_FAILED) from None
