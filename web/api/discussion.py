"""Comments on versions and promotions."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry import queries
from registry.errors import CommentNotFound, PromotionNotFound
from registry.services import discussion
from web.api import inputs
from web.api.bodies.discussion import CommentBody
from web.api.paging import listed
from web.api.resource import Resource, as_id
from web.api.schema import IDEMPOTENCY_KEY, PAGING, operation, paged, told

TAG = "Comments"
_POSTING = [IDEMPOTENCY_KEY, told("Location", "The comment.", 201)]


class _Comments(Resource):
    def said(self, name: object, number: object, promotion: uuid.UUID | None = None) -> Response:
        given = self.accepted(inputs.NewComment)

        def say() -> tuple[int, Any]:
            made = discussion.comment(self.actor, name, number, given["text"], promotion=promotion)
            return 201, CommentBody(queries.find_comment(self.actor, made.pk)).data

        return self.once(say)


class VersionComments(_Comments):
    @operation(
        "List the comments on a version",
        tag=TAG,
        description="Oldest first, with those on its promotions.",
        answers={200: paged(CommentBody)},
        parameters=PAGING,
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        version = queries.find_version(self.actor, name, number)
        rows = queries.comments(self.actor).filter(version=version)
        return listed(request, self.actor, rows, CommentBody, order=["id"])

    @operation(
        "Comment on a version",
        tag=TAG,
        takes=inputs.NewComment,
        answers={201: CommentBody},
        parameters=_POSTING,
        fails=[409, 422],
    )
    def post(self, request: Request, name: str, number: str) -> Response:
        return self.said(name, number)


class PromotionComments(_Comments):
    @operation(
        "List the comments on a promotion",
        tag=TAG,
        description="Oldest first.",
        answers={200: paged(CommentBody)},
        parameters=PAGING,
    )
    def get(self, request: Request, promotion_id: str) -> Response:
        promotion = queries.find_promotion(self.actor, _promotion(promotion_id))
        rows = queries.comments(self.actor).filter(promotion=promotion)
        return listed(request, self.actor, rows, CommentBody, order=["id"])

    @operation(
        "Comment on a promotion",
        tag=TAG,
        takes=inputs.NewComment,
        answers={201: CommentBody},
        parameters=_POSTING,
        fails=[409, 422],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        promotion = queries.find_promotion(self.actor, _promotion(promotion_id))
        return self.said(promotion.model.name, promotion.version.number, promotion.pk)


class OneComment(Resource):
    @operation("Show a comment", tag=TAG, answers={200: CommentBody})
    def get(self, request: Request, comment_id: str) -> Response:
        comment = queries.find_comment(self.actor, _comment(comment_id))
        if comment.deleted_at:
            raise CommentNotFound(comment=comment_id)
        return Response(CommentBody(comment).data)

    @operation(
        "Change a comment of one's own", tag=TAG, takes=inputs.NewComment, answers={200: CommentBody}, fails=[409]
    )
    def patch(self, request: Request, comment_id: str) -> Response:
        changed = discussion.edit(self.actor, _comment(comment_id), self.accepted(inputs.NewComment)["text"])
        return Response(CommentBody(queries.find_comment(self.actor, changed.pk)).data)

    @operation(
        "Delete a comment",
        tag=TAG,
        description="One's own, or any for a maintainer. Its place in the list stays; its words are gone.",
        answers={204: None},
    )
    def delete(self, request: Request, comment_id: str) -> Response:
        discussion.delete(self.actor, _comment(comment_id))
        return Response(status=204)


def _comment(value: str) -> uuid.UUID:
    return as_id(value, CommentNotFound(comment=value))


def _promotion(value: str) -> uuid.UUID:
    return as_id(value, PromotionNotFound(promotion=value))
