"""Webhooks as MLflow's client has them: made, listed, changed, tested, told, deleted; run by `test_webhooks_live`.

webhooks_story.py NAME HEALTHY FAILING REFUSING   with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN (of an
administrator) set; the last three are the URLs of receivers. Exits with a trace when something fails.
"""

import sys
import warnings

import mlflow
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException

warnings.filterwarnings("ignore")
name, healthy, failing, refusing = sys.argv[1:]
client = mlflow.MlflowClient()
EVERY = [
    WebhookEvent(entity, action)
    for entity, action in (
        (WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED),
        (WebhookEntity.MODEL_VERSION, WebhookAction.CREATED),
        (WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET),
        (WebhookEntity.MODEL_VERSION_TAG, WebhookAction.DELETED),
        (WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED),
        (WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.DELETED),
    )
]
CREATED, TAGGED = EVERY[1], EVERY[2]


def refused(code, words, call, *arguments, **more):
    found, told = None, ""
    try:
        call(*arguments, **more)
    except MlflowException as refusal:
        found, told = refusal.error_code, str(refusal)
    assert (found, words in told) == (code, True), f"{call.__name__}{arguments}: {found}: {told}"


# Made and shown.
hook = client.create_webhook(
    "test_webhook", "https://example.com/webhook", [TAGGED, CREATED], description="d", secret="s"
)
assert (hook.name, hook.url, hook.events) == ("test_webhook", "https://example.com/webhook", [TAGGED, CREATED]), hook
assert (hook.description, hook.secret, hook.status) == ("d", None, WebhookStatus.ACTIVE), hook
assert hook.creation_timestamp == hook.last_updated_timestamp, hook
assert vars(client.get_webhook(hook.webhook_id)) == vars(hook)
refused("RESOURCE_DOES_NOT_EXIST", "Webhook with ID nonexistent not found", client.get_webhook, "nonexistent")
refused("INVALID_PARAMETER_VALUE", "Webhook name", client.create_webhook, "_bad", hook.url, [CREATED])
refused(
    "INVALID_PARAMETER_VALUE", "Invalid webhook URL scheme", client.create_webhook, "x", "ftp://a.example", [CREATED]
)
refused("INVALID_PARAMETER_VALUE", "events", client.create_webhook, "x", hook.url, [])

# Changed: what is not named stays.
renamed = client.update_webhook(hook.webhook_id, name="renamed")
assert (renamed.name, renamed.events, renamed.description) == ("renamed", [TAGGED, CREATED], "d"), renamed
assert renamed.last_updated_timestamp > hook.last_updated_timestamp
off = client.update_webhook(
    hook.webhook_id,
    url="https://elsewhere.example/",
    description="other",
    events=[CREATED],
    secret="another",
    status=WebhookStatus.DISABLED,
)
assert (off.url, off.description, off.events) == ("https://elsewhere.example/", "other", [CREATED]), off
assert off.status == WebhookStatus.DISABLED, off
moved = {"webhook_id": hook.webhook_id, "url": "https://third.example/"}
refused("INVALID_PARAMETER_VALUE", "secret", client.update_webhook, **moved)

# Listed, the newest first.
ids = [client.create_webhook(f"hook{n}", "https://example.com/", EVERY[: n + 1]).webhook_id for n in range(3)]
first = client.list_webhooks(max_results=3)
rest = client.list_webhooks(max_results=3, page_token=first.token)
assert [each.webhook_id for each in [*first, *rest]] == [*reversed(ids), hook.webhook_id]
assert not rest.token
for each in (*ids, hook.webhook_id):
    client.delete_webhook(each)
refused("RESOURCE_DOES_NOT_EXIST", "not found", client.delete_webhook, hook.webhook_id)
assert list(client.list_webhooks()) == []

# Tested against receivers that take it, fail and are not there.
signed = client.create_webhook("signed", healthy, EVERY, secret="my_secret")
plain = client.create_webhook("plain", healthy.rpartition("/")[0] + "/plain", [TAGGED])
result = client.test_webhook(signed.webhook_id, TAGGED)
assert (result.success, result.response_status, result.error_message) == (True, 200, None), result
result = client.test_webhook(client.create_webhook("failing", failing, [CREATED]).webhook_id)
assert (result.success, result.response_status) == (False, 500), result
result = client.test_webhook(client.create_webhook("refusing", refusing, [CREATED]).webhook_id)
assert (result.success, result.response_status) == (False, None), result
assert result.error_message, result

# Told.
client.create_registered_model(name, tags={"team": "risk"}, description="said")
client.create_model_version(name, "s3://bucket/model", tags={"a": "b"})
client.set_model_version_tag(name, "1", "k", "v")
client.delete_model_version_tag(name, "1", "k")
client.set_registered_model_alias(name, "best", "1")
client.delete_registered_model_alias(name, "best")
sys.stdout.write("all is well")
