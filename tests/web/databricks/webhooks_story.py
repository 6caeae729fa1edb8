"""Registry webhooks as `databricks-sdk` has them; run by `test_webhooks_live`.

webhooks_story.py URL NAME HEALTHY FAILING   with VOUCH_ADMIN_TOKEN set; the last two are the URLs of receivers.
"""

import os
import sys

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound
from databricks.sdk.service.ml import HttpUrlSpec, JobSpec, RegistryWebhookEvent, RegistryWebhookStatus

url, name, healthy, failing = sys.argv[1:]
registry = WorkspaceClient(host=url, token=os.environ["VOUCH_ADMIN_TOKEN"]).model_registry
STAGING = RegistryWebhookEvent.MODEL_VERSION_TRANSITIONED_TO_STAGING
TAGGED = RegistryWebhookEvent.MODEL_VERSION_TAG_SET


def refused(kind, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except kind as refusal:
        return refusal
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


registry.create_model(name)
spec = HttpUrlSpec(healthy, authorization="Bearer th3-receivers-own", secret="my_secret", enable_ssl_verification=True)
hook = registry.create_webhook([STAGING, TAGGED], http_url_spec=spec, model_name=name, description="d").webhook
assert (hook.events, hook.model_name, hook.description) == ([STAGING, TAGGED], name, "d"), hook
assert (hook.status, hook.http_url_spec.url) == (RegistryWebhookStatus.ACTIVE, healthy), hook
quiet = registry.create_webhook([TAGGED], http_url_spec=HttpUrlSpec(failing), status=RegistryWebhookStatus.TEST_MODE)
quiet = quiet.webhook
assert quiet.status == RegistryWebhookStatus.TEST_MODE, quiet
assert [each.id for each in registry.list_webhooks(max_results=1)] == [quiet.id, hook.id]
assert [each.id for each in registry.list_webhooks(events=[STAGING], model_name=name)] == [hook.id]
changed = registry.update_webhook(hook.id, description="other", status=RegistryWebhookStatus.DISABLED).webhook
assert (changed.description, changed.events) == ("other", [STAGING, TAGGED]), changed
assert changed.status == RegistryWebhookStatus.DISABLED, changed
registry.update_webhook(hook.id, status=RegistryWebhookStatus.ACTIVE)

told = registry.test_registry_webhook(hook.id, event=STAGING)
assert told.status_code == 200, told
told = registry.test_registry_webhook(quiet.id)
assert told.status_code == 500, told

refusal = refused(InvalidParameterValue, registry.create_webhook, [TAGGED], job_spec=JobSpec("1", "token"))
assert refusal.get_error_details().bad_request.field_violations[0].field == "job_spec", refusal
unverified = HttpUrlSpec(healthy, enable_ssl_verification=False)
refused(InvalidParameterValue, registry.create_webhook, [TAGGED], http_url_spec=unverified)
refused(NotFound, registry.delete_webhook, "17")

version = registry.create_model_version(name, "s3://bucket/model").model_version.version
registry.transition_stage(name, version, "Staging", False)
registry.transition_stage(name, version, "Archived", False)
registry.delete_webhook(quiet.id)
refused(NotFound, registry.update_webhook, quiet.id, description="x")
sys.stdout.write("all is well")
