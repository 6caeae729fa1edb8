"""Versions: registering them, their tags, files and history."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer
from rest_framework.request import Request
from rest_framework.response import Response

from lineage.queries import FileNotThere, find_run, find_upload, run_if_known
from lineage.services import direct
from lineage.services.artifacts import Place
from registry import queries
from registry.models import Version
from registry.references import elsewhere
from registry.services import catalog
from registry.services.catalog import Origin
from web import files
from web.api import inputs
from web.api.bodies.catalog import FileBody, OccupancyBody, VersionBody
from web.api.filters import VersionFilters
from web.api.paging import listed
from web.api.resource import Resource, etag_of, expected_revision
from web.api.schema import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, PAGING, header, operation, paged, told

TAG = "Versions"
_FORMS = {"upload": inputs.VersionOfUpload, "source": inputs.VersionElsewhere, "path": inputs.VersionOfRun}
_NEW_VERSION = PolymorphicProxySerializer(
    component_name="NewVersion", serializers=list(_FORMS.values()), resource_type_field_name=None
)


def _shown(row: Version) -> Response:
    return Response(VersionBody(row).data, headers={"ETag": etag_of(row)})


class Versions(Resource):
    @operation(
        "List the versions of a model",
        tag=TAG,
        answers={200: paged(VersionBody)},
        parameters=PAGING,
        filters=VersionFilters,
    )
    def get(self, request: Request, name: str) -> Response:
        model = queries.find_model(self.actor, name)
        rows = queries.versions(self.actor).filter(model_id=model.id)
        return listed(request, self.actor, rows, VersionBody, order=["-number"], filters=VersionFilters)

    @operation(
        "Register a version",
        tag=TAG,
        description="From an upload, from the artifacts of a run, or of bytes elsewhere. An identical request of the "
        "same token inside ten minutes is answered with the version that the first one made, as 200 with "
        "`Vouch-Repeated: true`.",
        takes=_NEW_VERSION,
        answers={201: VersionBody, 200: VersionBody},
        parameters=[
            IDEMPOTENCY_KEY,
            told("Location", "The version.", 200, 201),
            told("Vouch-Repeated", "`true`: an identical request made this version a moment before.", 200),
        ],
        fails=[409, 422],
    )
    def post(self, request: Request, name: str) -> Response:
        form = next((form for field, form in _FORMS.items() if field in request.data), inputs.VersionOfUpload)
        given = self.accepted(form)

        if "path" in given:
            direct.take_in(self.actor, Place(run=find_run(self.actor, given["run_id"])))

        def register() -> tuple[int, Any]:
            made = catalog.register_version(
                self.actor,
                name,
                self._origin(given),
                description=given.get("description", ""),
                run_link=given.get("run_link", ""),
                tags=given.get("tags"),
                files_required="source" not in given,
            )
            shown = VersionBody(queries.find_version(self.actor, name, made.version.number)).data
            return 200 if made.repeated else 201, shown

        response = self.once(register)
        if response.status_code == 200:
            response["Vouch-Repeated"] = "true"
        return response

    def _origin(self, given: dict[str, Any]) -> Origin:
        run_id = given.get("run_id", "")
        if "path" in given:
            run, path = find_run(self.actor, run_id), given["path"]
            source = f"runs:/{run.id.hex}/{path}"
            return Origin(source, place=Place(run=run), path=path, run=run, run_ref=run.id.hex)
        run_known = run_if_known(self.actor, run_id)
        if "upload" in given:
            upload = find_upload(self.actor, given["upload"]).upload_name
            return Origin(f"upload:{upload}", place=Place(upload_name=upload), run=run_known, run_ref=run_id)
        return Origin(elsewhere(given["source"]), run=run_known, run_ref=run_id)


class OneVersion(Resource):
    @operation(
        "Show a version",
        tag=TAG,
        answers={200: VersionBody, 304: None},
        parameters=[IF_NONE_MATCH, told("ETag", "For If-Match and If-None-Match.", 200, 304)],
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        return _shown(queries.find_version(self.actor, name, number))

    @operation(
        "Describe a version",
        tag=TAG,
        takes=inputs.Description,
        answers={200: VersionBody},
        parameters=[IF_MATCH, told("ETag", "For If-Match.", 200)],
        fails=[412],
    )
    def patch(self, request: Request, name: str, number: str) -> Response:
        given = self.accepted(inputs.Description)
        expected = expected_revision(request, lambda: queries.find_version(self.actor, name, number))
        catalog.describe_version(self.actor, name, number, given["description"], expected=expected)
        return _shown(queries.find_version(self.actor, name, number))

    @operation(
        "Delete a version",
        tag=TAG,
        description="Your own, or any for a maintainer. Refused in an exclusive stage such as Production.",
        answers={204: None},
        parameters=[IF_MATCH],
        fails=[409, 412],
    )
    def delete(self, request: Request, name: str, number: str) -> Response:
        expected = expected_revision(request, lambda: queries.find_version(self.actor, name, number))
        catalog.delete_version(self.actor, name, number, expected=expected)
        return Response(status=204)


class VersionTags(Resource):
    @operation("Set a tag of a version", tag=TAG, takes=inputs.TagValue, answers={200: VersionBody})
    def put(self, request: Request, name: str, number: str, key: str) -> Response:
        catalog.tag_version(self.actor, name, number, key, self.accepted(inputs.TagValue)["value"])
        return _shown(queries.find_version(self.actor, name, number))

    @operation("Remove a tag of a version", tag=TAG, answers={204: None})
    def delete(self, request: Request, name: str, number: str, key: str) -> Response:
        catalog.tag_version(self.actor, name, number, key, None)
        return Response(status=204)


class VersionFiles(Resource):
    @operation("List the files of a version", tag=TAG, answers={200: paged(FileBody)}, parameters=PAGING)
    def get(self, request: Request, name: str, number: str) -> Response:
        version = queries.find_version(self.actor, name, number)
        return listed(request, self.actor, queries.files_of(version), FileBody, order=["path"])


class VersionFile(Resource):
    @operation(
        "Download a file of a version",
        tag=TAG,
        answers={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            304: None,
            416: OpenApiResponse(description="The range lies outside the file."),
        },
        parameters=[
            header("Range", {"type": "string"}, "One range of bytes, such as bytes=0-1023."),
            IF_NONE_MATCH,
            told("ETag", "The SHA-256 of the file.", 200, 206, 304),
        ],
    )
    def get(self, request: Request, name: str, number: str, path: str) -> HttpResponseBase:
        version = queries.find_version(self.actor, name, number)
        file = queries.files_of(version).filter(path=path).first()
        if file is None:
            raise FileNotThere(path=path)
        return files.download(request._request, sha256=file.sha256, size=file.size, name=path)


class VersionHistory(Resource):
    @operation(
        "List the stages that a version held",
        tag=TAG,
        answers={200: paged(OccupancyBody)},
        parameters=PAGING,
    )
    def get(self, request: Request, name: str, number: str) -> Response:
        version = queries.find_version(self.actor, name, number)
        return listed(request, self.actor, queries.occupancies(version), OccupancyBody, order=["started_at", "id"])
