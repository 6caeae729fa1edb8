"""Who is told of what: by his part in it or his wish, never of his own deeds, never of what he may not see."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import Grant, User, UserKind
from accounts.queries import session_actor, system_actor
from accounts.roles import Role
from accounts.services import people
from registry.models import Bookmark, Notification, Webhook
from registry.models.webhooks import Disabled
from registry.policy import Scope
from registry.services import catalog, discussion, notices, policies, promotions, recording, subscriptions
from tests import make
from tests.registry.notified import MAIL_SERVER, reachable, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def begun(request: pytest.FixtureRequest, settings: Any, db: None) -> None:
    """Mail is on, everybody of the cast can be reached, and the log is followed from here on."""
    settings.VOUCH_EMAIL_URL = MAIL_SERVER
    cast = ("requester", "reviewer", "second_reviewer", "viewer", "maintainer")
    reachable(*(request.getfixturevalue(name) for name in cast))
    notices.note()


def asked(requester: Actor) -> Any:
    """churn v1, asked for Production."""
    make.model(requester)
    return promotions.request(requester, "churn", make.version(requester).number, "Production")


def test_the_first_start_begins_at_the_present_end(requester: Actor, viewer: Actor) -> None:
    Bookmark.objects.all().delete()
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    make.version(requester)
    assert told() == []
    make.version(requester)
    assert told() == [("viewer", "version.registered", "follower")]


def test_a_reviewer_is_told_that_he_is_asked_and_what_became_of_it(
    requester: Actor, reviewer: Actor, second_reviewer: Actor
) -> None:
    promotion = asked(requester)
    discussion.request_review(requester, promotion.pk, ["reviewer"])
    promotions.reject(second_reviewer, promotion.pk, reason="it drifts")
    assert told() == [
        ("reviewer", "promotion.review_requested", "reviewer"),
        ("requester", "promotion.rejected", "requester"),
        ("reviewer", "promotion.rejected", "reviewer"),
    ]


def test_who_is_asked_no_more_is_told_no_more(requester: Actor, reviewer: Actor, second_reviewer: Actor) -> None:
    promotion = asked(requester)
    discussion.request_review(requester, promotion.pk, ["reviewer"])
    discussion.unask(requester, promotion.pk, "reviewer")
    promotions.reject(second_reviewer, promotion.pk, reason="it drifts")
    assert ("reviewer", "promotion.rejected", "reviewer") not in told()


def test_an_approval_that_carries_it_out_is_one_message(requester: Actor, reviewer: Actor, viewer: Actor) -> None:
    promotion = asked(requester)
    subscriptions.follow(viewer, "churn")
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert told() == [
        ("viewer", "version.registered", "follower"),
        ("viewer", "promotion.requested", "follower"),
        ("requester", "promotion.promoted", "requester"),
        ("viewer", "promotion.promoted", "follower"),
    ]


def test_an_approval_that_is_not_the_last_is_told(maintainer: Actor, requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    policies.write(maintainer, Scope(model="churn"), "Production", {"approvals": 2})
    promotion = promotions.request(requester, "churn", make.version(requester).number, "Production")
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    assert told() == [("requester", "promotion.approved", "requester")]


def test_a_direct_move_is_one_message_and_one_to_the_archive_none(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    make.version(requester)
    subscriptions.follow(viewer, "churn")
    notices.note()
    Notification.objects.all().delete()
    promotions.request(requester, "churn", 1, "Staging")
    promotions.request(requester, "churn", 1, "Archived")
    assert told() == [("viewer", "promotion.promoted", "follower")]


def test_nobody_is_told_of_his_own_deeds(requester: Actor, reviewer: Actor) -> None:
    for actor in (requester, reviewer):
        make.model(requester, f"of-{actor.username}")
        subscriptions.follow(actor, f"of-{actor.username}")
        make.version(requester, f"of-{actor.username}")
    promotion = promotions.request(requester, "of-requester", 1, "Production", comment="mine")
    discussion.comment(requester, "of-requester", 1, "@requester, remember", promotion=promotion.pk)
    promotions.withdraw(requester, promotion.pk)
    assert told() == [("reviewer", "version.registered", "follower")]


def test_one_person_gets_one_message_for_the_weightiest_of_his_reasons(requester: Actor, reviewer: Actor) -> None:
    promotion = asked(requester)
    subscriptions.follow(requester, "churn")
    discussion.comment(reviewer, "churn", 1, "why, @requester?", promotion=promotion.pk)
    promotions.reject(reviewer, promotion.pk, reason="no answer")
    assert told() == [
        ("requester", "comment.created", "mentioned"),
        ("requester", "promotion.rejected", "requester"),
    ]


def test_an_edited_comment_tells_only_those_whom_it_did_not_mention_before(
    requester: Actor, reviewer: Actor, viewer: Actor
) -> None:
    make.model(requester)
    make.version(requester)
    comment = discussion.comment(reviewer, "churn", 1, "look, @requester")
    notices.note()
    discussion.edit(reviewer, comment.pk, "look here, @requester and @viewer")
    assert told() == [
        ("requester", "comment.created", "mentioned"),
        ("viewer", "comment.updated", "mentioned"),
    ]


def test_nobody_is_told_who_cannot_see_the_model_any_more(
    requester: Actor, reviewer: Actor, viewer: Actor, second_reviewer: Actor
) -> None:
    promotion = asked(requester)
    discussion.request_review(requester, promotion.pk, ["reviewer", "second-reviewer"])
    subscriptions.follow(viewer, "churn")
    notices.note()
    Notification.objects.all().delete()
    Grant.objects.filter(user_id__in=(reviewer.user_id, viewer.user_id)).delete()
    User.objects.filter(pk=second_reviewer.user_id).update(is_active=False)
    third = make.actor("third", Role.REVIEWER)
    promotions.reject(third, promotion.pk, reason="it drifts")
    assert told() == [("requester", "promotion.rejected", "requester")]


def test_of_a_deleted_model_nothing_is_told(requester: Actor, viewer: Actor, maintainer: Actor) -> None:
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    make.version(requester)
    catalog.delete_model(maintainer, "churn")
    assert told() == []


def test_a_muted_model_is_silent_though_one_is_asked_by_name(requester: Actor, reviewer: Actor, viewer: Actor) -> None:
    promotion = asked(requester)
    subscriptions.follow(reviewer, "churn", muted=True)
    subscriptions.change(viewer, muted=True)
    subscriptions.follow(viewer, "churn")
    discussion.request_review(requester, promotion.pk, ["reviewer"])
    discussion.comment(requester, "churn", 1, "@reviewer @viewer")
    assert told() == []


def test_what_concerns_a_service_account_goes_to_who_answers_for_it(reviewer: Actor, maintainer: Actor) -> None:
    ci = make.actor("ci", Role.CONTRIBUTOR, kind=UserKind.SERVICE)
    User.objects.filter(pk=ci.user_id).update(responsible_id=maintainer.user_id)
    promotion = asked(ci)
    promotions.reject(reviewer, promotion.pk, reason="it drifts")
    assert told() == [("maintainer", "promotion.rejected", "requester")]


def test_the_owner_is_told_that_his_webhook_was_disabled_while_he_may_manage_it(
    requester: Actor, maintainer: Actor, viewer: Actor
) -> None:
    model = make.model(requester)
    for owner, about in ((maintainer, model), (maintainer, None), (viewer, model), (viewer, None)):
        webhook = Webhook.objects.create(
            workspace_id=owner.workspace_id, model=about, url="https://x.example", owner_id=owner.user_id
        )
        recording.disable(webhook, Disabled.FAILING)
    assert told() == [("maintainer", "webhook.disabled", "owner")] * 2


def test_without_an_address_or_a_mail_server_no_mail_is_owed(requester: Actor, viewer: Actor, settings: Any) -> None:
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    settings.VOUCH_EMAIL_URL = ""
    make.version(requester)
    assert told() == []
    settings.VOUCH_EMAIL_URL = MAIL_SERVER
    User.objects.filter(pk=viewer.user_id).update(email="")
    make.version(requester)
    assert told() == []


def test_following_the_log_takes_as_many_queries_for_many_entries_as_for_few(requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    counts = []
    for times in (1, 6):
        for _ in range(times):
            version = make.version(requester)
            promotion = promotions.request(requester, "churn", version.number, "Production")
            person = make.actor(f"person-{promotion.pk}", Role.REVIEWER)
            reachable(person)
            subscriptions.follow(person, "churn")
            discussion.request_review(requester, promotion.pk, ["reviewer", person.username])
            words = f"@requester @{person.username}"
            discussion.comment(reviewer, "churn", version.number, words, promotion=promotion.pk)
            promotions.reject(reviewer, promotion.pk, reason="no")
        with CaptureQueriesContext(connection) as queries:
            assert notices.note()
        counts.append(len(queries))
    assert counts[0] == counts[1], counts


@pytest.mark.django_db(transaction=True)
def test_two_who_follow_the_log_at_once_owe_nothing_twice_and_miss_nothing(
    requester: Actor, viewer: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    for actor in (viewer, maintainer):
        subscriptions.follow(actor, "churn")
    going = threading.Event()
    going.set()

    def follow() -> None:
        while going.is_set():
            notices.note()
        connection.close()

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        make.version(requester)
    going.clear()
    for thread in threads:
        thread.join()
    assert len(told()) == len(set(Notification.objects.values_list("user", "entry"))) == 30


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_told_to_nobody(requester: Actor, viewer: Actor) -> None:
    make.model(requester)
    subscriptions.follow(viewer, "churn")
    with transaction.atomic():
        make.version(requester)
        transaction.set_rollback(True)
    assert told() == []


def test_grants_by_a_team_and_for_one_model_count(requester: Actor) -> None:
    model = make.model(requester)
    operator = system_actor(make.workspace())
    guest = make.actor("guest")
    make.actor("member")
    people.give(operator, Role.VIEWER, user=User.objects.get(pk=guest.user_id), model_id=model.pk)
    team = people.set_team(make.actor("boss", Role.ADMINISTRATOR), name="risk", usernames=["member"])
    people.give(operator, Role.VIEWER, team=team)
    for name in ("guest", "member"):
        actor = session_actor(User.objects.get(username=name), make.workspace())
        reachable(actor)
        subscriptions.follow(actor, "churn")
    make.version(requester)
    assert [name for name, _, _ in told()] == ["guest", "member"]
