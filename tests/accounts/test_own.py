"""What a person changes of his own account."""

from __future__ import annotations

import pytest

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from accounts.services import own, people
from core.errors import Invalid
from tests import make

pytestmark = pytest.mark.django_db
NEW = "an even longer password"


def test_a_password_is_changed_by_who_knows_the_present_one(viewer: Actor) -> None:
    with pytest.raises(own.WrongPassword):
        own.change_password(viewer, "not it", NEW)
    with pytest.raises(own.SamePassword):
        own.change_password(viewer, make.PASSWORD, make.PASSWORD)
    with pytest.raises(people.WeakPassword):
        own.change_password(viewer, make.PASSWORD, "short")
    assert User.objects.get(username="viewer").check_password(make.PASSWORD)
    own.change_password(viewer, make.PASSWORD, NEW)
    assert User.objects.get(username="viewer").check_password(NEW)
    assert AuditEntry.objects.latest("id").data == {"changed": "password"}


def test_a_token_changes_nothing_of_its_owner(viewer: Actor) -> None:
    token = make.by_token(viewer)
    with pytest.raises(people.NotByToken):
        own.change_password(token, make.PASSWORD, NEW)
    with pytest.raises(people.NotByToken):
        own.change_name(token, "somebody")


def test_a_name_is_changed_and_recorded(viewer: Actor) -> None:
    own.change_name(viewer, "Vera Ünal")
    assert User.objects.get(username="viewer").display_name == "Vera Ünal"
    assert AuditEntry.objects.latest("id").verb == "user.updated"
    for bad in ("x" * 256, "two\nlines", "nul\0"):
        with pytest.raises(Invalid):
            own.change_name(viewer, bad)
