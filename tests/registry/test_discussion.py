"""Comments, mentions, and asking people to review."""

from __future__ import annotations

import uuid

import pytest

from accounts.actor import Actor
from accounts.models import AuditEntry, User
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people
from core.errors import Denied, Refusal
from registry import errors, mentions
from registry.models import Comment, Promotion
from registry.policy import Scope
from registry.services import discussion, policies, promotions
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def promotion(requester: Actor) -> Promotion:
    make.model(requester)
    make.version(requester)
    return promotions.request(requester, "churn", 1, "Production")


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("-id").values_list("verb", flat=True)[:1])


def mentioned(comment: Comment) -> list[str]:
    return sorted(comment.mentions.values_list("username", flat=True))


# --- Mentions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("@kim look", ["kim"]),
        ("(@Kim), @lee", ["kim", "lee"]),
        ("ask @kim.", ["kim.", "kim"]),
        ("kim@example.com", []),
        ("@", []),
        ("@@kim", ["@kim"]),
        ("@kim @KIM", ["kim"]),
    ],
)
def test_what_could_be_a_username(words: str, names: list[str]) -> None:
    assert mentions.names_in(words) == names


def test_a_text_is_marked_where_it_mentions_and_nothing_of_it_is_lost() -> None:
    words = "Hi @Kim., mail kim@lee or @nobody"
    assert mentions.marked(words, ["kim"]) == [
        ("Hi ", False),
        ("@Kim", True),
        ("., mail kim@lee or @nobody", False),
    ]
    assert mentions.marked("@kim", []) == [("@kim", False)]


def test_whoever_cannot_see_the_model_is_not_mentioned_nor_told_apart_from_nobody(
    promotion: Promotion, requester: Actor, reviewer: Actor, outsider: Actor
) -> None:
    make.actor("roleless")
    gone = make.actor("gone", Role.VIEWER)
    User.objects.filter(pk=gone.user_id).update(is_active=False)
    guest = make.actor("guest")
    people.give(
        system_actor(make.workspace()), Role.VIEWER, user=User.objects.get(username="guest"),
        model_id=promotion.model_id,
    )  # fmt: skip
    said = discussion.comment(requester, "churn", 1, "@Reviewer. @outsider @roleless @gone @nobody @vouch @guest")
    assert mentioned(said) == ["guest", "reviewer"]
    assert guest.user_id in said.mentions.values_list("pk", flat=True)
    entry = AuditEntry.objects.get(verb="comment.created")
    assert entry.data["mentions"] == ["guest", "reviewer"]


def test_a_comment_mentions_twenty_people_at_most(promotion: Promotion, requester: Actor) -> None:
    home = system_actor(make.workspace())
    names = [f"user-{n}" for n in range(21)]
    for name in names:
        people.give(home, Role.VIEWER, user=User.objects.create(username=name))
    with pytest.raises(errors.TooManyMentions):
        discussion.comment(requester, "churn", 1, " ".join(f"@{name}" for name in names))
    assert len(mentioned(discussion.comment(requester, "churn", 1, " ".join(f"@{n}" for n in names[1:])))) == 20


# --- Comments ---------------------------------------------------------------------------------------------------------


