"""The OpenAPI document, and a page that shows it."""

from __future__ import annotations

from functools import cache

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.views import SpectacularSwaggerSplitView

from core.errors import NotFound
from web.api.errors import problem


class NoSuchEndpoint(NotFound):
    """No endpoint of this API is at {path!r}: see /api/v1/docs."""


@cache
def document() -> bytes:
    """The OpenAPI document as YAML; made once in each process."""
    made = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return bytes(OpenApiYamlRenderer().render(made, renderer_context={}))  # type: ignore[no-untyped-call]


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """`docs/openapi.yaml`, as it is served."""
    return HttpResponse(document(), content_type="application/yaml")


class _Page(SpectacularSwaggerSplitView):
    authentication_classes = []
    permission_classes = []
    url = "/api/v1/openapi.yaml"
    template_name = "api/docs.html"


# Swagger UI's arrows and icons are data: images in its style sheet.
page = csp_update({"img-src": ["data:"]})(_Page.as_view())


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """What answers every path that is no endpoint."""
    return problem(NoSuchEndpoint(path=request.path), request)
