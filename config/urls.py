"""The map of all doors."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from config.health import livez, readyz

urlpatterns = [
    path("livez", livez),
    path("readyz", readyz),
    path("", include("web.mlflow.urls")),
    path("", include("web.databricks.urls")),
    path("api/v1/", include("web.api.urls")),
    path("", include("web.ui.urls")),
]
if settings.VOUCH_ADMIN:
    urlpatterns.insert(0, path("admin/", admin.site.urls))
handler400 = "web.errors.bad_request"
handler403 = "web.errors.forbidden"
handler404 = "web.errors.not_found"
handler500 = "web.errors.server_error"
