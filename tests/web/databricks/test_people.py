"""Who the caller is, as the Databricks SDK asks."""

from __future__ import annotations

import pytest

from accounts.actor import Actor
from accounts.models import Team
from accounts.services import people
from tests import make
from tests.web.databricks.conftest import Databricks

pytestmark = pytest.mark.django_db


def test_the_caller_is_told_in_scims_form_with_his_teams_and_the_workspaces_number(
    ci: Databricks, requester: Actor, administrator: Actor, outsider: Actor
) -> None:
    people.set_team(administrator, name="risk", usernames=["requester"])
    people.set_team(administrator, name="others", usernames=[])
    people.set_team(outsider, name="abroad", usernames=["requester"])
    answer = ci.get("preview/scim/v2/Me")
    assert answer.body == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(requester.user_id),
        "userName": "requester",
        "displayName": "requester",
        "active": True,
        "groups": [{"value": str(Team.objects.get(name="risk").pk), "display": "risk"}],
    }
    assert answer.headers["X-Databricks-Org-Id"] == str(make.workspace().pk)