def test_only_the_author_changes_a_comment_and_a_maintainer_may_delete_it(
    promotion: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    said = discussion.comment(reviewer, "churn", 1, "hello @maintainer", promotion=promotion.pk)
    for other in (requester, maintainer):
        with pytest.raises(errors.NotYourComment):
            discussion.edit(other, said.pk, "I never said so")
    with pytest.raises(errors.NotYourComment):
        discussion.delete(requester, said.pk)
    changed = discussion.edit(reviewer, said.pk, "hello @requester")
    assert (changed.text, mentioned(changed)) == ("hello @requester", ["requester"])
    assert changed.edited_at
    assert verbs() == ["comment.updated"]
    before = AuditEntry.objects.count()
    discussion.edit(reviewer, said.pk, "hello @requester")
    assert AuditEntry.objects.count() == before
    discussion.delete(maintainer, said.pk)
    assert verbs() == ["comment.deleted"]
    discussion.delete(reviewer, said.pk)
    assert AuditEntry.objects.count() == before + 1
    with pytest.raises(errors.CommentDeleted):
        discussion.edit(reviewer, said.pk, "back again")


def test_who_may_only_look_says_nothing_and_others_find_nothing(
    promotion: Promotion, requester: Actor, viewer: Actor, outsider: Actor
) -> None:
    said = discussion.comment(requester, "churn", 1, "x")
    with pytest.raises(Denied):
        discussion.comment(viewer, "churn", 1, "x")
    with pytest.raises(errors.ModelNotFound):
        discussion.comment(outsider, "churn", 1, "x")
    for act in (lambda: discussion.edit(outsider, said.pk, "y"), lambda: discussion.delete(outsider, said.pk)):
        with pytest.raises(errors.CommentNotFound):
            act()


@pytest.mark.parametrize("words", ["", " \n", "a" * 10_001, "\0", None, 7])
def test_words_that_will_not_do_are_refused(words: object, promotion: Promotion, requester: Actor) -> None:
    with pytest.raises(Refusal) as refused:
        discussion.comment(requester, "churn", 1, words)
    assert refused.value.at_field == "text"
    assert not Comment.objects.exists()


def test_a_comment_belongs_to_a_promotion_of_that_very_version(promotion: Promotion, requester: Actor) -> None:
    make.version(requester)
    for other in (promotion.pk, uuid.uuid4()):
        with pytest.raises(errors.PromotionNotFound):
            discussion.comment(requester, "churn", 2, "x", promotion=other)


def test_an_event_carries_the_beginning_of_a_long_comment(promotion: Promotion, requester: Actor) -> None:
    discussion.comment(requester, "churn", 1, "a" * 10_000, promotion=promotion.pk)
    data = AuditEntry.objects.get(verb="comment.created").data
    assert (len(data["text"]), data["version"], data["promotion"]) == (1000, 1, str(promotion.pk))


# --- Asking for a review ----------------------------------------------------------------------------------------------


def asked(promotion: Promotion) -> list[str]:
    return sorted(promotion.review_requests.values_list("reviewer__username", flat=True))


def test_those_who_asked_for_it_and_those_who_review_ask_people(
    promotion: Promotion, requester: Actor, reviewer: Actor, second_reviewer: Actor, viewer: Actor
) -> None:
    other = make.actor("other", Role.CONTRIBUTOR)
    with pytest.raises(errors.NotYoursToAsk):
        discussion.request_review(other, promotion.pk, ["reviewer"])
    with pytest.raises(Denied):
        discussion.request_review(viewer, promotion.pk, ["reviewer"])
    discussion.request_review(requester, promotion.pk, ["Reviewer"])
    assert AuditEntry.objects.get(verb="promotion.review_requested").data["asked"] == ["reviewer"]
    discussion.request_review(second_reviewer, promotion.pk, ["reviewer"])  # is asked already
    assert AuditEntry.objects.filter(verb="promotion.review_requested").count() == 1
    promotions.request(other, "churn", 1, "Production")  # asks for it too, so he may
    discussion.request_review(other, promotion.pk, ["second-reviewer"])
    assert asked(promotion) == ["reviewer", "second-reviewer"]
    discussion.unask(reviewer, promotion.pk, "REVIEWER")
    assert asked(promotion) == ["second-reviewer"]
    entry = AuditEntry.objects.filter(verb="promotion.review_requested").latest("id")
    assert entry.data["unasked"] == ["reviewer"]
    before = AuditEntry.objects.count()
    with pytest.raises(errors.NotAsked):
        discussion.unask(reviewer, promotion.pk, "reviewer")
    assert AuditEntry.objects.count() == before


def test_who_cannot_review_it_is_not_asked_and_nobody_with_him(
    promotion: Promotion, requester: Actor, reviewer: Actor, viewer: Actor, outsider: Actor, maintainer: Actor
) -> None:
    told = []
    for name in ("viewer", "outsider", "nonesuch"):
        with pytest.raises(errors.NoSuchReviewer) as refused:
            discussion.request_review(requester, promotion.pk, ["reviewer", name])
        told.append(refused.value.message.replace(name, "NAME"))
    assert len(set(told)) == 1  # whether there is such a user is nobody's business
    promotions.request(maintainer, "churn", 1, "Production")
    with pytest.raises(errors.CannotReview, match="'maintainer' cannot be asked: they asked for it too"):
        discussion.request_review(requester, promotion.pk, ["reviewer", "maintainer"])
    people.set_team(maintainer, name="builders", usernames=["reviewer"])
    policies.write(maintainer, Scope(), "Production", {"excluded_teams": ["builders"]})
    with pytest.raises(errors.CannotReview, match="leaves out the team builders, which they are in"):
        discussion.request_review(requester, promotion.pk, ["reviewer"])
    assert asked(promotion) == []


def test_a_promotion_that_is_decided_asks_nobody(promotion: Promotion, requester: Actor, reviewer: Actor) -> None:
    promotions.withdraw(requester, promotion.pk)
    with pytest.raises(errors.PromotionClosed):
        discussion.request_review(requester, promotion.pk, ["reviewer"])


def test_twenty_people_are_asked_at_most(promotion: Promotion, requester: Actor) -> None:
    home = system_actor(make.workspace())
    names = [f"user-{n}" for n in range(21)]
    for name in names:
        people.give(home, Role.REVIEWER, user=User.objects.create(username=name))
    discussion.request_review(requester, promotion.pk, names[:15])
    for more in (names[15:], names):
        with pytest.raises(errors.TooManyReviewers):
            discussion.request_review(requester, promotion.pk, more)
    discussion.request_review(requester, promotion.pk, names[:20])
    assert len(asked(promotion)) == 20
