"""Django's admin: who gets in, what it changes, and that each change goes through a service and is audited."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client

from accounts import verification
from accounts.actor import Actor
from accounts.admin import ThroughServices
from accounts.admin_lists import ReadOnly
from accounts.models import AuditEntry, Grant, Team, Token, User, Workspace
from accounts.roles import Role
from accounts.services import tokens
from lineage.models import Run
from registry.models import Delivery, Promotion, Webhook
from registry.policy import Scope
from registry.services import webhooks
from tests import make
from tests.web.ui.conftest import signed_in, text_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not settings.VOUCH_ADMIN, reason="the admin is off: set VOUCH_ADMIN=1 to test it"),
]


@pytest.fixture
def operator(db: None) -> Client:
    """An administrator of everything, signed in."""
    make.workspace()
    User.objects.create_superuser("operator", make.PASSWORD)
    return signed_in(make.actor("operator"))


def newest(verb: str) -> AuditEntry:
    return AuditEntry.objects.filter(verb=verb).latest("id")


def test_one_gets_in_by_the_sign_in_page_alone(reviewer: Actor, administrator: Actor) -> None:
    assert Client().get("/admin/")["Location"].startswith("/admin/login/")
    assert Client().get("/admin/login/")["Location"] == "/sign-in?next=%2Fadmin%2F"
    for somebody in (reviewer, administrator):  # an administrator of one workspace is none of the installation
        assert signed_in(somebody).get("/admin/", follow=True).status_code == 404


def test_every_list_and_form_opens(operator: Client, asked: Promotion) -> None:
    for model, pages in admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert operator.get(base).status_code == 200, base
        row = model._default_manager.first()
        if row is not None:
            assert operator.get(f"{base}{row.pk}/change/").status_code == 200, base
        if pages.search_fields:
            assert operator.get(base, {"q": "00000000-0000-7000-8000-000000000000"}).status_code == 200, base


QUERIES = [
    "q=%00", "q=abc", "q=%F0%9F%92%A5", "q=" + "x" * 3000, "p=-1", "p=999999", "p=x", "all=", "o=1.-2.99.x", "e=1",
    "workspace__id__exact=x", "workspace__id__exact=99999999999999999999", "state__exact=%00", "nothing=1", "%00=%00",
    "id__exact=%00", "_facets=True", "state__exact=a&state__exact=b", "pk__in=,,", "_popup=1&_to_field=x",
]  # fmt: skip


def test_no_query_string_breaks_a_list(operator: Client, asked: Promotion) -> None:
    for model in admin.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for query in QUERIES:
            assert operator.get(f"{base}?{query}").status_code in (200, 302, 400), f"{base}?{query}"


def test_a_row_that_is_none_leads_back(operator: Client) -> None:
    for model in admin.site._registry:
        for pk in ("x", "99999999999999999999", "00000000-0000-7000-8000-000000000000", "_00", "a%2Fb"):
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/{pk}/"
            assert operator.get(f"{base}change/").status_code in (302, 404), base
            assert operator.get(f"{base}history/").status_code in (302, 404), base


def test_lists_count_no_table_and_cost_the_same_however_long_they_are(
    operator: Client, asked: Promotion, django_assert_max_num_queries: Any
) -> None:
    run = Run.objects.get(pk=asked.version.run_id)
    Run.objects.bulk_create(
        Run(experiment=run.experiment, name=f"r{n}", started_ms=1, created_by=run.created_by) for n in range(120)
    )
    for model, pages in admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        with django_assert_max_num_queries(12) as counted:
            assert operator.get(base).status_code == 200, base
        counts = [query["sql"] for query in counted.captured_queries if "COUNT(*)" in query["sql"]]
        assert all("LIMIT 10000" in sql for sql in counts), base
        assert pages.ordering, base
        if not isinstance(pages, ThroughServices):
            assert isinstance(pages, ReadOnly), base
    assert operator.get("/admin/lineage/run/?p=2").status_code == 200
    assert b"3 pages" not in operator.get("/admin/lineage/run/?o=2").content
    assert "121 runs" in text_of(operator.get("/admin/lineage/run/")) or "122 runs" in text_of(
        operator.get("/admin/lineage/run/")
    )


def test_the_admin_is_in_our_colours_without_a_script_or_style_of_its_own(operator: Client) -> None:
    page = operator.get("/admin/").content.decode()
    assert "/static/admin.css" in page
    assert '<meta name="color-scheme" content="light dark">' in page
    assert "theme.js" not in page
    operator.cookies["appearance"] = "dark"
    assert '<meta name="color-scheme" content="dark">' in operator.get("/admin/").content.decode()


def test_what_services_keep_is_only_looked_at(operator: Client, asked: Promotion) -> None:
    before = AuditEntry.objects.order_by("id").last()
    looked_at = [
        "registry/promotion", "registry/version", "registry/model", "registry/occupancy", "registry/approval",
        "registry/policy", "registry/policyrevision", "registry/check", "registry/comment", "accounts/auditentry",
        "accounts/auditchain", "accounts/auditcheckpoint", "accounts/token", "lineage/run", "lineage/manifest",
        "lineage/experiment",
    ]  # fmt: skip
    for path in looked_at:
        model = next(m for m in admin.site._registry if f"{m._meta.app_label}/{m._meta.model_name}" == path)
        row = model._default_manager.first()
        assert operator.get(f"/admin/{path}/add/").status_code == 403, path
        if row is not None:
            assert operator.post(f"/admin/{path}/{row.pk}/change/", {"state": "promoted"}).status_code == 403, path
            assert operator.post(f"/admin/{path}/{row.pk}/delete/", {"post": "yes"}).status_code == 403, path
    assert AuditEntry.objects.order_by("id").last() == before
    asked.refresh_from_db()
    assert asked.state == "open"


def test_a_user_is_made_changed_disabled_and_never_deleted(operator: Client) -> None:
    sent = {"username": "newcomer", "kind": "person", "display_name": "New Comer", "email": "n@example.com",
            "is_active": "on", "new_password": "short"}  # fmt: skip
    assert b"too short" in operator.post("/admin/accounts/user/add/", sent).content
    assert not User.objects.filter(username="newcomer").exists()
    assert operator.post("/admin/accounts/user/add/", {**sent, "new_password": make.PASSWORD}).status_code == 302
    user = User.objects.get(username="newcomer")
    assert (user.display_name, user.check_password(make.PASSWORD)) == ("New Comer", True)
    assert newest("user.created").actor_name == "operator"
    change = f"/admin/accounts/user/{user.pk}/change/"
    assert operator.post(change, {"display_name": "N", "email": "", "new_password": "x" * 11 + "é4"}).status_code == 302
    user.refresh_from_db()
    assert (user.is_active, user.display_name, user.check_password("x" * 11 + "é4")) == (False, "N", True)
    told = list(AuditEntry.objects.filter(verb="user.updated").order_by("id").values_list("data__changed", flat=True))
    assert told == ["details", "password", "active"]
    assert operator.post(f"/admin/accounts/user/{user.pk}/delete/", {"post": "yes"}).status_code == 403
    assert operator.post("/admin/accounts/user/add/", {**sent, "username": "NEWCOMER"}).status_code == 200
    assert User.objects.filter(username__iexact="newcomer").count() == 1
    assert all(flaw is None for _, flaw in verification.verify())


def test_nobody_is_made_an_administrator_of_everything(operator: Client) -> None:
    sent = {"username": "climber", "kind": "system", "is_superuser": "on", "is_active": "on"}
    operator.post("/admin/accounts/user/add/", sent)
    assert not User.objects.filter(username="climber").exists()
    operator.post("/admin/accounts/user/add/", {**sent, "kind": "person"})
    user = User.objects.get(username="climber")
    operator.post(f"/admin/accounts/user/{user.pk}/change/", {"is_superuser": "on", "is_active": "on"})
    user.refresh_from_db()
    assert not user.is_superuser


def test_workspaces_teams_and_grants_go_through_services(operator: Client, viewer: Actor) -> None:
    assert operator.post("/admin/accounts/workspace/add/", {"slug": "lab", "name": "Lab"}).status_code == 302
    lab = Workspace.objects.get(slug="lab")
    assert not lab.folds_repeated_creates
    assert newest("workspace.created").subject == "workspace lab"
    sent = {"workspace": lab.pk, "name": "seniors", "members": str(viewer.user_id)}
    assert operator.post("/admin/accounts/team/add/", sent).status_code == 302
    team = Team.objects.get(name="seniors")
    assert [user.username for user in team.members.all()] == ["viewer"]
    assert newest("team.created").workspace == lab
    sent = {"workspace": lab.pk, "team": team.pk, "role": "reviewer"}
    assert operator.post("/admin/accounts/grant/add/", sent).status_code == 302
    grant = Grant.objects.get(team=team)
    assert newest("grant.given").data["role"] == Role.REVIEWER
    assert operator.post(f"/admin/accounts/grant/{grant.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Grant.objects.filter(pk=grant.pk).exists()
    assert newest("grant.revoked").actor_name == "operator"


def test_an_operator_revokes_tokens(operator: Client, requester: Actor) -> None:
    plain = make.token(requester)
    chosen = {"action": "revoke", "_selected_action": [str(Token.objects.get().pk)]}
    assert operator.post("/admin/accounts/token/", chosen).status_code == 302
    with pytest.raises(tokens.BadToken):
        tokens.authenticate(plain, address=None, request_id="")
    assert newest("token.revoked").actor_name == "operator"
    page = operator.get(f"/admin/accounts/token/{Token.objects.get().pk}/change/").content.decode()
    assert "secret" not in page.lower()


def test_an_operator_switches_webhooks_and_has_deliveries_sent_again(
    operator: Client, requester: Actor, maintainer: Actor
) -> None:
    make.model(requester)
    issued = webhooks.create(maintainer, url="https://receiver.example/", scope=Scope(model="churn"))
    path, chosen = "/admin/registry/webhook/", {"_selected_action": [str(issued.webhook.pk)]}
    assert operator.post(path, {**chosen, "action": "disable"}).status_code == 302
    assert newest("webhook.disabled").actor_name == "operator"
    owed = Delivery.objects.get()
    Delivery.objects.update(state="failed")
    again = {"action": "redeliver", "_selected_action": [str(owed.pk)]}
    assert b"enable it first" in operator.post("/admin/registry/delivery/", again, follow=True).content
    assert operator.post(path, {**chosen, "action": "enable"}).status_code == 302
    assert operator.post("/admin/registry/delivery/", again).status_code == 302
    assert newest("webhook.redelivered").data["delivery"] == str(owed.pk)
    kept = Webhook.objects.get()
    for where in (path, f"{path}{kept.pk}/change/"):
        page = operator.get(where).content.decode()
        assert issued.secret not in page
        assert kept.secret not in page
        assert "secret" not in page.lower()


def test_a_row_is_found_by_its_id_with_hyphens_or_without_and_by_the_index(
    operator: Client, asked: Promotion, django_assert_max_num_queries: Any
) -> None:
    run = Run.objects.get(pk=asked.version.run_id)
    for written in (str(run.pk), run.pk.hex, f" {run.pk.hex.upper()} "):
        with django_assert_max_num_queries(12) as counted:
            assert "1 run" in text_of(operator.get("/admin/lineage/run/", {"q": written})), written
        assert not [query for query in counted.captured_queries if "::varchar" in query["sql"]]
    assert "0 runs" in text_of(operator.get("/admin/lineage/run/", {"q": "nonsense"}))
    assert "0 approvals" in text_of(operator.get("/admin/registry/approval/", {"q": asked.pk.hex}))
    assert "1 folder" in text_of(operator.get("/admin/lineage/folder/", {"q": asked.version.run_id.hex}))
