"""The map of the native API."""

from django.urls import path, re_path

from web.api import catalog, docs, history, people, promotions, resolving, trail, uploads, versions

_VERSION = "models/<str:name>/versions/<str:number>"

urlpatterns = [
    path("resolve", resolving.resolve_uri),
    path("models", catalog.Models.as_view()),
    path("models/<str:name>", catalog.OneModel.as_view()),
    path("models/<str:name>/tags/<str:key>", catalog.ModelTags.as_view()),
    path("models/<str:name>/aliases", catalog.Aliases.as_view()),
    path("models/<str:name>/aliases/<str:alias>", catalog.OneAlias.as_view()),
    path("models/<str:name>/history", history.ModelHistory.as_view()),
    path("models/<str:name>/rollback", promotions.Rollback.as_view()),
    path("models/<str:name>/versions", versions.Versions.as_view()),
    path(_VERSION, versions.OneVersion.as_view()),
    path(f"{_VERSION}/tags/<str:key>", versions.VersionTags.as_view()),
    path(f"{_VERSION}/files", versions.VersionFiles.as_view()),
    path(f"{_VERSION}/files/<path:path>", versions.VersionFile.as_view()),
    path(f"{_VERSION}/history", versions.VersionHistory.as_view()),
    path(f"{_VERSION}/evidence", history.VersionEvidence.as_view()),
    path("uploads/<str:upload>", uploads.Upload.as_view()),
    path("uploads/<str:upload>/files/<path:path>", uploads.UploadFile.as_view()),
    path("promotions", promotions.Promotions.as_view()),
    path("promotions/<str:promotion_id>", promotions.OnePromotion.as_view()),
    path("promotions/<str:promotion_id>/approve", promotions.Approve.as_view()),
    path("promotions/<str:promotion_id>/reject", promotions.Reject.as_view()),
    path("promotions/<str:promotion_id>/withdraw", promotions.Withdraw.as_view()),
    path("promotions/<str:promotion_id>/bypass", promotions.Bypass.as_view()),
    path("promotions/<str:promotion_id>/review", promotions.ReviewAfterwards.as_view()),
    path("promotions/<str:promotion_id>/revalidate", promotions.Revalidate.as_view()),
    path("me", people.Myself.as_view()),
    path("tokens", people.Tokens.as_view()),
    path("tokens/<str:token_id>", people.OneToken.as_view()),
    path("users", people.Users.as_view()),
    path("users/<str:username>", people.OneUser.as_view()),
    path("teams/<str:team>", people.OneTeam.as_view()),
    path("grants", people.Grants.as_view()),
    path("grants/<str:grant_id>", people.OneGrant.as_view()),
    path("audit", trail.Audit.as_view()),
    path("audit/export", trail.AuditExport.as_view()),
    path("audit/verify", trail.AuditVerify.as_view()),
    path("runs/<str:run_id>", trail.OneRun.as_view()),
    path("openapi.yaml", docs.openapi),
    path("docs", docs.page),
    re_path("", docs.nothing_here),
]
