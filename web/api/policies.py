"""Policies: what is in force and why, writing them, their revisions."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry import queries
from registry.errors import NoPolicy, Stale
from registry.models import Policy
from registry.policy import Scope
from registry.ruling import rulings
from registry.services import policies
from web.api import inputs
from web.api.bodies.policies import PolicyBody, PolicyRevisionBody, Rulings
from web.api.filters import PolicyFilters
from web.api.paging import listed
from web.api.resource import Resource, as_id, etag_of, expected_revision
from web.api.schema import IF_MATCH, IF_NONE_MATCH, PAGING, operation, paged, told

TAG = "Policies"
_SCOPE = ("target", "model", "pattern")


def _shown(policy: Policy) -> Response:
    return Response(PolicyBody(policy).data, headers={"ETag": etag_of(policy)})


class Policies(Resource):
    @operation("List policies", tag=TAG, answers={200: paged(PolicyBody)}, parameters=PAGING, filters=PolicyFilters)
    def get(self, request: Request) -> Response:
        rows = queries.policies(self.actor)
        return listed(request, self.actor, rows, PolicyBody, order=["id"], filters=PolicyFilters)

    @operation(
        "Write a policy",
        tag=TAG,
        description="The one for its target and its model, its pattern, or (neither) the workspace: a new one, or the "
        "next revision. The same again changes nothing. What is left out is as shipped. Open promotions that it is "
        "stricter with are held to it at once.",
        takes=inputs.PolicyText,
        answers={200: PolicyBody},
        parameters=[IF_MATCH, told("ETag", "For If-Match and If-None-Match.", 200)],
        fails=[412],
    )
    def put(self, request: Request) -> Response:
        given = self.accepted(inputs.PolicyText)
        scope = Scope(given.pop("model", ""), given.pop("pattern", ""))
        target, comment, expected = given.pop("target"), given.pop("comment", ""), given.pop("revision", None)
        matched = expected_revision(request, lambda: self._at(scope, target))
        if expected is not None and matched not in (None, expected):
            raise Stale
        expected = matched if expected is None else expected
        written = policies.write(self.actor, scope, target, given, comment=comment, expected=expected)
        return _shown(queries.find_policy(self.actor, written.pk))

    def _at(self, scope: Scope, target: str) -> Policy:
        """The policy that If-Match is about; Stale when there is none."""
        here = queries.policies(self.actor).filter(target=target, pattern=scope.pattern.lower())
        found = here.filter(model__name=scope.model) if scope.model else here.filter(model__isnull=True)
        policy = found.first()
        if policy is None:
            raise Stale
        return policy


class OnePolicy(Resource):
    @operation(
        "Show a policy",
        tag=TAG,
        description="One that was taken away is shown as it was last.",
        answers={200: PolicyBody, 304: None},
        parameters=[IF_NONE_MATCH, told("ETag", "For If-Match and If-None-Match.", 200, 304)],
    )
    def get(self, request: Request, policy_id: str) -> Response:
        return _shown(queries.find_policy(self.actor, _id(policy_id)))

    @operation(
        "Take a policy away",
        tag=TAG,
        description="A less specific one, or the shipped default, is in force from then on.",
        answers={204: None},
        parameters=[IF_MATCH],
        fails=[412],
    )
    def delete(self, request: Request, policy_id: str) -> Response:
        policy = queries.find_policy(self.actor, _id(policy_id))
        expected = expected_revision(request, lambda: policy)
        policies.retire(self.actor, policy.scope, policy.target, expected=expected, only=policy.pk)
        return Response(status=204)


class PolicyRevisions(Resource):
    @operation("List the revisions of a policy", tag=TAG, answers={200: paged(PolicyRevisionBody)}, parameters=PAGING)
    def get(self, request: Request, policy_id: str) -> Response:
        policy = queries.find_policy(self.actor, _id(policy_id))
        rows = queries.policy_revisions(policy)
        return listed(request, self.actor, rows, PolicyRevisionBody, order=["-number"])


class PoliciesOfModel(Resource):
    @operation(
        "Show what promotions of a model need",
        tag=TAG,
        description="For every stage, and every alias that a policy protects: the policy in force, and why that one.",
        answers={200: Rulings},
    )
    def get(self, request: Request, name: str) -> Response:
        found: Any = rulings(queries.find_model(self.actor, name))
        return Response(Rulings({"items": list(found.values())}).data)


def _id(value: str) -> uuid.UUID:
    return as_id(value, NoPolicy(policy=value))
