"""Nobody vouches for his own work: every way round it that we could think of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.actor import Actor
from accounts.models import User, UserKind
from accounts.queries import session_actor
from accounts.roles import Role, Scope
from accounts.services import people, tokens
from lineage.services import artifacts
from lineage.services.artifacts import Place
from registry import errors
from registry.lifecycle import State
from registry.models import Promotion
from registry.policy import Scope as PolicyScope
from registry.queries import find_version
from registry.services import catalog, policies, promotions
from registry.services.catalog import Origin
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def author() -> Actor:
    """Somebody who may do everything, which does not help."""
    return make.actor("author", Role.CONTRIBUTOR, Role.REVIEWER, Role.MAINTAINER, Role.ADMINISTRATOR)


@pytest.fixture
def colleague() -> Actor:
    return make.actor("colleague", Role.CONTRIBUTOR)


def asked(who: Actor) -> Promotion:
    return promotions.request(who, "churn", 1, "Production")


def bot_of(author: Actor, *roles: Role) -> Actor:
    """A service account for which the author answers."""
    bot = make.actor("bot", *roles, kind=UserKind.SERVICE)
    User.objects.filter(pk=bot.user_id).update(responsible=author.user_id)
    return bot


def own_request(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(colleague)
    return asked(author), author


def own_registration(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(author)
    return asked(colleague), author


def own_upload(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    """Into the folder of a run, which somebody else registers."""
    from lineage.services import experiments, runs

    make.model(colleague)
    run = runs.create(colleague, experiments.default(colleague), tags={})
    artifacts.upload(author, Place(run=run), "model/model.bin", [b"weights"])
    origin = Origin(source=f"runs:/{run.pk.hex}/model", place=Place(run=run), path="model", run=run, run_ref=run.pk.hex)
    catalog.register_version(colleague, "churn", origin)
    return asked(colleague), author


def own_token(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(colleague)
    return asked(make.by_token(author, *Scope)), author


def second_token(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(make.by_token(author, *Scope))
    return asked(colleague), make.by_token(author, Scope.READ, Scope.REVIEW)


def token_made_for_a_bot(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    """The author makes a token for a service account that somebody else answers for, and uses it."""
    make.model(colleague)
    make.version(colleague)
    bot = make.actor("bot", Role.CONTRIBUTOR, kind=UserKind.SERVICE)
    User.objects.filter(pk=bot.user_id).update(responsible=colleague.user_id)
    issued = tokens.create(author, name="borrowed", scopes=list(Scope), owner=User.objects.get(pk=bot.user_id))
    return asked(tokens.authenticate(issued.plain, address=None, request_id="")), author


def asks_by_a_bot_of_his(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(colleague)
    return asked(bot_of(author, Role.CONTRIBUTOR)), author


def approves_by_a_bot_of_his(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(author)
    return asked(colleague), bot_of(author, Role.REVIEWER)


def somebody_asks_again_by_a_token_that_he_made(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(colleague)
    promotion = asked(colleague)
    bot = make.actor("bot", Role.CONTRIBUTOR, kind=UserKind.SERVICE)
    User.objects.filter(pk=bot.user_id).update(responsible=colleague.user_id)
    issued = tokens.create(author, name="borrowed", scopes=list(Scope), owner=User.objects.get(pk=bot.user_id))
    asked(tokens.authenticate(issued.plain, address=None, request_id=""))
    return promotion, author


def asks_for_what_is_asked_already(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(colleague)
    promotion = asked(colleague)
    asked(author)
    return promotion, author


def reopens_it(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(colleague)
    promotion = asked(colleague)
    promotions.withdraw(colleague, promotion.pk)
    return promotions.reopen(author, promotion.pk, reason="again"), author


def copies_it(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(author, "draft")
    original = make.version(author, "draft")
    make.model(colleague)
    catalog.register_version(colleague, "churn", Origin(source="models:/draft/1", copy_of=original))
    return asked(colleague), author


def under_another_name(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    """The account is renamed after it registered: it is the same person."""
    make.model(colleague)
    make.version(author)
    User.objects.filter(pk=author.user_id).update(username="nobody-you-know")
    return asked(colleague), session_actor(User.objects.get(pk=author.user_id), make.workspace())


def after_the_model_was_renamed(author: Actor, colleague: Actor) -> tuple[Promotion, Actor]:
    make.model(colleague)
    make.version(author)
    promotion = asked(colleague)
    catalog.rename_model(make.actor("renamer", Role.MAINTAINER), "churn", "churn-renamed")
    return promotion, author


WAYS = [
    own_request,
    own_registration,
    own_upload,
    own_token,
    second_token,
    token_made_for_a_bot,
    asks_by_a_bot_of_his,
    approves_by_a_bot_of_his,
    asks_for_what_is_asked_already,
    somebody_asks_again_by_a_token_that_he_made,
    reopens_it,
    copies_it,
    under_another_name,
    after_the_model_was_renamed,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nobody_approves_or_rejects_his_own_work(
    author: Actor, colleague: Actor, way: Callable[[Actor, Actor], tuple[Promotion, Actor]]
) -> None:
    promotion, again = way(author, colleague)
    assert promotion.state == State.OPEN
    with pytest.raises(errors.SelfApproval):
        promotions.approve(again, promotion.pk, evidence=make.evidence(promotion))
    with pytest.raises(errors.SelfApproval):
        promotions.reject(again, promotion.pk, reason="mine, and I do not like it")
    promotion.refresh_from_db()
    assert (promotion.state, promotion.approvals.count()) == (State.OPEN, 0)


def test_an_approval_does_not_count_once_its_giver_takes_part(
    author: Actor, colleague: Actor, administrator: Actor
) -> None:
    """He approves first, and asks for it afterwards: the order does not matter."""
    policies.write(administrator, PolicyScope(), "Production", {"approvals": 2})
    make.model(colleague)
    make.version(colleague)
    promotion = asked(colleague)
    promotions.approve(author, promotion.pk, evidence=make.evidence(promotion))
    assert make.outlook_of(promotion).lacking == 1
    asked(author)
    assert make.outlook_of(promotion).lacking == 2


def test_administrators_cannot_approve_their_own_but_bypass_is_seen(author: Actor, colleague: Actor) -> None:
    promotion, _ = own_request(author, colleague)
    done = promotions.bypass(author, promotion.pk, reason="the old one is broken")
    assert (done.state, done.bypass, done.to_review) == (State.PROMOTED, True, True)
    assert find_version(author, "churn", 1).stage == "Production"


def test_a_role_given_to_oneself_does_not_help(administrator: Actor) -> None:
    maintainer = make.actor("keeper", Role.MAINTAINER)
    make.model(maintainer)
    make.version(maintainer)
    promotion = asked(maintainer)
    people.give(maintainer, Role.REVIEWER, user=User.objects.get(username="keeper"))
    with pytest.raises(errors.SelfApproval):
        promotions.approve(make.actor("keeper"), promotion.pk, evidence=make.evidence(promotion))
