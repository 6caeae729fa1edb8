"""How you are told of what happens, and what you were told of: one's own alone."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from registry.errors import NotFollowed
from registry.queries import find_model
from registry.services import subscriptions
from web.api import inputs
from web.api.bodies.notifications import FollowingBody, HowToldBody, NotificationBody
from web.api.paging import listed
from web.api.resource import Resource
from web.api.schema import PAGING, operation, paged

TAG = "Notifications"


class Notifications(Resource):
    @operation("Show how you are told", tag=TAG, answers={200: HowToldBody})
    def get(self, request: Request) -> Response:
        return Response(HowToldBody(subscriptions.settings_of(self.actor)).data)

    @operation(
        "Be told otherwise",
        tag=TAG,
        description="In all workspaces. By a token that has the scope webhook and is not bound to names of models.",
        takes=inputs.HowToBeTold,
        answers={200: HowToldBody},
    )
    def put(self, request: Request) -> Response:
        return Response(HowToldBody(subscriptions.change(self.actor, **self.accepted(inputs.HowToBeTold))).data)


class RecentNotifications(Resource):
    @operation(
        "List what you were told",
        tag=TAG,
        description="Newest event first, of this workspace, with what is still to be sent and what was given up.",
        answers={200: paged(NotificationBody)},
        parameters=PAGING,
    )
    def get(self, request: Request) -> Response:
        rows = subscriptions.recent(self.actor)
        return listed(request, self.actor, rows, NotificationBody, order=["-entry_id", "-id"])


class Followings(Resource):
    @operation(
        "List the models that you follow or have muted",
        tag=TAG,
        answers={200: paged(FollowingBody)},
        parameters=PAGING,
    )
    def get(self, request: Request) -> Response:
        return listed(request, self.actor, subscriptions.followings(self.actor), FollowingBody, order=["-id"])


class ModelFollowing(Resource):
    @operation("Show whether you follow a model", tag=TAG, answers={200: FollowingBody})
    def get(self, request: Request, name: str) -> Response:
        model = find_model(self.actor, name)
        found = subscriptions.following(self.actor, model)
        if found is None:
            raise NotFollowed(name=model.name)
        return Response(FollowingBody(found).data)

    @operation(
        "Follow or mute a model",
        tag=TAG,
        description="By a token with the scope webhook.",
        takes=inputs.Following,
        answers={200: FollowingBody},
    )
    def put(self, request: Request, name: str) -> Response:
        return Response(FollowingBody(subscriptions.follow(self.actor, name, **self.accepted(inputs.Following))).data)

    @operation("Neither follow nor mute a model", tag=TAG, answers={204: None})
    def delete(self, request: Request, name: str) -> Response:
        subscriptions.unfollow(self.actor, name)
        return Response(status=204)
