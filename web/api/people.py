"""Who you are; tokens, users, teams and grants."""

from __future__ import annotations

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Role
from accounts.services import people, tokens
from accounts.services.people import GrantNotFound
from accounts.services.tokens import TokenNotFound
from registry.queries import find_model
from web.api import inputs
from web.api.bodies.people import GrantBody, IssuedToken, Me, TeamBody, TokenBody, UserBody
from web.api.paging import listed
from web.api.resource import Resource, as_id
from web.api.schema import PAGING, operation, paged

TAG = "Accounts"
_NEW_GRANT = PolymorphicProxySerializer(
    component_name="NewGrant", serializers=[inputs.GrantToUser, inputs.GrantToTeam], resource_type_field_name=None
)


class Myself(Resource):
    @operation("Show who you are", tag=TAG, answers={200: Me})
    def get(self, request: Request) -> Response:
        token = tokens.own(self.actor)
        me = {
            "username": self.actor.username,
            "display_name": token.user.display_name if token else "",
            "workspace": self.actor.workspace_slug,
            "roles": sorted(self.actor.roles),
            "token": token,
        }
        return Response(Me(me).data)


class Tokens(Resource):
    @operation(
        "List tokens",
        tag=TAG,
        description="Your own in this workspace; everybody's for an administrator.",
        answers={200: paged(TokenBody)},
        parameters=PAGING,
    )
    def get(self, request: Request) -> Response:
        return listed(request, self.actor, tokens.visible(self.actor), TokenBody, order=["-created_at", "-id"])

    @operation(
        "Make a token",
        tag=TAG,
        description="By a token with the scope admin: for yourself, or as an administrator for a service account. The "
        "new one cannot have scopes that the token asking lacks.",
        takes=inputs.NewToken,
        answers={201: IssuedToken},
    )
    def post(self, request: Request) -> Response:
        given = self.accepted(inputs.NewToken)
        owner = given.pop("owner", None)
        issued = tokens.create(self.actor, owner=people.find_user(self.actor, owner) if owner else None, **given)
        return Response({**TokenBody(issued.token).data, "token": issued.plain}, 201)


class OneToken(Resource):
    @operation("Revoke a token", tag=TAG, answers={204: None})
    def delete(self, request: Request, token_id: str) -> Response:
        tokens.revoke(self.actor, as_id(token_id, TokenNotFound(token_id=token_id)))
        return Response(status=204)


class Users(Resource):
    @operation(
        "List users",
        tag=TAG,
        description="Those who hold a role in this workspace, and new ones who hold none yet. For administrators.",
        answers={200: paged(UserBody)},
        parameters=PAGING,
    )
    def get(self, request: Request) -> Response:
        return listed(request, self.actor, people.users(self.actor), UserBody, order=["username"])

    @operation("Make a user", tag=TAG, takes=inputs.NewUser, answers={201: UserBody}, fails=[409])
    def post(self, request: Request) -> Response:
        return Response(UserBody(people.create_user(self.actor, **self.accepted(inputs.NewUser))).data, 201)


class OneUser(Resource):
    @operation(
        "Disable or enable a user",
        tag=TAG,
        description="The tokens and sessions of a disabled user are dead.",
        takes=inputs.UserChange,
        answers={200: UserBody},
        fails=[409],
    )
    def patch(self, request: Request, username: str) -> Response:
        given = self.accepted(inputs.UserChange)
        return Response(UserBody(people.set_active(self.actor, username, given["active"])).data)


class OneTeam(Resource):
    @operation(
        "Give a team its members",
        tag=TAG,
        description="Makes the team when it is missing.",
        takes=inputs.Members,
        answers={200: TeamBody},
        fails=[409],
    )
    def put(self, request: Request, team: str) -> Response:
        given = self.accepted(inputs.Members)
        return Response(TeamBody(people.set_team(self.actor, name=team, usernames=given["members"])).data)


class Grants(Resource):
    @operation("List grants", tag=TAG, answers={200: paged(GrantBody)}, parameters=PAGING)
    def get(self, request: Request) -> Response:
        return listed(request, self.actor, people.grants(self.actor), GrantBody, order=["id"])

    @operation("Give a role", tag=TAG, takes=_NEW_GRANT, answers={201: GrantBody, 200: GrantBody})
    def post(self, request: Request) -> Response:
        given = self.accepted(inputs.GrantToTeam if "team" in request.data else inputs.GrantToUser)
        model = find_model(self.actor, given["model"]) if "model" in given else None
        grant, is_new = people.give_by_name(
            self.actor,
            Role(given["role"]),
            username=given.get("user", ""),
            team_name=given.get("team", ""),
            model_id=model.id if model else None,
        )
        return Response(GrantBody(grant).data, 201 if is_new else 200)


class OneGrant(Resource):
    @operation("Take a role back", tag=TAG, answers={204: None}, fails=[409])
    def delete(self, request: Request, grant_id: str) -> Response:
        if not grant_id.isascii() or not grant_id.isdecimal() or int(grant_id[:20]) >= 2**63:
            raise GrantNotFound
        people.take(self.actor, int(grant_id))
        return Response(status=204)
