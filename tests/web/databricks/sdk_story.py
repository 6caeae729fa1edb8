"""A promotion as `databricks-sdk` tells it: asked for, listed, approved, rejected, deleted, refused; run by `test_sdk`.

sdk_story.py URL NAME   with VOUCH_CI_TOKEN, VOUCH_REVIEWER_TOKEN and VOUCH_ADMIN_TOKEN set; a policy holds models whose
                        name begins with "gated" until their auc is known. Exits with a trace when something fails.
"""

import os
import sys
import time

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied, ResourceConflict, Unauthenticated
from databricks.sdk.service.ml import ActivityAction, ActivityType, CommentActivityAction

url, name = sys.argv[1:]


def registry(token):
    return WorkspaceClient(host=url, token=token).model_registry


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
request = ci.create_transition_request(name, first, "Production", comment="please").request
assert (request.user_id, request.to_stage, request.comment) == ("ci", "Production", "please"), request
assert request.available_actions == [ActivityAction.CANCEL_TRANSITION_REQUEST], request
(listed,) = reviewer.list_transition_requests(name, first)
assert listed.activity_type == ActivityType.REQUESTED_TRANSITION, listed
assert (listed.from_stage, listed.to_stage, listed.user_id) == ("None", "Production", "ci"), listed
assert "1 more approval" in listed.system_comment, listed
refusal = refused(PermissionDenied, ci.approve_transition_request, name, first, "Production", False)
assert stage(first) == "None"
activity = reviewer.approve_transition_request(name, first, "Production", True, comment="fine").activity
assert (activity.activity_type, activity.user_id) == (ActivityType.APPROVED_REQUEST, "reviewer"), activity
assert stage(first) == "Production"
assert list(reviewer.list_transition_requests(name, first)) == []

# A rejection needs a reason; a deletion names who asked.
second = version()
ci.create_transition_request(name, second, "Production")
refusal = refused(BadRequest, reviewer.reject_transition_request, name, second, "Production")
assert refusal.get_error_details().bad_request.field_violations[0].field == "comment", refusal
activity = reviewer.reject_transition_request(name, second, "Production", comment="too slow").activity
assert (activity.activity_type, activity.comment) == (ActivityType.REJECTED_REQUEST, "too slow"), activity
ci.create_transition_request(name, second, "Production")
refused(NotFound, ci.delete_transition_request, name, second, "Production", "reviewer")
activity = ci.delete_transition_request(name, second, "Production", "ci", comment="never mind").activity
assert (activity.activity_type, activity.comment) == (ActivityType.CANCELLED_REQUEST, "never mind"), activity
refused(NotFound, reviewer.approve_transition_request, name, version(), "Production", False)
assert (stage(first), stage(second)) == ("Production", "None")

# Nobody approves what he asked for himself.
reviewer.create_transition_request(name, second, "Production")
refusal = refused(PermissionDenied, reviewer.approve_transition_request, name, second, "Production", False)
assert refusal.get_error_details().error_info.reason == "SELF_APPROVAL", refusal

# A transition with a comment: at once where nothing is asked for, else refused with what is missing.
moved = ci.transition_stage(name, second, "Staging", False, comment="try it").model_version_databricks
assert (moved.version, moved.current_stage) == (second, "Staging"), moved
assert [request.to_stage for request in moved.open_requests] == ["Production"], moved
refusal = refused(PermissionDenied, ci.transition_stage, name, second, "Production", True)
assert refusal.get_error_details().error_info.reason == "APPROVAL_MISSING", refusal
moved = admin.transition_stage(name, second, "Production", True, comment="urgent").model_version_databricks
assert moved.current_stage == "Production", moved
assert stage(first) == "Archived"

# A gate that holds is told by name, and an approval is not enough.
gated = f"gated {name}"
ci.create_model(gated)
held = version(gated)
refusal = refused(PermissionDenied, ci.transition_stage, gated, held, "Production", False)
details = refusal.get_error_details()
assert details.error_info.reason == "GATE_FAILED", details
assert "auc" in details.error_info.metadata["gates"], details
assert {violation.type for violation in details.precondition_failure.violations} == {"APPROVAL", "GATE"}, details
assert details.help.links[0].url.startswith(f"{url}/promotions/"), details
activity = reviewer.approve_transition_request(gated, held, "Production", False).activity
assert "auc" in activity.system_comment, activity
assert reviewer.approve_transition_request(gated, held, "Production", False).activity == activity
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

refused(Unauthenticated, registry("vch-" + "0" * 40).create_transition_request, name, first, "Staging")
sys.stdout.write("all is well")
