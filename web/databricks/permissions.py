"""Who may do what to a registered model, in Databricks' levels."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from accounts.actor import Actor
from accounts.models import Team, UserKind
from accounts.roles import Role
from accounts.services.holdings import Holding, Wish, holdings
from core.errors import Invalid
from registry import queries
from registry.errors import ModelNotFound
from registry.models import Model
from registry.services import access
from web.databricks.levels import MEANING, level_named, level_of, roles_for
from web.mlflow.wire import Fields

_HOLDERS: dict[str, UserKind | None] = {
    "user_name": UserKind.PERSON,
    "service_principal_name": UserKind.SERVICE,
    "group_name": None,
}
_NAMES = {kind: name for name, kind in _HOLDERS.items()}
_ENTRIES = 1000


class OneHolder(Invalid):
    """An entry is for one holder: give one of user_name, group_name (a team) and service_principal_name (a service
    account)."""


def show(actor: Actor, fields: Fields, *, model_id: str) -> dict[str, Any]:
    return _shown(actor, queries.find_model_by_id(actor, _id(model_id)))


def levels(actor: Actor, fields: Fields, *, model_id: str) -> dict[str, Any]:
    """What each level means here, which is the same for every model."""
    queries.find_model_by_id(actor, _id(model_id))
    return {
        "permission_levels": [{"permission_level": level, "description": meaning} for level, meaning in MEANING.items()]
    }


def replace(actor: Actor, fields: Fields, *, model_id: str) -> dict[str, Any]:
    return _shown(actor, access.replace(actor, _id(model_id), _wishes(fields)))


def change(actor: Actor, fields: Fields, *, model_id: str) -> dict[str, Any]:
    return _shown(actor, access.change(actor, _id(model_id), _wishes(fields)))


def _shown(actor: Actor, model: Model) -> dict[str, Any]:
    return {
        "object_id": f"/registered-models/{model.pk}",
        "object_type": "registered-model",
        "access_control_list": [_entry(actor, holding) for holding in holdings(actor, model.pk)],
    }


def _entry(actor: Actor, holding: Holding) -> dict[str, Any]:
    holder = holding.holder
    if isinstance(holder, Team):
        named = {"group_name": holder.name, "display_name": holder.name}
    else:
        named = {_NAMES[UserKind(holder.kind)]: holder.username, "display_name": holder.get_full_name()}
    home = [f"/workspaces/{actor.workspace_slug}"]
    permissions = [
        *({"permission_level": level, "inherited": False} for level in _level(holding.own)),
        *(
            {"permission_level": level, "inherited": True, "inherited_from_object": home}
            for level in _level(holding.inherited)
        ),
    ]
    return {**named, "all_permissions": permissions}


def _level(roles: Iterable[Role]) -> list[str]:
    level = level_of(frozenset(roles))
    return [level] if level else []


def _wishes(fields: Fields) -> list[Wish]:
    return [_wish(entry) for entry in fields.objects("access_control_list", limit=_ENTRIES)]


def _wish(entry: Fields) -> Wish:
    named = [(name, holder) for name in _HOLDERS if (holder := entry.text(name))]
    if len(named) != 1:
        raise OneHolder(field=f"{entry.path}user_name")
    (name, holder), level = named[0], entry.required("permission_level")
    becomes = partial(roles_for, level_named(f"{entry.path}permission_level", level))
    return Wish(holder, _HOLDERS[name], becomes)


def _id(sent: str) -> uuid.UUID:
    try:
        return uuid.UUID(sent)
    except ValueError:
        raise ModelNotFound(name=sent) from None
