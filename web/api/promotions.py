"""Promotions: asking, deciding, waiting for the verdict."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.services.idempotency import AnswerForgotten
from registry import queries
from registry.errors import PromotionNotFound
from registry.lifecycle import State
from registry.models import Promotion
from registry.outlook import outlook
from registry.services import afterwards, discussion, promotions, rollback
from web import waiting
from web.api import inputs
from web.api.authentication import TokenAuthentication
from web.api.bodies.promotions import PromotionBody, PromotionDetail
from web.api.filters import PromotionFilters
from web.api.paging import listed
from web.api.resource import Resource, as_id, digest_etag
from web.api.schema import IDEMPOTENCY_KEY, IF_NONE_MATCH, PAGING, WAIT, operation, paged, told

TAG = "Promotions"
_NEW_PROMOTION = PolymorphicProxySerializer(
    component_name="NewPromotion",
    serializers=[inputs.PromotionToTarget, inputs.PromotionToStage],
    resource_type_field_name=None,
)


def _body(promotion: Promotion) -> Any:
    context = {
        "outlook": outlook(promotion),
        "checks": queries.checks(promotion.version).order_by("name"),
        "review_requests": queries.review_requests(promotion),
    }
    return PromotionDetail(promotion, context=context).data


class Promotions(Resource):
    @operation(
        "List promotions",
        tag=TAG,
        answers={200: paged(PromotionBody)},
        parameters=PAGING,
        filters=PromotionFilters,
    )
    def get(self, request: Request) -> Response:
        rows = queries.promotions(self.actor)
        return listed(
            request, self.actor, rows, PromotionBody, order=["-requested_at", "-id"], filters=PromotionFilters
        )

    @operation(
        "Ask for a version to be moved to a stage, or for an alias to be pointed at it",
        tag=TAG,
        description="201: a promotion was opened and waits for what `missing` names. 200: it was carried out at once, "
        "or the open one for the same version and target was found.",
        takes=_NEW_PROMOTION,
        answers={201: PromotionDetail, 200: PromotionDetail},
        parameters=[IDEMPOTENCY_KEY, told("Location", "The promotion.", 200, 201)],
        fails=[409, 422],
    )
    def post(self, request: Request) -> Response:
        by_stage = "stage" in request.data and "target" not in request.data
        given = self.accepted(inputs.PromotionToStage if by_stage else inputs.PromotionToTarget)
        target = given["stage" if by_stage else "target"]

        def ask() -> tuple[int, Any]:
            asked = promotions.request(
                self.actor, given["model"], given["version"], target, comment=given.get("comment", "")
            )
            opened = asked.opened_now and asked.state == State.OPEN
            return 201 if opened else 200, _body(queries.find_promotion(self.actor, asked.pk))

        return self.once(ask)


class OnePromotion(Resource):
    @operation(
        "Show a promotion",
        tag=TAG,
        description="With `wait` the call blocks while it is open, until the verdict is in or the time is over.",
        answers={200: PromotionDetail, 304: None},
        parameters=[WAIT, IF_NONE_MATCH, told("ETag", "For If-None-Match.", 200, 304)],
        fails=[429],
    )
    def get(self, request: Request, promotion_id: str) -> Response:
        wanted = _id(promotion_id)
        at_most = waiting.seconds(request._request)
        found = queries.find_promotion(self.actor, wanted)
        if waiting.until(self.actor, wanted, lambda: queries.state_of(wanted) != State.OPEN, at_most=at_most):
            # His token may have been revoked while he waited.
            actor = TokenAuthentication().authenticate(request)[1]
            found = queries.find_promotion(actor, wanted)
        body = _body(found)
        return Response(body, headers={"ETag": digest_etag(body)})


class _Decision(Resource):
    """One act on a promotion, answered with what became of it."""

    def decided(self, promotion_id: str, act: Callable[[uuid.UUID], Promotion]) -> Response:
        act(_id(promotion_id))
        return Response(_body(queries.find_promotion(self.actor, _id(promotion_id))))


class Approve(_Decision):
    @operation(
        "Approve a promotion",
        tag=TAG,
        description="`evidence` is the digest that the promotion showed when the reviewer looked at it. The approval "
        "that was missing last carries the promotion out.",
        takes=inputs.Approve,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.Approve)
        return self.decided(promotion_id, lambda wanted: promotions.approve(self.actor, wanted, **given))


class Reject(_Decision):
    @operation("Reject a promotion", tag=TAG, takes=inputs.Reason, answers={200: PromotionDetail}, fails=[409])
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.Reason)
        return self.decided(promotion_id, lambda wanted: promotions.reject(self.actor, wanted, **given))


class Withdraw(_Decision):
    @operation(
        "Withdraw a promotion",
        tag=TAG,
        description="Your own, or any for a maintainer.",
        takes=inputs.OptionalReason,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.OptionalReason)
        return self.decided(promotion_id, lambda wanted: promotions.withdraw(self.actor, wanted, **given))


class Reopen(_Decision):
    @operation(
        "Open a promotion again",
        tag=TAG,
        description="One that was rejected, withdrawn or has expired, under the policy that is in force now. What was "
        "approved before does not count any more, and whoever reopens it cannot approve it.",
        takes=inputs.Reason,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.Reason)
        return self.decided(promotion_id, lambda wanted: promotions.reopen(self.actor, wanted, **given))


class Reviewers(_Decision):
    @operation(
        "Ask people to review a promotion",
        tag=TAG,
        description="Those who asked for it may, and those who review. Each must hold a role that reviews the model, "
        "and have had no part in it; all are asked, or none. Who was asked already is not asked twice.",
        takes=inputs.Reviewers,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.Reviewers)
        return self.decided(
            promotion_id, lambda wanted: discussion.request_review(self.actor, wanted, given["reviewers"])
        )


class OneReviewer(Resource):
    @operation(
        "Take back that somebody was asked to review a promotion",
        tag=TAG,
        answers={204: None},
    )
    def delete(self, request: Request, promotion_id: str, username: str) -> Response:
        discussion.unask(self.actor, _id(promotion_id), username)
        return Response(status=204)


class Bypass(_Decision):
    @operation(
        "Carry a promotion out over its policy",
        tag=TAG,
        description="Administrators only, where the policy allows it; marked as bypass wherever it shows.",
        takes=inputs.Reason,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.Reason)
        return self.decided(promotion_id, lambda wanted: promotions.bypass(self.actor, wanted, **given))


class ReviewAfterwards(_Decision):
    @operation(
        "Review a bypass or a rollback afterwards",
        tag=TAG,
        description="Once, by somebody who had no part in it. Nothing moves by it; who does not agree says why.",
        takes=inputs.ReviewAfterwards,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.ReviewAfterwards)
        return self.decided(promotion_id, lambda wanted: afterwards.review_afterwards(self.actor, wanted, **given))


class Revalidate(_Decision):
    @operation(
        "Vouch anew for a version that stays where it was promoted to",
        tag=TAG,
        description="Where its policy sets a time for which approvals hold. `valid_until` moves on once as many did as "
        "the policy asks for; until then `revalidation_missing` tells who is still to come.",
        takes=inputs.Revalidate,
        answers={200: PromotionDetail},
        fails=[409],
    )
    def post(self, request: Request, promotion_id: str) -> Response:
        given = self.accepted(inputs.Revalidate)
        return self.decided(promotion_id, lambda wanted: afterwards.revalidate(self.actor, wanted, **given))


class Rollback(Resource):
    @operation(
        "Roll back a stage or an alias",
        tag=TAG,
        description="To the version that was there before, or to `to`: one person, at once, if its bytes are still "
        "those that were put there then; all of them are read again first. The answer is the promotion that did it; "
        "`restores` tells on whose word the version was there. It is to be reviewed afterwards.",
        takes=inputs.Rollback,
        answers={201: PromotionDetail},
        parameters=[IDEMPOTENCY_KEY, told("Location", "The promotion.", 201)],
        fails=[409, 422],
    )
    def post(self, request: Request, name: str) -> Response:
        given = self.accepted(inputs.Rollback)
        target, to = given["target"], given.get("to")
        # The files are read again before the transaction that an Idempotency-Key opens, and not to repeat an answer.
        seen = None if self.remembered() else rollback.reread(self.actor, name, target, to=to)

        def roll_back() -> tuple[int, Any]:
            if seen is None:
                raise AnswerForgotten
            done = rollback.roll_back_to(self.actor, name, target, seen, reason=given["reason"], to=to)
            return 201, _body(queries.find_promotion(self.actor, done.pk))

        return self.once(roll_back)


def _id(value: str) -> uuid.UUID:
    return as_id(value, PromotionNotFound(promotion=value))
