"""Webhooks: who is told of events, what was sent, and sending it again."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Action
from core import text
from registry import queries
from registry.errors import DeliveryNotFound, WebhookNotFound
from registry.models import Delivery, Webhook
from registry.policy import Scope
from registry.services import redelivery, webhooks
from registry.services.webhooks import Issued
from web import waiting
from web.api import inputs
from web.api.bodies.shared import url
from web.api.bodies.webhooks import CountBody, DeliveryBody, DeliveryDetail, IssuedWebhook, TestBody, WebhookBody
from web.api.filters import DeliveryFilters, WebhookFilters
from web.api.paging import listed
from web.api.resource import Resource, as_id, etag_of, expected_revision
from web.api.schema import IF_MATCH, IF_NONE_MATCH, PAGING, QUERY_TEXT, TIMES, WAIT, operation, paged, query, told

TAG = "Webhooks"
_TRIES = 100
_ETAG = "For If-Match and If-None-Match."


class _OfWebhook(Resource):
    """Something about one webhook that the caller may manage."""

    def found(self, webhook_id: str) -> Webhook:
        return queries.find_webhook(self.actor, _id(webhook_id))

    def expected(self, request: Request, webhook_id: str) -> int | None:
        return expected_revision(request, lambda: self.found(webhook_id))

    def issued(self, issued: Issued, status: int = 200) -> Response:
        """The webhook as it is now, and its secret if that is new, which nobody keeps a copy of on the way."""
        webhook = queries.find_webhook(self.actor, issued.webhook.pk)
        headers = {"ETag": etag_of(webhook), "Cache-Control": "no-store"}
        return Response(IssuedWebhook(webhook, context={"secret": issued.secret}).data, status, headers=headers)


class Webhooks(_OfWebhook):
    @operation(
        "List webhooks",
        tag=TAG,
        description="Those that you may manage.",
        answers={200: paged(WebhookBody)},
        parameters=PAGING,
        filters=WebhookFilters,
    )
    def get(self, request: Request) -> Response:
        rows = queries.webhooks(self.actor)
        return listed(request, self.actor, rows, WebhookBody, order=["id"], filters=WebhookFilters)

    @operation(
        "Make a webhook",
        tag=TAG,
        description="For a model, for the models whose name fits a pattern, or for the workspace. The answer holds its "
        "secret, this once; so it honours no Idempotency-Key. You are who is told when it fails.",
        takes=inputs.NewWebhook,
        answers={201: IssuedWebhook},
        parameters=[told("Location", "The webhook.", 201), told("ETag", _ETAG, 201)],
        fails=[409],
    )
    def post(self, request: Request) -> Response:
        given = self.accepted(inputs.NewWebhook)
        scope = Scope(given.pop("model", ""), given.pop("pattern", ""))
        made = webhooks.create(self.actor, scope=scope, **given)
        response = self.issued(made, 201)
        response["Location"] = url("webhooks", made.webhook.pk)
        return response


class OneWebhook(_OfWebhook):
    @operation(
        "Show a webhook",
        tag=TAG,
        description="One that was deleted is shown as it was last.",
        answers={200: WebhookBody, 304: None},
        parameters=[IF_NONE_MATCH, told("ETag", _ETAG, 200, 304)],
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        webhook = self.found(webhook_id)
        return Response(WebhookBody(webhook).data, headers={"ETag": etag_of(webhook)})

    @operation(
        "Change a webhook",
        tag=TAG,
        description="What is left out stays. Disabling it ends what it is owed; enabling it forgets that it failed. A "
        "URL at another host gets a new secret at once, which the answer holds. Its format, and which models it is "
        "for, stay: make another webhook.",
        takes=inputs.WebhookChange,
        answers={200: IssuedWebhook},
        parameters=[IF_MATCH, told("ETag", _ETAG, 200)],
        fails=[412],
    )
    def patch(self, request: Request, webhook_id: str) -> Response:
        given = self.accepted(inputs.WebhookChange)
        expected = self.expected(request, webhook_id)
        return self.issued(webhooks.update(self.actor, _id(webhook_id), expected=expected, **given))

    @operation(
        "Delete a webhook",
        tag=TAG,
        description="What it is still owed is not sent any more.",
        answers={204: None},
        parameters=[IF_MATCH],
        fails=[412],
    )
    def delete(self, request: Request, webhook_id: str) -> Response:
        webhooks.delete(self.actor, _id(webhook_id), expected=self.expected(request, webhook_id))
        return Response(status=204)


class NewSecret(_OfWebhook):
    @operation(
        "Give a webhook a new secret",
        tag=TAG,
        description="The answer holds it, this once. What is sent is signed with the one before as well until the "
        "overlap is over (in the formats vouch and cloudevents), and with no older one.",
        takes=inputs.NewSecret,
        answers={200: IssuedWebhook},
        parameters=[IF_MATCH, told("ETag", _ETAG, 200)],
        fails=[409, 412],
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        given = self.accepted(inputs.NewSecret)
        expected = self.expected(request, webhook_id)
        return self.issued(webhooks.rotate(self.actor, _id(webhook_id), expected=expected, **given))


class Test(_OfWebhook):
    @operation(
        "Test a webhook",
        tag=TAG,
        description="Sends `webhook.tested`, or where the format has no words for that an example, to it alone, once, "
        "also when it is disabled. With `wait` the call blocks until it was tried or the time is over. What the "
        "receiver answered is not shown.",
        answers={202: TestBody},
        parameters=[WAIT, told("Location", "The delivery.", 202)],
        fails=[409],
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        at_most = waiting.seconds(request._request)
        delivery = redelivery.test(self.actor, _id(webhook_id))
        with contextlib.suppress(waiting.NoPlace):  # it is made: it can be looked at later
            waiting.until(
                self.actor, delivery.pk, lambda: not queries.is_under_way(delivery.pk), at_most=at_most, yields=True
            )
        now = Delivery.objects.select_related("entry").get(pk=delivery.pk)
        body = TestBody(now, context={"tries": list(queries.attempts(now))})
        where = url("webhooks", webhook_id, "deliveries", delivery.pk)
        return Response(body.data, 202, headers={"Location": where})


class RedeliverFailed(_OfWebhook):
    @operation(
        "Send again what has failed",
        tag=TAG,
        description=f"All that has been owed since then and has failed, with the same `webhook-id`s: the oldest "
        f"{redelivery.MOST:,} at most, so repeat it until the count is 0.",
        takes=inputs.Since,
        answers={200: CountBody},
        fails=[409],
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        since = text.moment("since", self.accepted(inputs.Since)["since"])
        return Response({"count": redelivery.redeliver_failed(self.actor, _id(webhook_id), since)})


class Deliveries(_OfWebhook):
    @operation(
        "List what a webhook was or is owed, newest first",
        tag=TAG,
        answers={200: paged(DeliveryBody)},
        parameters=[
            *PAGING,
            query(
                "model", {"type": "string", "maxLength": 255, "pattern": QUERY_TEXT}, "The name of the model concerned."
            ),
            *TIMES,
        ],
        filters=DeliveryFilters,
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        asked = request.query_params
        between = {name: text.moment(name, asked[name]) for name in ("since", "until") if name in asked}
        model = text.free_text("model", asked.get("model", ""), limit=255, lines=False)
        rows = queries.deliveries(self.found(webhook_id), model_name=model, **between)
        return listed(request, self.actor, rows, DeliveryBody, order=["-id"], filters=DeliveryFilters)


class OneDelivery(_OfWebhook):
    @operation("Show a delivery and its attempts", tag=TAG, answers={200: DeliveryDetail})
    def get(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        webhook = self.found(webhook_id)
        delivery = queries.find_delivery(webhook, _delivery_id(delivery_id))
        return Response(_detail(self, webhook, delivery))


class Redeliver(_OfWebhook):
    @operation(
        "Send a delivery again",
        tag=TAG,
        description="Now, whatever came of it, with the same `webhook-id`; the schedule begins again.",
        answers={200: DeliveryDetail},
        fails=[409],
    )
    def post(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        webhook = self.found(webhook_id)
        delivery = queries.find_delivery(webhook, _delivery_id(delivery_id))
        return Response(_detail(self, webhook, redelivery.redeliver(self.actor, delivery.pk)))


def _detail(resource: Resource, webhook: Webhook, delivery: Delivery) -> Any:
    answers = resource.actor.may(Action.READ_ANSWERS, webhook.model_id)
    tries = list(queries.attempts(delivery)[:_TRIES])
    return DeliveryDetail(delivery, context={"answers": answers, "tries": tries}).data


def _id(value: str) -> uuid.UUID:
    return as_id(value, WebhookNotFound(webhook=value))


def _delivery_id(value: str) -> uuid.UUID:
    return as_id(value, DeliveryNotFound(delivery=value))
