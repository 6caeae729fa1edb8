"""Comments on versions."""

from __future__ import annotations

import uuid
from typing import Any

from accounts.actor import Actor
from registry import queries
from registry.errors import CommentNotFound, EmptyComment
from registry.services import discussion, keyless
from web.databricks import encode
from web.mlflow.wire import Fields


def create(actor: Actor, fields: Fields) -> dict[str, Any]:
    made = keyless.comment(actor, fields.required("name"), fields.required("version"), _words(fields))
    return _comment(actor, made.pk)


def update(actor: Actor, fields: Fields) -> dict[str, Any]:
    edited = discussion.edit(actor, _id(fields), _words(fields))
    return _comment(actor, edited.pk)


def delete(actor: Actor, fields: Fields) -> dict[str, Any]:
    discussion.delete(actor, _id(fields))
    return {}


def _comment(actor: Actor, comment_id: uuid.UUID) -> dict[str, Any]:
    return {"comment": encode.comment(actor, queries.find_comment(actor, comment_id))}


def _words(fields: Fields) -> str:
    words = fields.text("comment")
    if not words.strip():
        raise EmptyComment(field="comment")
    return words


def _id(fields: Fields) -> uuid.UUID:
    sent = fields.required("id")
    try:
        return uuid.UUID(sent)
    except ValueError:
        raise CommentNotFound(comment=sent) from None
