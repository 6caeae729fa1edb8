"""Models, their tags and aliases."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry import queries
from registry.models import Model
from registry.services import aliases, catalog
from web.api import inputs
from web.api.bodies.catalog import AliasBody, ModelBody
from web.api.filters import ModelFilters
from web.api.paging import listed
from web.api.resource import Resource, etag_of, expected_revision
from web.api.schema import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, PAGING, operation, paged, told

TAG = "Models"


def _shown(row: Model) -> Response:
    return Response(ModelBody(row).data, headers={"ETag": etag_of(row)})


class Models(Resource):
    @operation("List models", tag=TAG, answers={200: paged(ModelBody)}, parameters=PAGING, filters=ModelFilters)
    def get(self, request: Request) -> Response:
        return listed(
            request, self.actor, queries.models(self.actor), ModelBody, order=["name", "id"], filters=ModelFilters
        )

    @operation(
        "Create a model",
        tag=TAG,
        takes=inputs.NewModel,
        answers={201: ModelBody},
        parameters=[IDEMPOTENCY_KEY, told("Location", "The model.", 201)],
        fails=[409, 422],
    )
    def post(self, request: Request) -> Response:
        given = self.accepted(inputs.NewModel)

        def create() -> tuple[int, Any]:
            made = catalog.create_model(self.actor, **given)
            return 201, ModelBody(queries.find_model(self.actor, made.name)).data

        return self.once(create)


class OneModel(Resource):
    @operation(
        "Show a model",
        tag=TAG,
        answers={200: ModelBody, 304: None},
        parameters=[IF_NONE_MATCH, told("ETag", "For If-Match and If-None-Match.", 200, 304)],
    )
    def get(self, request: Request, name: str) -> Response:
        return _shown(queries.find_model(self.actor, name))

    @operation(
        "Describe a model",
        tag=TAG,
        takes=inputs.Description,
        answers={200: ModelBody},
        parameters=[IF_MATCH, told("ETag", "For If-Match.", 200)],
        fails=[412],
    )
    def patch(self, request: Request, name: str) -> Response:
        given = self.accepted(inputs.Description)
        expected = expected_revision(request, lambda: queries.find_model(self.actor, name))
        catalog.describe_model(self.actor, name, given["description"], expected=expected)
        return _shown(queries.find_model(self.actor, name))

    @operation(
        "Delete a model",
        tag=TAG,
        description="With its versions. Refused while one of them is in an exclusive stage such as Production.",
        answers={204: None},
        parameters=[IF_MATCH],
        fails=[409, 412],
    )
    def delete(self, request: Request, name: str) -> Response:
        expected = expected_revision(request, lambda: queries.find_model(self.actor, name))
        catalog.delete_model(self.actor, name, expected=expected)
        return Response(status=204)


class ModelTags(Resource):
    @operation("Set a tag of a model", tag=TAG, takes=inputs.TagValue, answers={200: ModelBody})
    def put(self, request: Request, name: str, key: str) -> Response:
        catalog.tag_model(self.actor, name, key, self.accepted(inputs.TagValue)["value"])
        return _shown(queries.find_model(self.actor, name))

    @operation("Remove a tag of a model", tag=TAG, answers={204: None})
    def delete(self, request: Request, name: str, key: str) -> Response:
        catalog.tag_model(self.actor, name, key, None)
        return Response(status=204)


class Aliases(Resource):
    @operation("List the aliases of a model", tag=TAG, answers={200: paged(AliasBody)}, parameters=PAGING)
    def get(self, request: Request, name: str) -> Response:
        model = queries.find_model(self.actor, name)
        return listed(request, self.actor, model.aliases.select_related("version"), AliasBody, order=["name"])


class OneAlias(Resource):
    @operation("Point an alias at a version", tag=TAG, takes=inputs.AliasTarget, answers={200: AliasBody}, fails=[409])
    def put(self, request: Request, name: str, alias: str) -> Response:
        given = self.accepted(inputs.AliasTarget)
        return Response(AliasBody(aliases.set_alias(self.actor, name, alias, given["version"])).data)

    @operation("Remove an alias", tag=TAG, answers={204: None})
    def delete(self, request: Request, name: str, alias: str) -> Response:
        aliases.remove_alias(self.actor, name, alias)
        return Response(status=204)
