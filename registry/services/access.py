"""Who may do what to one model: roles given and taken for it, several at once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db import transaction

from accounts.actor import Actor
from accounts.services import holdings
from accounts.services.holdings import Wish
from registry.models import Model
from registry.services.locks import locked_model_by_id


@transaction.atomic
def replace(actor: Actor, model_id: uuid.UUID, wishes: Sequence[Wish]) -> Model:
    """Let exactly those named hold roles for the model, besides what comes from the workspace; ModelNotFound, and what
    `holdings.set_for_model` raises."""
    return _set(actor, model_id, wishes, others_keep=False)


@transaction.atomic
def change(actor: Actor, model_id: uuid.UUID, wishes: Sequence[Wish]) -> Model:
    """`replace`, but for whoever is not named, who keeps what he has."""
    return _set(actor, model_id, wishes, others_keep=True)


def _set(actor: Actor, model_id: uuid.UUID, wishes: Sequence[Wish], *, others_keep: bool) -> Model:
    # Two who write what all of them are to hold wait for each other: else both lists would be in force.
    model = locked_model_by_id(actor, model_id)
    holdings.set_for_model(actor, model.id, wishes, others_keep=others_keep)
    return model
