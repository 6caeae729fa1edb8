"""Every page, wide and narrow: nothing serious that axe finds, a quiet console, no sideways scrolling, and a picture.

The pictures are kept in `screenshots/`, which git ignores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.workspace import HOSTILE, LONG, Api, empty_workspace, trained_model
from tests.live import Live

WIDTHS = (1280, 390)
_NAMED = str.maketrans("/?=", "---")


@pytest.fixture(scope="module")
def places(live: Live) -> dict[str, str]:
    """The name of each page → its path, in a workspace in which everything has happened once."""
    admin, ci, reviewer = Api(live, "admin"), Api(live, "ci"), Api(live, "reviewer")
    experiment = trained_model(live, "churn", versions=4)
    gate = {"gate": "metric_threshold", "metric": "auc", "at_least": 0.9}
    policy = admin.rest("PUT", "/policies", {"model": "churn", "target": "Production", "gates": [gate]})
    webhook = admin.rest("POST", "/webhooks", {"url": "https://deploy.example/vouch", "name": "Deploys"})
    ci.rest("PUT", "/models/churn/tags/team", {"value": "retention"})
    ci.rest("PUT", "/models/churn/aliases/challenger", {"version": 2})
    rejected, blocked = ci.asked("churn", 2), ci.asked("churn", 4, comment="Ready at last.")
    reviewer.rest("POST", f"/promotions/{rejected}/reject", {"reason": "It is no better where it matters."})
    reviewer.rest("POST", f"/promotions/{blocked}/comments", {"text": "What about the new customers, @ci?"})
    report = {"check": "evaluation", "state": "passed", "link": "https://ci.example/1", "summary": "All well."}
    ci.rest("POST", "/models/churn/versions/4/checks", report)
    runs = [ci.rest("GET", f"/models/churn/versions/{number}")["run_id"] for number in (1, 4)]
    admin.rest("PUT", "/teams/risk", {"members": ["reviewer"]})
    return {
        "sign-in": "/sign-in",
        "reviews": "/reviews",
        "reviews-waiting": "/reviews?show=waiting",
        "reviews-blocked": "/reviews?show=blocked",
        "reviews-decided": "/reviews?show=decided",
        "promotion": f"/promotions/{blocked}",
        "promotion-rejected": f"/promotions/{rejected}",
        "models": "/models",
        "model": "/models/churn",
        "history": "/models/churn/history",
        "compare": "/models/churn/compare?versions=1&versions=2&versions=4",
        "version": "/models/churn/versions/4",
        "evidence": "/models/churn/versions/1/evidence/page",
        "lineage": "/models/churn/versions/4/lineage",
        "experiments": "/experiments",
        "experiment": f"/experiments/{experiment}",
        "compare-runs": f"/experiments/{experiment}/compare?runs={runs[0]}&runs={runs[1]}",
        "run": f"/runs/{runs[1]}",
        "policies": "/policies",
        "policy": f"/policies/{policy['id']}",
        "new-policy": "/policies/new",
        "edit-policy": f"/policies/{policy['id']}/edit",
        "webhooks": "/webhooks",
        "new-webhook": "/webhooks/new",
        "webhook": f"/webhooks/{webhook['id']}",
        "edit-webhook": f"/webhooks/{webhook['id']}/edit",
        "audit": "/audit",
        "members": "/members",
        "new-member": "/members/new",
        "member": "/members/accounts/reviewer",
        "team": "/members/teams/risk",
        "profile": "/profile",
        "tokens": "/tokens",
        "notifications": "/notifications",
        "nothing-here": "/models/nothing",
        "refused": "/audit?from=yesterday",
        "admin": "/admin/",
        "admin-versions": "/admin/registry/version/",
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_sound(places: dict[str, str], people: Any, shots: Path, width: int) -> None:
    """As the administrator, who is shown most."""
    person = people("admin", width=width)
    flaws: list[str] = []
    for name, path in places.items():
        person.go(path)
        person.page.screenshot(path=str(shots / f"{name}-{width}.png"), full_page=True)
        flaws += [f"{path} at {width} px: {flaw}" for flaw in person.flaws()]
    assert not flaws, "\n".join(flaws)


def test_pages_in_the_dark_are_as_legible(places: dict[str, str], people: Any, shots: Path) -> None:
    person = people("reviewer", color_scheme="dark")
    flaws: list[str] = []
    for name in ("reviews", "promotion", "model", "compare", "version", "lineage", "compare-runs", "audit", "member"):
        person.go(places[name])
        person.page.screenshot(path=str(shots / f"{name}-dark.png"), full_page=True)
        flaws += [f"{places[name]} in the dark: {flaw}" for flaw in person.flaws()]
    assert not flaws, "\n".join(flaws)


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_with_nothing_on_them_say_what_to_do(live: Live, people: Any, shots: Path, width: int) -> None:
    username = f"newcomer-{width}"
    empty_workspace(live, username)
    person = people(username, width=width)
    for path in (
        "/reviews",
        "/reviews?show=waiting",
        "/reviews?show=decided",
        "/models",
        "/experiments",
        "/webhooks",
        "/tokens",
    ):
        person.go(path)
        person.page.screenshot(path=str(shots / f"empty{path.translate(_NAMED)}-{width}.png"), full_page=True)
        assert person.page.locator(".empty").count(), path
        assert not person.flaws(), path


@pytest.mark.parametrize("width", WIDTHS)
def test_what_people_and_programs_write_shows_as_text_and_breaks_no_page(
    live: Live, people: Any, shots: Path, width: int
) -> None:
    """Markup, marks that turn the direction round, and 10,000 characters without a space."""
    admin, ci, reviewer = Api(live, "admin"), Api(live, "ci"), Api(live, "reviewer")
    model = f"{'l' * 240}-{width}"
    experiment = str(ci.mlflow("experiments/create", name=f"{HOSTILE} {width}")["experiment_id"])
    params = {"p" * 250: HOSTILE + LONG[:5000], "markup": HOSTILE}
    run = ci.trained(experiment, name=HOSTILE, metrics={"auc": 0.9, "m" * 250: 1.0}, params=params)
    ci.mlflow("registered-models/create", name=model, description=HOSTILE + LONG)
    for number in (1, 2):
        ci.registered(model, run, f"{number} {HOSTILE}{LONG}")
    ci.rest("PUT", f"/models/{model}/tags/hostile", {"value": HOSTILE + LONG})
    ci.rest("PUT", f"/models/{model}/versions/2/tags/{'k' * 250}", {"value": HOSTILE + LONG})
    reviewer.approve(ci.asked(model, 1, comment=HOSTILE))
    promotion = ci.asked(model, 2, comment=HOSTILE + LONG[:9000])
    reviewer.rest("POST", f"/promotions/{promotion}/comments", {"text": HOSTILE + LONG[:9000]})
    report = {"check": "evaluation", "state": "failed", "summary": HOSTILE + LONG[:9000]}
    ci.rest("POST", f"/models/{model}/versions/2/checks", report)
    admin.rest("POST", "/webhooks", {"url": "https://deploy.example/" + "u" * 1900, "name": HOSTILE[:100]})
    person = people("admin", width=width)
    flaws: list[str] = []
    of_model = ("", "/versions/2", "/versions/2/lineage", "/history", "/compare?versions=1&versions=2")
    paths = [f"/models/{model}{path}" for path in of_model]
    paths += ["/reviews", "/models", f"/promotions/{promotion}", "/webhooks", "/experiments", "/audit"]
    for path in [*paths, f"/experiments/{experiment}", f"/runs/{run}"]:
        person.go(path)
        person.page.screenshot(
            path=str(shots / f"hostile{path.replace(model, 'm').replace('/', '-')[:40]}-{width}.png")
        )
        assert person.page.title() != "owned", path
        flaws += [f"{path.replace(model, 'MODEL')} at {width} px: {flaw}" for flaw in person.flaws()]
    person.go(f"/models/{model}/versions/2")
    assert "<script>document.title='owned'</script>" in person.page.locator("main").inner_text()
    assert not flaws, "\n".join(flaws)
