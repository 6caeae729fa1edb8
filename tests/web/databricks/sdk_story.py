"""A day with `databricks-sdk`, every call of its `ModelRegistryAPI`; run by `test_sdk` under an old and a new release.

sdk_story.py URL NAME   with VOUCH_CI_TOKEN, VOUCH_REVIEWER_TOKEN and VOUCH_ADMIN_TOKEN set; a policy holds models whose
                        name begins with "gated" until their auc is known. Exits with a trace when something fails.
"""

import os
import sys
import time

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied, ResourceConflict, Unauthenticated
from databricks.sdk.service import ml
from databricks.sdk.service.ml import (
    ActivityAction,
    ActivityType,
    CommentActivityAction,
    HttpUrlSpec,
    ModelTag,
    PermissionLevel,
    RegisteredModelAccessControlRequest,
    RegisteredModelPermissionLevel,
    RegistryWebhookEvent,
    RegistryWebhookStatus,
)

url, name = sys.argv[1:]
called = set()

# Releases of 2024 have a type for stages, where the present ones have words, and give less of a refusal's details.
to = getattr(ml, "Stage", str)
to_delete = getattr(ml, "DeleteTransitionRequestStage", str)
OLD = hasattr(ml, "Stage")
PRODUCTION, STAGING = to("Production"), to("Staging")


def word(stage):
    """A stage as the wire has it."""
    return getattr(stage, "value", stage)


def reason(refusal):
    return refusal.get_error_info()[0].reason if OLD else refusal.get_error_details().error_info.reason


def version_of(answer):
    return answer.model_version if OLD else answer.model_version_databricks


class Registry:
    """`ModelRegistryAPI`, which remembers what was called."""

    def __init__(self, api):
        self.api = api

    def __getattr__(self, method):
        called.add(method)
        return getattr(self.api, method)


def client(token):
    return WorkspaceClient(host=url, token=token)


def registry(token):
    return Registry(client(token).model_registry)


ci, reviewer, admin = (registry(os.environ[f"VOUCH_{who}_TOKEN"]) for who in ("CI", "REVIEWER", "ADMIN"))


def refused(kind, call, *arguments, **more):
    """The refusal of a call, which must come at once: what the SDK takes for passing it repeats for minutes."""
    began = time.monotonic()
    try:
        call(*arguments, **more)
    except kind as refusal:
        assert time.monotonic() - began < 5, f"{call.__name__} took {time.monotonic() - began:.0f} s"
        return refusal
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


def stage(number, model=name):
    return ci.get_model_version(model, number).model_version.current_stage


def version(model=name):
    return ci.create_model_version(model, f"s3://bucket/{model}/{time.time_ns()}").model_version.version


# A request is made, listed with what each can do to it, and approved.
ci.create_model(name)
first = version()
request = ci.create_transition_request(name, first, PRODUCTION, comment="please").request
assert (request.user_id, word(request.to_stage), request.comment) == ("ci", "Production", "please"), request
assert request.available_actions == [ActivityAction.CANCEL_TRANSITION_REQUEST], request
(listed,) = reviewer.list_transition_requests(name, first)
assert listed.activity_type == ActivityType.REQUESTED_TRANSITION, listed
assert (word(listed.from_stage), word(listed.to_stage), listed.user_id) == ("None", "Production", "ci"), listed
assert "1 more approval" in listed.system_comment, listed
refusal = refused(PermissionDenied, ci.approve_transition_request, name, first, PRODUCTION, False)
assert stage(first) == "None"
activity = reviewer.approve_transition_request(name, first, PRODUCTION, True, comment="fine").activity
assert (activity.activity_type, activity.user_id) == (ActivityType.APPROVED_REQUEST, "reviewer"), activity
assert stage(first) == "Production"
assert list(reviewer.list_transition_requests(name, first)) == []

