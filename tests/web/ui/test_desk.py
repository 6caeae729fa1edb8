"""The reviewer's desk: lanes and filters, limits, packages and columns, who is affected, what changed meanwhile."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import Team, User
from accounts.queries import system_actor
from accounts.roles import Role
from accounts.services import people
from core.canonical import digest
from lineage.services import experiments, manifests, metrics, runs
from lineage.services.artifacts import Place, upload
from registry.models import Promotion, Version, Webhook
from registry.policy import Scope
from registry.services import catalog, checks, policies, promotions
from registry.services.catalog import Origin
from tests import make
from tests.web.ui.conftest import signed_in, text_of, trained
from tests.web.ui.test_queue import queued

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script> \u202e"><img src=x onerror=alert(1)> {{ 7 }} & '


def gated(maintainer: Actor, *gates: dict[str, Any], name: str = "churn") -> None:
    policies.write(maintainer, Scope(model=name), "Production", {"approvals": 1, "gates": list(gates)})


def with_files(owner: Actor, files: dict[str, bytes], *, description: str = "", **logged: float) -> Version:
    """The next version of churn, from a run that logged these metrics; somebody has looked into its files."""
    run = runs.create(owner, experiments.default(owner), tags={})
    runs.log(owner, run.pk.hex, metrics=[metrics.Point(key, value, 1) for key, value in logged.items()])
    place = Place(upload_name=run.pk.hex)
    for path, data in files.items():
        upload(owner, place, path, [data])
    origin = Origin(source=f"runs:/{run.pk.hex}/model", place=place, run=run, run_ref=run.pk.hex)
    version = catalog.register_version(owner, "churn", origin, description=description).version
    assert version.manifest
    manifests.inspect(version.manifest)
    return version


def mlmodel(*columns: tuple[str, str]) -> bytes:
    inputs = json.dumps([{"name": name, "type": kind, "required": True} for name, kind in columns])
    return f"flavors: {{}}\nsignature:\n  inputs: '{inputs}'\n".encode()


# --- The queue --------------------------------------------------------------------------------------------------------


def test_what_a_gate_holds_is_blocked_until_the_gate_passes(
    asked: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    make.model(requester, "fraud")
    trained(requester, "fraud")
    gated(maintainer, {"gate": "required_checks", "names": ["bias"]}, name="fraud")
    promotions.request(requester, "fraud", 1, "Production")
    client = signed_in(requester)
    assert (queued(client, "blocked"), queued(client, "waiting")) == (["fraud"], ["churn"])
    page = client.get("/reviews?show=blocked")
    assert "Blocked 1" in text_of(page)
    assert "held by 1 gate" in text_of(page)
    assert "Needs checks bias passed: nobody has reported the check bias" in text_of(page)
    # Who may decide it has it on his list as well: his approval is needed, whenever it comes.
    assert queued(signed_in(reviewer), "mine") == ["churn", "fraud"]
    assert queued(signed_in(reviewer), "blocked") == ["fraud"]
    checks.report(requester, "fraud", 1, check="bias", state="failed")
    assert queued(client, "blocked") == ["fraud"]
    checks.report(requester, "fraud", 1, check="bias", state="passed")
    assert (queued(client, "blocked"), queued(client, "waiting")) == ([], ["churn", "fraud"])


def test_the_lanes_are_narrowed_by_model_place_and_requester(
    asked: Promotion, requester: Actor, reviewer: Actor
) -> None:
    other = make.actor("other", "contributor")
    make.model(other, "fraud_eu")
    make.version(other, "fraud_eu")
    promotions.request(other, "fraud_eu", 1, "Production")
    client = signed_in(reviewer)
    for narrowed, found in (
        ("", ["churn", "fraud_eu"]),
        ("&model=FRAUD", ["fraud_eu"]),
        ("&model=fraud%25", []),
        ("&requester=requester", ["churn"]),
        ("&target=production", ["churn", "fraud_eu"]),
        ("&target=Staging", []),
        ("&target=%40", []),
        ("&target=%40champion&model=fraud", []),
    ):
        assert queued(client, f"mine{narrowed}") == found, narrowed
    page = client.get("/reviews?model=fraud")
    assert "For you to decide 1" in text_of(page)
    assert "to decide: 2" in text_of(page)  # in the navigation: however this page is narrowed
    assert 'href="?show=decided&amp;model=fraud"' in page.content.decode()
    assert "Nothing here is like that" in text_of(client.get("/reviews?model=zzz"))


@pytest.mark.parametrize("bad", ["target=Moon", "target=%40%00", "model=%00", "model=" + "x" * 300, "requester=%00"])
def test_a_filter_that_cannot_be_is_a_page_that_says_so(viewer: Actor, bad: str) -> None:
    response = signed_in(viewer).get(f"/reviews?{bad}")
    assert response.status_code == 400
    assert bad.partition("=")[0] in text_of(response)


def test_a_page_of_the_queue_belongs_to_what_it_is_narrowed_to(requester: Actor, reviewer: Actor) -> None:
    for n in range(30):
        make.model(requester, f"m{n:02d}")
        make.version(requester, f"m{n:02d}")
        promotions.request(requester, f"m{n:02d}", 1, "Production")
    client = signed_in(reviewer)
    first = client.get("/reviews?model=m").content.decode()
    following = re.search(r'rel="next" href="(\?[^"]+)"', first)
    assert following
    assert len(queued(client, f"mine&{following[1][1:]}".replace("&amp;", "&"))) == 5
    assert (
        client.get(f"/reviews?{following[1][1:]}".replace("&amp;", "&").replace("model=m", "model=n")).status_code
        == 400
    )


# --- The promotion ----------------------------------------------------------------------------------------------------


def test_limits_stand_beside_the_metrics_that_they_bind(requester: Actor, reviewer: Actor, maintainer: Actor) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, with_files(requester, {"a": b"1"}, auc=0.9, loss=0.5, same=1.0))
    with_files(requester, {"a": b"2"}, auc=0.95, loss=0.6, same=1.0)
    gated(
        maintainer,
        {"gate": "metric_threshold", "metric": "auc", "at_least": 0.93},
        {"gate": "not_worse", "metric": "loss", "direction": "lower", "by": 0.1, "relative": True},
        {"gate": "metric_threshold", "metric": "p99", "check": "load", "at_most": 50},
    )
    promotion = promotions.request(requester, "churn", 2, "Production")
    checks.report(requester, "churn", 2, check="load", state="passed", values={"p99": 40})
    response = signed_in(reviewer).get(promotion.page)
    page = text_of(response)
    assert "auc must be at least 0.93 · passes 0.9 0.95" in page
    assert "loss must be at most 0.55 · fails 0.5 0.6" in page
    assert "p99 as measured by load must be at most 50 · passes – 40" in page
    assert page.index("loss must be") < page.index("1 metric, the same in both")
    assert response.content.decode().count('<svg class="bullet') == 3
    assert "Once the gates that hold it pass: v2 becomes Production, v1 becomes Archived" in page


def test_packages_columns_and_words_that_changed_are_shown(requester: Actor, reviewer: Actor) -> None:
    make.model(requester)
    old = {
        "MLmodel": mlmodel(("age", "long"), ("income", "double")),
        "requirements.txt": b"numpy==1.26\nScikit_Learn==1.5  # pinned\n--index-url https://x\npandas\n",
        "conda.yaml": b"dependencies:\n- python=3.11.7\n- pip:\n  - numpy==1.26\n",
        "README.md": b"# Card\nold words\n",
    }
    new = {
        "MLmodel": mlmodel(("age", "double"), ("debt", "double")),
        "requirements.txt": b"numpy==2.1\nscikit-learn==1.5\nscipy>=1 ; python_version > '3'\npandas\n",
        "conda.yaml": b"dependencies:\n- python=3.11.7\n- pip:\n  - numpy==2.1\n",
        "README.md": b"# Card\nnew words\n",
    }
    make.in_production(requester, reviewer, with_files(requester, old, description="one\ntwo\nthree"))
    with_files(requester, new, description="one\n2\nthree")
    promotion = promotions.request(requester, "churn", 2, "Production")
    page = text_of(signed_in(reviewer).get(promotion.page))
    assert "numpy changed ==1.26 ==2.1" in page
    assert "scipy added not there &gt;=1 ; python_version &gt; &#x27;3&#x27;" in page
    assert "3 packages are the same" in page  # python, pandas, and scikit-learn however it is written
    assert "input age changed long, double" not in page
    assert "input age changed long double" in page
    assert "input debt added not there double" in page
    assert "input income removed double not there" in page
    assert "removed: two" in page
    assert "added: 2" in page
    assert "removed: old words added: new words" in page


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("MLmodel", b"signature: {inputs: '" + b"[" * 5000 + b"'}"),
        ("MLmodel", b"a: &x [1]\nb: [*x, *x]"),
        ("requirements.txt", b"\xff\xfe\x00" * 99),
        ("requirements.txt", b"x" * 300_000),
        ("conda.yaml", b"dependencies: !!python/object/apply:os.system [ls]"),
        ("conda.yaml", b"dependencies: {a: 1}"),
        ("python_env.yaml", b"- just\n- a list"),
    ],
)
def test_files_that_mean_harm_or_nothing_leave_the_page_standing(
    requester: Actor, reviewer: Actor, path: str, data: bytes
) -> None:
    make.model(requester)
    make.in_production(requester, reviewer, with_files(requester, {"MLmodel": mlmodel(("a", "long"))}))
    with_files(requester, {"MLmodel": mlmodel(("a", "long")), path: data})
    promotion = promotions.request(requester, "churn", 2, "Production")
    assert signed_in(reviewer).get(promotion.page).status_code == 200


def test_hostile_names_are_text_wherever_they_show(
    requester: Actor, reviewer: Actor, administrator: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    Webhook.objects.create(workspace=make.workspace(), name=HOSTILE, url="https://a.example/x")
    pins = f"{'a' * 10_000}==1\nok=={HOSTILE}\n".encode()
    old = {"MLmodel": mlmodel(("a", "long")), "requirements.txt": b"ok==1\n"}
    make.in_production(requester, reviewer, with_files(requester, old, description="x"))
    new = {"MLmodel": mlmodel(("<b>" + "n" * 10_000, "long")), "requirements.txt": pins, "README.md": HOSTILE.encode()}
    with_files(requester, new, description=HOSTILE * 50, **{"<i>auc</i>": 1.0})
    gated(maintainer, {"gate": "metric_threshold", "metric": "<i>auc</i>", "at_least": 0.5})
    promotion = promotions.request(requester, "churn", 2, "Production", comment=HOSTILE)
    for path in (promotion.page, "/reviews", "/reviews?show=blocked", "/reviews?model=%3Cb%3E&requester=%22%3E%3Cu%3E"):
        page = signed_in(administrator).get(path).content.decode()
        for live in ("<script>alert", "<img src=x", "<i>auc", "<b>n", '"><u>'):
            assert live not in page, (path, live)


def test_who_is_affected_is_said_before_anybody_decides(
    asked: Promotion, requester: Actor, reviewer: Actor, maintainer: Actor
) -> None:
    for name in ("deployer", "pager"):
        Webhook.objects.create(workspace=make.workspace(), name=name, url="https://a.example/x")
    Webhook.objects.create(workspace=make.workspace(), name="elsewhere", url="https://a.example/x", pattern="fraud*")
    signed_in(requester).post("/models/churn/following", {"act": "follow"})
    page = text_of(signed_in(reviewer).get(asked.page))
    assert "At once: v2 becomes Production, v1 becomes Archived , 2 webhooks fire" in page
    assert "1 person follows this model" in page
    assert "deployer" not in page  # the names are for who manages webhooks
    assert "When it goes through, 2 webhooks fire: deployer , pager" in text_of(signed_in(maintainer).get(asked.page))


def test_a_page_that_stays_open_says_what_moved(
    asked: Promotion, requester: Actor, reviewer: Actor, administrator: Actor
) -> None:
    client = signed_in(reviewer)
    page = client.get(asked.page).content.decode()
    again = re.search(r'hx-get="([^"]+\?seen=[^"]+)"', page)
    assert again
    assert "not of now any more" not in text_of(client.get(again[1]))
    trained(requester, score=0.95)
    promotions.transition(administrator, "churn", 3, "Production")
    later = client.get(again[1])
    assert "the evidence that one vouches for changed since you opened it" in text_of(later)
    assert "hx-get" not in later.content.decode()  # told once, and not read out anew every time it looks
    promotions.reject(reviewer, asked.pk, reason="no")
    assert "its state" in text_of(client.get(again[1]))
    for odd in ("?seen=", "?seen=%00", "?seen=" + "a-" * 4000, "?seen=<b>"):
        assert "not of now any more" not in text_of(client.get(asked.page + odd))


def test_an_approval_that_is_not_the_last_one_needed_says_so(
    asked: Promotion, reviewer: Actor, second_reviewer: Actor
) -> None:
    """One is needed, and it has to be that of a team: of somebody else in it, or of who looks."""
    team = Team.objects.create(workspace=make.workspace(), name="risk")
    team.members.add(User.objects.get(pk=second_reviewer.user_id))
    Promotion.objects.filter(pk=asked.pk).update(policy={**asked.policy, "teams": ["risk"]})
    page = text_of(signed_in(reviewer).get(asked.page))
    assert "At once" not in page
    assert "One approval more; then still waiting for others" in page
    assert "At once: v2 becomes Production" in text_of(signed_in(second_reviewer).get(asked.page))
    asked.refresh_from_db()
    promotions.approve(reviewer, asked.pk, evidence=make.evidence(asked))
    assert "At once: v2 becomes Production" in text_of(signed_in(second_reviewer).get(asked.page))


def test_webhooks_are_named_to_those_who_manage_them_alone(asked: Promotion, requester: Actor) -> None:
    """Who maintains one model, this or another, is told how many fire, and the names of his own."""
    for name, model in (("of-all", None), ("of-churn", asked.model)):
        Webhook.objects.create(workspace=make.workspace(), name=name, url="https://a.example/x", model=model)
    for username, model in (("elsewhere", make.model(requester, "fraud")), ("here", asked.model)):
        somebody = make.actor(username, Role.VIEWER)
        user = User.objects.get(pk=somebody.user_id)
        people.give(system_actor(make.workspace()), Role.MAINTAINER, user=user, model_id=model.pk)
        page = text_of(signed_in(somebody).get(asked.page))
        assert "When it goes through, 2 webhooks fire" in page
        assert "of-all" not in page
        assert ("of-churn and others" in page) == (username == "here")


@pytest.mark.parametrize(
    "seen", [{}, {"source": 1}, {"source": "x", "manifest": None, "incumbent": [], "policy": "no"}]
)
def test_evidence_that_somebody_made_up_is_refused_as_any_other(
    asked: Promotion, reviewer: Actor, seen: dict[str, Any]
) -> None:
    """It comes with a digest that fits it, so that it is believed to be what a page showed."""
    sent = {"act": "approve", "evidence": digest(seen), "looked_at": json.dumps(seen)}
    response = signed_in(reviewer).post(asked.page, sent)
    assert response.status_code == 409
    assert "Nothing was approved" in text_of(response)


# --- A page that stays open -------------------------------------------------------------------------------------------


def test_who_has_a_role_for_one_model_that_reviews_nothing_is_told_so(requester: Actor) -> None:
    somebody = make.actor("somebody", Role.VIEWER)
    user = User.objects.get(pk=somebody.user_id)
    people.give(system_actor(make.workspace()), Role.CONTRIBUTOR, user=user, model_id=make.model(requester).pk)
    assert "You do not hold a role that reviews" in text_of(signed_in(somebody).get("/reviews"))
