"""Uploads: files that a client sends before it registers a version of them."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Invalid
from lineage.queries import find_upload
from lineage.services import artifacts
from lineage.services.artifacts import Place
from web import files
from web.api.bodies.catalog import FileBody
from web.api.paging import listed
from web.api.parsing import OctetStream
from web.api.resource import Resource
from web.api.schema import PAGING, header, operation, paged

TAG = "Uploads"


class DigestMissing(Invalid):
    """Send the SHA-256 of the file in the header X-Content-SHA256, as 64 lower-case hexadecimal digits."""

    field = "X-Content-SHA256"


class Upload(Resource):
    @operation("List what arrived of an upload", tag=TAG, answers={200: paged(FileBody)}, parameters=PAGING)
    def get(self, request: Request, upload: str) -> Response:
        return listed(request, self.actor, find_upload(self.actor, upload).files.all(), FileBody, order=["path"])


class UploadFile(Resource):
    parser_classes = [OctetStream]

    @operation(
        "Upload a file",
        tag=TAG,
        description="The body is the file. Sending the same bytes again is harmless; other bytes at the same path are "
        "refused.",
        takes={"application/octet-stream": OpenApiTypes.BINARY},
        answers={201: FileBody, 200: FileBody},
        parameters=[
            header(
                "X-Content-SHA256",
                {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "The SHA-256 of the file.",
                required=True,
            )
        ],
        fails=[409],
    )
    def put(self, request: Request, upload: str, path: str) -> Response:
        announced = request.headers.get("X-Content-SHA256")
        if announced is None:
            raise DigestMissing
        file, is_new = artifacts.upload(
            self.actor,
            Place(upload_name=upload),
            path,
            files.body_chunks(request._request),
            announced_sha256=announced,
            announced_size=files.announced_size(request._request),
        )
        return Response(FileBody(file).data, 201 if is_new else 200)
