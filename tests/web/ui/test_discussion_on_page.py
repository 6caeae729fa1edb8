"""The page of a promotion: gates and checks, what is said, who is asked to review, and opening it again."""

from __future__ import annotations

import re
import uuid

import pytest

from accounts.actor import Actor
from accounts.models import User
from registry.lifecycle import State
from registry.models import Comment, Promotion
from registry.policy import Scope
from registry.services import checks, discussion, policies, promotions
from tests import make
from tests.web.ui.conftest import signed_in, text_of

pytestmark = pytest.mark.django_db


def test_gates_and_checks_are_shown_and_who_carried_it_out(
    asked: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    gate = {"gate": "required_checks", "names": ["tests"]}
    policies.write(maintainer, Scope(), "Production", {"approvals": 1, "gates": [gate]})
    client = signed_in(reviewer)
    assert "No job has reported a check on this version." in text_of(client.get(asked.page))
    checks.report(
        requester, "churn", 2, check="tests", state="failed", summary="2 of 80", link="https://ci.example/9",
        values={"auc": 0.93},
    )  # fmt: skip
    page = client.get(asked.page)
    assert "checks tests passed fails the check tests has failed: 2 of 80" in text_of(page)
    assert "tests failed 2 of 80 https://ci.example/9 1 value auc 0.93 just now by requester" in text_of(page)
    assert '<a href="https://ci.example/9" rel="noopener noreferrer nofollow">' in page.content.decode()
    assert "tests failed 2 of 80" in text_of(client.get("/models/churn/versions/2"))
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    checks.report(requester, "churn", 2, check="tests", state="passed")
    page = text_of(client.get(asked.page))
    assert "the check tests passed, and nothing was missing any more" in page
    assert "requester carried it out" in page


def test_people_say_something_change_it_and_take_it_back(
    asked: Promotion, requester: Actor, reviewer: Actor, viewer: Actor, maintainer: Actor
) -> None:
    client = signed_in(reviewer)
    response = client.post(asked.page, {"act": "comment", "text": "what about drift, @requester?"})
    assert response["Location"] == f"{asked.page}#discussion"
    assert '<b class="mention"><bdi>@requester</bdi></b>?' in client.get(asked.page).content.decode()
    said = Comment.objects.get()
    assert said.promotion_id == asked.pk
    refused = client.post(asked.page, {"act": "comment", "text": "  "})
    assert (refused.status_code, "A comment has to say something" in text_of(refused)) == (400, True)
    too_long = client.post(asked.page, {"act": "edit-comment", "comment_id": said.pk, "text": "kept " * 3000})
    assert (too_long.status_code, "kept kept" in text_of(too_long)) == (400, True)
    client.post(asked.page, {"act": "edit-comment", "comment_id": said.pk, "text": "never mind"})
    assert "never mind" in text_of(client.get(asked.page))
    for other in (viewer, requester):
        others = signed_in(other)
        assert 'value="edit-comment"' not in others.get(asked.page).content.decode()
        for act in ("edit-comment", "delete-comment"):
            assert others.post(asked.page, {"act": act, "comment_id": said.pk, "text": "x"}).status_code == 403
    assert signed_in(viewer).post(asked.page, {"act": "comment", "text": "x"}).status_code == 403
    assert client.post(asked.page, {"act": "delete-comment", "comment_id": "nonsense"}).status_code == 404
    signed_in(maintainer).post(asked.page, {"act": "delete-comment", "comment_id": said.pk})
    page = text_of(client.get(asked.page))
    assert "This comment was deleted." in page
    assert "never mind" not in page


def test_many_comments_come_in_pages_the_newest_first(asked: Promotion, requester: Actor, reviewer: Actor) -> None:
    author = User.objects.get(pk=requester.user_id)
    for n in range(60):
        # By their ids, as they are ordered: several fall into one millisecond here.
        Comment.objects.create(id=uuid.UUID(int=n), version=asked.version, author=author, text=f"comment-{n:02}")
    client = signed_in(reviewer)
    first = client.get(asked.page)
    assert re.findall(r"comment-(\d\d)<", first.content.decode()) == [f"{n:02}" for n in range(10, 60)]
    earlier = re.search(r'rel="next" href="(\?page=[^"]+)"', first.content.decode())
    assert earlier
    second = client.get(asked.page + earlier[1])
    assert re.findall(r"comment-(\d\d)<", second.content.decode()) == [f"{n:02}" for n in range(10)]
    assert client.get(asked.page + "?page=forged").status_code == 400


def test_a_reviewer_is_asked_on_the_page_or_it_says_why_not(
    asked: Promotion, requester: Actor, reviewer: Actor, viewer: Actor
) -> None:
    client = signed_in(requester)
    assert 'value="ask"' not in signed_in(viewer).get(asked.page).content.decode()
    refused = client.post(asked.page, {"act": "ask", "reviewers": "reviewer, viewer"})
    assert refused.status_code == 400
    assert "&#x27;viewer&#x27; cannot be asked: nobody of that name holds a role" in text_of(refused)
    assert 'value="reviewer, viewer"' in refused.content.decode()
    page = client.post(asked.page, {"act": "ask", "reviewers": "@reviewer"}, follow=True)
    assert "Asked to review it reviewer by requester" in text_of(page)
    assert client.post(asked.page, {"act": "unask", "reviewer": "reviewer"}).status_code == 302
    assert not asked.review_requests.exists()


def test_a_rejected_promotion_is_opened_again_and_tells_what_was(
    asked: Promotion, requester: Actor, reviewer: Actor, viewer: Actor
) -> None:
    assert 'value="reopen"' not in signed_in(requester).get(asked.page).content.decode()
    promotions.reject(reviewer, asked.pk, reason="it leaks the label")
    assert 'value="reopen"' not in signed_in(viewer).get(asked.page).content.decode()
    client = signed_in(requester)
    assert client.post(asked.page, {"act": "reopen", "reason": ""}).status_code == 400
    page = client.post(asked.page, {"act": "reopen", "reason": "not any more"}, follow=True)
    assert "is open again." in text_of(page)
    asked.refresh_from_db()
    assert asked.state == State.OPEN
    assert re.search(
        "requester asked for it .*reviewer rejected it .*it leaks the label .*requester opened it again .*not any more",
        text_of(page),
    )


@pytest.mark.parametrize(
    "looked_at", ["", "null", "[]", '{"a": NaN}', '{"a": "\\ud800"}', '{"a": 1e999}', "[" * 50_000, "{}", "\0"]
)
def test_evidence_that_the_form_never_held_breaks_nothing(looked_at: str, asked: Promotion, reviewer: Actor) -> None:
    sent = {"act": "approve", "evidence": "0" * 64, "looked_at": looked_at}
    response = signed_in(reviewer).post(asked.page, sent)
    assert response.status_code == 409
    assert "Nothing was approved" in text_of(response)


def test_a_comment_elsewhere_is_not_reached_from_here(asked: Promotion, outsider: Actor, requester: Actor) -> None:
    said = discussion.comment(requester, "churn", 2, "ours")
    make.model(outsider, "theirs")
    make.version(outsider, "theirs")
    theirs = promotions.request(outsider, "theirs", 1, "Production")
    response = signed_in(outsider).post(theirs.page, {"act": "delete-comment", "comment_id": said.pk})
    assert response.status_code == 404
    assert not Comment.objects.filter(deleted_at__isnull=False).exists()
