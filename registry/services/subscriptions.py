"""How people want to be told: which models they follow or have muted, by which channels, and when.

It concerns nobody but themselves, so the audit log has no word of it.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import User
from accounts.permissions import BeyondToken, ScopeMissing, require
from accounts.roles import NEEDS, Action
from core import sealing
from core.http import checked_url
from registry.delivery import chat_egress
from registry.errors import UnknownMailWhen
from registry.models import Following, MailWhen, Model, Notification, NotificationSettings
from registry.queries import find_model, following_of


def settings_of(actor: Actor) -> NotificationSettings:
    """How the actor is told, with his user; the default when he has changed nothing."""
    found = NotificationSettings.objects.select_related("user").filter(user=actor.user_id).first()
    return found or NotificationSettings(user=User.objects.get(pk=actor.user_id))


@transaction.atomic
def change(
    actor: Actor, *, mail: str | None = None, muted: bool | None = None, slack_url: str | None = None
) -> NotificationSettings:
    """Be told otherwise, in all workspaces; what is None stays, an empty `slack_url` takes the address away.

    By a session, or by a token with the scope `webhook` that is bound to no model: whoever finds a token must not be
    able to have everything told to himself. Raises ScopeMissing, BeyondToken, UnknownMailWhen, BadUrl.
    """
    need = NEEDS[Action.EDIT_NOTIFICATIONS]
    if need.scope not in actor.scopes:
        raise ScopeMissing(action=Action.EDIT_NOTIFICATIONS, scope=need.scope)
    if actor.model_glob:
        raise BeyondToken(glob=actor.model_glob, action=Action.EDIT_NOTIFICATIONS)
    if mail is not None and mail not in MailWhen.values:
        raise UnknownMailWhen(value=mail, known=", ".join(MailWhen.values))
    url = checked_url("slack_url", slack_url, chat_egress()) if slack_url else slack_url
    User.objects.select_for_update(no_key=True).get(pk=actor.user_id)
    changed = settings_of(actor)
    changed.mail = changed.mail if mail is None else mail
    changed.muted = changed.muted if muted is None else muted
    changed.slack_url = changed.slack_url if url is None else sealing.sealed(url) if url else ""
    changed.updated_at = timezone.now()
    changed.save()
    return changed


def follow(actor: Actor, name: object, *, muted: bool = False) -> Following:
    """Be told of what happens to a model; or, `muted`, of nothing about it whatever part one has in it.

    Raises ModelNotFound, ScopeMissing.
    """
    model = find_model(actor, name)
    require(actor, Action.EDIT_NOTIFICATIONS, model)
    found, _ = Following.objects.update_or_create(model=model, user_id=actor.user_id, defaults={"muted": muted})
    found.model = model
    return found


def unfollow(actor: Actor, name: object) -> None:
    """Neither follow a model any more nor have it muted. Raises ModelNotFound, ScopeMissing."""
    model = find_model(actor, name)
    require(actor, Action.EDIT_NOTIFICATIONS, model)
    Following.objects.filter(model=model, user=actor.user_id).delete()


def following(actor: Actor, model: Model) -> Following | None:
    """Whether the actor follows a model that he can see, or has muted it. One query."""
    found = following_of(actor, model.pk)
    if found:
        found.model = model
    return found


def followings(actor: Actor) -> QuerySet[Following]:
    """The models that the actor follows or has muted, of those that he can see."""
    visible = Model.objects.visible_to(actor)
    return Following.objects.filter(user=actor.user_id, model__in=visible).select_related("model")


def recent(actor: Actor) -> QuerySet[Notification]:
    """What the actor was told, or is about to be, of his workspace."""
    return Notification.objects.shown_to(actor).select_related("entry")