# A rejection needs a reason; a deletion names who asked.
second = version()
ci.create_transition_request(name, second, PRODUCTION)
refusal = refused(BadRequest, reviewer.reject_transition_request, name, second, PRODUCTION)
assert OLD or refusal.get_error_details().bad_request.field_violations[0].field == "comment", refusal
activity = reviewer.reject_transition_request(name, second, PRODUCTION, comment="too slow").activity
assert (activity.activity_type, activity.comment) == (ActivityType.REJECTED_REQUEST, "too slow"), activity
ci.create_transition_request(name, second, PRODUCTION)
wanted = to_delete("Production")
refused(NotFound, ci.delete_transition_request, name, second, wanted, "reviewer")
answer = ci.delete_transition_request(name, second, wanted, "ci", comment="never mind")
assert OLD or (answer.activity.activity_type, answer.activity.comment) == (
    ActivityType.CANCELLED_REQUEST,
    "never mind",
), answer
refused(NotFound, reviewer.approve_transition_request, name, version(), PRODUCTION, False)
assert (stage(first), stage(second)) == ("Production", "None")

# Nobody approves what he asked for himself.
reviewer.create_transition_request(name, second, PRODUCTION)
refusal = refused(PermissionDenied, reviewer.approve_transition_request, name, second, PRODUCTION, False)
assert reason(refusal) == "SELF_APPROVAL", refusal

# A transition with a comment: at once where nothing is asked for, else refused with what is missing.
moved = version_of(ci.transition_stage(name, second, STAGING, False, comment="try it"))
assert (moved.version, word(moved.current_stage)) == (second, "Staging"), moved
assert OLD or [request.to_stage for request in moved.open_requests] == ["Production"], moved
refusal = refused(PermissionDenied, ci.transition_stage, name, second, PRODUCTION, True)
assert reason(refusal) == "APPROVAL_MISSING", refusal
moved = version_of(admin.transition_stage(name, second, PRODUCTION, True, comment="urgent"))
assert word(moved.current_stage) == "Production", moved
assert stage(first) == "Archived"

# A gate that holds is told by name, and an approval is not enough.
gated = f"gated {name}"
ci.create_model(gated)
held = version(gated)
refusal = refused(PermissionDenied, ci.transition_stage, gated, held, PRODUCTION, False)
assert reason(refusal) == "GATE_FAILED", refusal
if not OLD:
    details = refusal.get_error_details()
    assert "auc" in details.error_info.metadata["gates"], details
    assert {violation.type for violation in details.precondition_failure.violations} == {"APPROVAL", "GATE"}, details
    assert details.help.links[0].url.startswith(f"{url}/promotions/"), details
activity = reviewer.approve_transition_request(gated, held, PRODUCTION, False).activity
assert "auc" in activity.system_comment, activity
assert reviewer.approve_transition_request(gated, held, PRODUCTION, False).activity == activity
assert stage(held, gated) == "None"

# Comments on a version: written, changed and deleted by who wrote them.
said = ci.create_comment(name, first, "is it faster?").comment
assert (said.user_id, said.comment) == ("ci", "is it faster?"), said
assert said.available_actions == [CommentActivityAction.EDIT_COMMENT, CommentActivityAction.DELETE_COMMENT], said
assert ci.create_comment(name, first, "is it faster?").comment.id == said.id
refused(PermissionDenied, reviewer.update_comment, said.id, "it is")
changed = ci.update_comment(said.id, "is it better?").comment
assert (changed.id, changed.comment) == (said.id, "is it better?"), changed
refused(PermissionDenied, reviewer.delete_comment, said.id)
ci.delete_comment(said.id)
refused(NotFound, ci.delete_comment, "17")
refused(ResourceConflict, ci.update_comment, said.id, "is it there?")


# Models and versions: found by id and level, listed and searched, described, tagged.
ours = ci.get_model(name).registered_model_databricks
assert (ours.name, ours.permission_level) == (name, PermissionLevel.CAN_EDIT), ours
assert {each.name for each in ci.list_models(max_results=2)} >= {name, gated}
assert [each.name for each in ci.search_models(filter=f"name = '{name}'", order_by=["name ASC"])] == [name]
found = ci.search_model_versions(filter=f"name = '{name}'", order_by=["version_number DESC"], max_results=1)
assert [each.version for each in found] == ["3", "2", "1"]
assert [each.version for each in ci.get_latest_versions(name, stages=["Production"])] == [second]
assert ci.get_model_version_download_uri(name, first).artifact_uri.startswith("s3://bucket/")
ci.update_model(name, description="who leaves")
ci.update_model_version(name, first, description="the first")
ci.set_model_tag(name, "team", "risk")
ci.set_model_version_tag(name, first, "size", "small")
ours = ci.get_model(name).registered_model_databricks
assert (ours.description, [tag.as_dict() for tag in ours.tags]) == ("who leaves", [{"key": "team", "value": "risk"}])
one = ci.get_model_version(name, first).model_version
assert (one.description, [tag.as_dict() for tag in one.tags]) == ("the first", [{"key": "size", "value": "small"}])
ci.delete_model_tag(name, "team")
ci.delete_model_version_tag(name, first, "size")
assert not ci.get_model(name).registered_model_databricks.tags
assert not ci.get_model_version(name, first).model_version.tags

