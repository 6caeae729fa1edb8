"""Comments on versions over the Databricks wire; what is a comment at all is tested with the service."""

from __future__ import annotations

import datetime

import pytest
import time_machine

from accounts.models import AuditEntry
from accounts.verbs import Verb
from registry.models import Comment, Version
from tests.web.databricks.conftest import Databricks, named

pytestmark = pytest.mark.django_db


def test_a_comment_is_told_as_the_wire_has_it(churn: Version, ci: Databricks, judge: Databricks) -> None:
    then = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    with time_machine.travel(then, tick=False):
        made = ci.post("mlflow/comments/create", named(comment="is it faster?")).body["comment"]
    assert made == {
        "id": str(Comment.objects.get().pk),
        "user_id": "requester",
        "comment": "is it faster?",
        "creation_timestamp": 1772366400000,
        "last_updated_timestamp": 1772366400000,
        "available_actions": ["EDIT_COMMENT", "DELETE_COMMENT"],
    }
    with time_machine.travel(then + datetime.timedelta(seconds=5), tick=False):
        edited = ci.post("mlflow/comments/update", {"id": made["id"], "comment": "better?"}, method="PATCH")
    assert edited.body["comment"] == {**made, "comment": "better?", "last_updated_timestamp": 1772366405000}
    by_query = ci.raw("DELETE", f"mlflow/comments/delete?id={made['id']}", b"", "application/octet-stream")
    by_body = ci.post("mlflow/comments/delete", {"id": made["id"]}, method="DELETE")
    assert (by_query.status, by_query.body, by_body.body) == (200, {}, {})
    assert Comment.objects.get().deleted_at


def test_a_comment_repeated_within_ten_minutes_is_one(churn: Version, ci: Databricks, judge: Databricks) -> None:
    def said(by: Databricks, words: str) -> str:
        return by.post("mlflow/comments/create", named(comment=words)).body["comment"]["id"]

    first = said(ci, "fine")
    assert said(ci, "fine") == first
    assert AuditEntry.objects.filter(verb=Verb.COMMENT_CREATED).count() == 1
    assert len({first, said(ci, "not fine"), said(judge, "fine")}) == 3
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=11)
    with time_machine.travel(later):
        assert said(ci, "fine") != first


@pytest.mark.parametrize("words", [None, "", " \n", 5, "a\0b", "x" * 10_001])
def test_words_that_will_not_do_are_a_400(churn: Version, ci: Databricks, words: object) -> None:
    answer = ci.post("mlflow/comments/create", named(comment=words))
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert not Comment.objects.exists()


@pytest.mark.parametrize("id", ["17", "01900000-0000-7000-8000-000000000000", "ü"])
def test_what_is_no_comment_is_404(churn: Version, ci: Databricks, id: str) -> None:
    answer = ci.post("mlflow/comments/update", {"id": id, "comment": "x"}, method="PATCH")
    assert (answer.status, answer.code) == (404, "RESOURCE_DOES_NOT_EXIST")