# Permissions: read, changed, replaced, by who may give roles alone.
levels = reviewer.get_permission_levels(ours.id).permission_levels
assert {level.permission_level for level in levels} == set(RegisteredModelPermissionLevel), levels
refused(PermissionDenied, ci.get_permissions, ours.id)


def reading(level):
    return [RegisteredModelAccessControlRequest(user_name="ci", permission_level=RegisteredModelPermissionLevel(level))]


def held(permissions):
    """The level that ci holds for the model itself."""
    (own,) = (each for each in permissions.access_control_list if each.user_name == "ci")
    return [each.permission_level.value for each in own.all_permissions if not each.inherited]


refused(PermissionDenied, ci.set_permissions, ours.id, access_control_list=reading("CAN_MANAGE"))
assert held(admin.update_permissions(ours.id, access_control_list=reading("CAN_READ"))) == ["CAN_READ"]
assert held(admin.set_permissions(ours.id, access_control_list=reading("CAN_MANAGE"))) == ["CAN_MANAGE"]
assert ci.get_model(name).registered_model_databricks.permission_level == PermissionLevel.CAN_MANAGE
assert held(admin.set_permissions(ours.id, access_control_list=[])) == []
assert held(admin.get_permissions(ours.id)) == []

# Webhooks: made, listed, changed, tested, deleted.
hook = admin.create_webhook(
    [RegistryWebhookEvent.MODEL_VERSION_CREATED],
    model_name=name,
    http_url_spec=HttpUrlSpec(url="https://hooks.example.com/x", secret="between us"),
    status=RegistryWebhookStatus.TEST_MODE,
).webhook
assert (hook.model_name, hook.status) == (name, RegistryWebhookStatus.TEST_MODE), hook
assert hook.http_url_spec.url == "https://hooks.example.com/x", hook
assert hook.id in {each.id for each in admin.list_webhooks(model_name=name)}
changed = admin.update_webhook(hook.id, description="for us", status=RegistryWebhookStatus.DISABLED)
assert OLD or changed.webhook.description == "for us", changed
refused(NotFound, admin.test_registry_webhook, "17")  # what it sends, and to whom, is tested with a receiver
(admin.delete_webhook(id=hook.id) if OLD else admin.delete_webhook(hook.id))
assert hook.id not in {each.id for each in admin.list_webhooks(model_name=name)}

# Renamed, then deleted as far as it is not in use.
tagged = ci.create_model(f"{name} gone", description="for a while", tags=[ModelTag(key="a", value="b")])
assert tagged.registered_model.description == "for a while", tagged
assert admin.rename_model(f"{name} gone", new_name=f"{name} away").registered_model.name == f"{name} away"
gone = version(f"{name} away")
refused(ResourceConflict, admin.delete_model_version, name, second)
admin.delete_model_version(f"{name} away", gone)
refused(NotFound, ci.get_model_version, f"{name} away", gone)
admin.delete_model(f"{name} away")
refused(NotFound, ci.get_model, f"{name} away")

# Who somebody is, and where; and nobody without a token.
me = client(os.environ["VOUCH_CI_TOKEN"])
assert me.current_user.me().user_name == "ci"
assert me.get_workspace_id() > 0
refused(Unauthenticated, registry("vch-" + "0" * 40).create_transition_request, name, first, STAGING)

every = {method for method in vars(ml.ModelRegistryAPI) if not method.startswith("_")}
assert called >= every, every - called
sys.stdout.write("all is well")
