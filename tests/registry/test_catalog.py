"""Models, versions, tags, aliases, resolving."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry, User, Workspace
from accounts.permissions import OutsideToken, RoleMissing, ScopeMissing
from accounts.queries import session_actor
from accounts.roles import Role, Scope
from accounts.services import people
from core.errors import Invalid
from core.text import BadCharacter, BadName
from lineage.services import artifacts, experiments, runs
from lineage.services.artifacts import Place
from registry import errors
from registry.lifecycle import Stage
from registry.models import Delivery, Model, Version, Webhook
from registry.queries import find_model, find_version, version_at_alias, versions
from registry.references import Reference, parse
from registry.resolving import newest_in_stages, resolve
from registry.services import aliases, catalog, promotions
from registry.services.catalog import Origin
from registry.services.locks import locked_model
from tests import make

pytestmark = pytest.mark.django_db

ELSEWHERE = Origin(source="s3://bucket/model")


@pytest.fixture
def churn(requester: Actor) -> Model:
    return make.model(requester)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " churn",
        "churn ",
        "churn.",
        ".churn",
        "-churn",
        "a/b",
        "a:b",
        "a@b",
        "a%2fb",
        "a%00b",
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "chürn",
        "сhurn",  # the first letter is Cyrillic
        "ｃhurn",  # the first letter is full-width
        "a" * 256,
        5,
        None,
        ["churn"],
    ],
)
def test_odd_model_names_are_refused(requester: Actor, name: object) -> None:
    with pytest.raises(BadName):
        catalog.create_model(requester, name=name)
    assert not Model.objects.exists()


@pytest.mark.parametrize("name", ["churn", "Churn v2.1_eu-west", "0", "a" * 255])
def test_ordinary_model_names_pass(requester: Actor, name: str) -> None:
    assert catalog.create_model(requester, name=name).name == name


def test_a_name_is_taken_once_also_in_another_case(churn: Model, requester: Actor, outsider: Actor) -> None:
    with pytest.raises(errors.ModelExists):
        make.model(requester)
    with pytest.raises(errors.LooksLikeAnother, match="'churn'"):
        make.model(requester, "CHURN")
    assert make.model(outsider, "Churn").workspace_id != churn.workspace_id


def test_a_deleted_models_name_is_free_and_its_versions_begin_anew(
    churn: Model, requester: Actor, maintainer: Actor
) -> None:
    make.version(requester)
    catalog.delete_model(maintainer, "churn")
    with pytest.raises(errors.ModelNotFound):
        find_model(requester, "churn")
    make.model(requester)
    assert make.version(requester).number == 1
    assert not versions(requester).filter(model=churn).exists()


def test_version_numbers_are_never_reused(churn: Model, requester: Actor) -> None:
    make.version(requester)
    catalog.delete_version(requester, "churn", 1)
    assert make.version(requester).number == 2
    with pytest.raises(errors.VersionNotFound):
        find_version(requester, "churn", 1)


def test_an_identical_create_within_ten_minutes_gives_the_first_version(churn: Model, requester: Actor) -> None:
    by_token = make.by_token(requester)
    first = catalog.register_version(by_token, "churn", ELSEWHERE, tags={"a": "1"})
    again = catalog.register_version(by_token, "churn", ELSEWHERE, tags={"a": "1"})
    assert (again.version.pk, again.repeated, first.repeated) == (first.version.pk, True, False)
    assert AuditEntry.objects.filter(verb="version.repeated").count() == 1
    other_token = make.by_token(requester)
    assert not catalog.register_version(other_token, "churn", ELSEWHERE, tags={"a": "1"}).repeated
    assert not catalog.register_version(by_token, "churn", ELSEWHERE, tags={"a": "2"}).repeated
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=10, seconds=1)):
        assert not catalog.register_version(by_token, "churn", ELSEWHERE, tags={"a": "1"}).repeated


def test_a_workspace_can_ask_for_a_version_for_every_create(churn: Model, requester: Actor) -> None:
    Workspace.objects.update(folds_repeated_creates=False)
    for _ in range(2):
        catalog.register_version(requester, "churn", ELSEWHERE)
    assert Version.objects.count() == 2


def test_a_copy_has_the_files_and_the_uploaders_of_its_original(churn: Model, requester: Actor) -> None:
    original = make.version(requester)
    make.model(requester, "churn-prod")
    origin = Origin(source="models:/churn/1", copy_of=original)
    copy = catalog.register_version(requester, "churn-prod", origin).version
    assert copy.manifest_id == original.manifest_id
    assert list(copy.contributors.values_list("pk", flat=True)) == [requester.user_id]


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("models:/churn/7", Reference("churn", number=7)),
        ("models:/churn/production", Reference("churn", stage=Stage.PRODUCTION)),
        ("models:/churn/None", Reference("churn", stage=Stage.NONE)),
        ("models:/churn@champion", Reference("churn", alias="champion")),
        ("models:/churn/latest", Reference("churn")),
        ("models:/a b.c-d_e/1", Reference("a b.c-d_e", number=1)),
    ],
)
def test_model_uris_are_read(uri: str, wanted: Reference) -> None:
    assert parse(uri) == wanted


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        "",
        "churn",
        "models:/",
        "models:/churn",
        "models:/churn/",
        "models:/churn/0",
        "models:/churn/-1",
        "models:/churn/99999999999",
        "models:/churn/QA",
        "models:/../etc/passwd",
        "models:/ch%75rn/1",
        "models:/churn@",
        "models:/churn@a b",
        "models://churn/1",
        "runs:/churn/1",
        "models:/churn/1\x00",
        "models:/churn/١",  # a digit, but not of ASCII
    ],
)
def test_what_is_no_model_uri_is_refused(uri: object) -> None:
    with pytest.raises(errors.BadReference):
        parse(uri)


def test_resolving_takes_one_query_and_tells_what_to_load(churn: Model, requester: Actor) -> None:
    make.version(requester, content=b"hello")
    aliases.set_alias(requester, "churn", "champion", 1)
    for uri in ("models:/churn/1", "models:/churn/None", "models:/churn@champion", "models:/churn/latest"):
        with CaptureQueriesContext(connection) as queries:
            found = resolve(requester, parse(uri))
        assert len(queries) == 1
        assert (found.version, found.stage, found.size) == (1, "None", 5)
        assert [(file["path"], file["size"]) for file in found.files] == [("model.bin", 5)]


def test_the_generation_moves_with_whatever_resolving_answers(
    churn: Model, requester: Actor, administrator: Actor
) -> None:
    make.version(requester)

    def etag() -> str:
        return resolve(requester, parse("models:/churn/latest")).etag

    seen = [etag()]
    for change in (
        lambda: promotions.transition(administrator, "churn", 1, "Production"),
        lambda: aliases.set_alias(requester, "churn", "champion", 1),
        lambda: aliases.remove_alias(requester, "churn", "champion"),
        lambda: make.version(requester),
        lambda: catalog.delete_version(requester, "churn", 2),
    ):
        change()
        seen.append(etag())
    assert len(set(seen)) == len(seen)
    catalog.describe_model(requester, "churn", "does not matter to serving")
    assert etag() == seen[-1]


@pytest.mark.parametrize(
    ("uri", "refusal"),
    [
        ("models:/fraud/1", errors.ModelNotFound),
        ("models:/churn/2", errors.VersionNotFound),
        ("models:/churn/Production", errors.NothingInStage),
        ("models:/churn@champion", errors.AliasNotFound),
    ],
)
def test_what_does_not_resolve_says_why(churn: Model, requester: Actor, uri: str, refusal: type[Exception]) -> None:
    make.version(requester)
    with pytest.raises(refusal):
        resolve(requester, parse(uri))


def test_resolving_needs_the_scope_read_and_a_name_in_reach(churn: Model, requester: Actor) -> None:
    make.version(requester)
    for blind in (make.by_token(requester, Scope.WEBHOOK), make.by_token(requester, model_glob="fraud*")):
        with pytest.raises(errors.ModelNotFound):
            resolve(blind, parse("models:/churn/1"))


def test_an_alias_moves_and_goes(churn: Model, requester: Actor) -> None:
    for _ in range(2):
        make.version(requester)
    aliases.set_alias(requester, "churn", "champion", 1)
    aliases.set_alias(requester, "churn", "champion", 2)
    assert version_at_alias(requester, "churn", "champion").number == 2
    aliases.remove_alias(requester, "churn", "champion")
    with pytest.raises(errors.AliasNotFound):
        aliases.remove_alias(requester, "churn", "champion")
    aliases.remove_alias(requester, "churn", "champion", missing_ok=True)


@pytest.mark.parametrize("alias", ["", "latest", "LATEST", "v1", "Production", "a b", "a/b", "é", "a" * 256, 7, None])
def test_reserved_and_odd_aliases_are_refused(churn: Model, requester: Actor, alias: object) -> None:
    make.version(requester)
    with pytest.raises(errors.BadAlias):
        aliases.set_alias(requester, "churn", alias, 1)


def test_tags_are_set_changed_removed_and_bounded(churn: Model, requester: Actor) -> None:
    catalog.tag_model(requester, "churn", "team", "risk")
    catalog.tag_model(requester, "churn", "team", "growth")
    assert list(churn.tags.values_list("key", "value")) == [("team", "growth")]
    catalog.tag_model(requester, "churn", "team", None)
    catalog.tag_model(requester, "churn", "team", None)
    assert not churn.tags.exists()
    with pytest.raises(errors.TooManyTags):
        catalog.create_model(requester, name="many", tags={str(n): "" for n in range(101)})
    with pytest.raises(Invalid):
        catalog.tag_model(requester, "churn", "k", "x" * 100_001)


def test_an_edit_of_another_revision_is_refused(churn: Model, requester: Actor) -> None:
    catalog.describe_model(requester, "churn", "first", expected=churn.revision)
    with pytest.raises(errors.Stale):
        catalog.describe_model(requester, "churn", "second", expected=churn.revision)


def test_a_contributor_deletes_only_versions_of_his_own(churn: Model, requester: Actor, maintainer: Actor) -> None:
    make.version(maintainer)
    with pytest.raises(errors.NotYourVersion):
        catalog.delete_version(requester, "churn", 1)
    catalog.delete_version(maintainer, "churn", 1)


def test_a_viewer_changes_nothing(churn: Model, requester: Actor, viewer: Actor) -> None:
    make.version(requester)
    for attempt in (
        lambda: make.model(viewer, "fraud"),
        lambda: catalog.describe_model(viewer, "churn", "x"),
        lambda: catalog.tag_model(viewer, "churn", "k", "v"),
        lambda: catalog.delete_model(viewer, "churn"),
        lambda: catalog.register_version(viewer, "churn", ELSEWHERE),
        lambda: catalog.describe_version(viewer, "churn", 1, "x"),
        lambda: catalog.tag_version(viewer, "churn", 1, "k", "v"),
        lambda: catalog.delete_version(viewer, "churn", 1),
        lambda: aliases.set_alias(viewer, "churn", "champion", 1),
        lambda: promotions.request(viewer, "churn", 1, "Staging"),
    ):
        with pytest.raises(RoleMissing):
            attempt()


def test_a_token_without_the_scope_is_refused_by_the_scope(churn: Model, requester: Actor) -> None:
    reading = make.by_token(requester, Scope.READ)
    with pytest.raises(ScopeMissing, match="register"):
        catalog.describe_model(reading, "churn", "x")


def test_a_token_bound_to_names_makes_no_other_model(requester: Actor) -> None:
    with pytest.raises(OutsideToken):
        make.model(make.by_token(requester, model_glob="churn*"), "fraud")


def test_the_latest_of_each_stage_is_the_highest_number(churn: Model, requester: Actor) -> None:
    for _ in range(3):
        make.version(requester)
    for number in (1, 2):
        promotions.request(requester, "churn", number, "Staging")
    found = newest_in_stages(requester, "churn", list(Stage))
    assert {version.stage: version.number for version in found} == {"Staging": 2, "None": 3}


def test_events_are_owed_to_the_webhooks_that_listen(churn: Model, requester: Actor) -> None:
    home = make.workspace()
    everything = Webhook.objects.create(workspace=home, url="https://example.org/all")
    Webhook.objects.create(workspace=home, url="https://example.org/stages", verbs=["version.transitioned"])
    Webhook.objects.create(workspace=home, url="https://example.org/off", active=False, disabled_because="by hand")
    Webhook.objects.create(workspace=make.workspace("elsewhere"), url="https://example.org/foreign")
    make.version(requester)
    assert [(delivery.webhook, delivery.entry.verb) for delivery in Delivery.objects.all()] == [
        (everything, "version.registered")
    ]
    promotions.request(requester, "churn", 1, "Staging")
    owed = Delivery.objects.filter(entry__verb="version.transitioned").values_list("webhook__url", flat=True)
    assert sorted(owed) == ["https://example.org/all", "https://example.org/stages"]


def test_a_role_for_one_model_does_for_its_versions(churn: Model, requester: Actor, administrator: Actor) -> None:
    make.version(requester)
    make.actor("guest")
    guest = User.objects.get(username="guest")
    people.give(administrator, Role.VIEWER, user=guest, model_id=churn.pk)
    assert resolve(session_actor(guest, make.workspace()), parse("models:/churn/1")).version == 1


def test_registering_again_after_the_files_came_makes_a_version_with_them(churn: Model, requester: Actor) -> None:
    run = runs.create(requester, experiments.default(requester), tags={})
    origin = Origin(source="runs:/x/model", place=Place(run=run), path="model", run=run, run_ref=run.pk.hex)
    early = catalog.register_version(requester, "churn", origin).version
    artifacts.upload(requester, Place(run=run), "model/MLmodel", [b"now"])
    late = catalog.register_version(requester, "churn", origin)
    assert (early.manifest, late.repeated, late.version.number) == (None, False, 2)
    assert late.version.manifest


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", 5, None, "a" * 10_000])
def test_what_no_name_can_be_is_simply_not_found(churn: Model, requester: Actor, name: object) -> None:
    make.version(requester)
    for look in (
        lambda: find_model(requester, name),
        lambda: locked_model(requester, name),
        lambda: find_version(requester, name, 1),
        lambda: newest_in_stages(requester, str(name), list(Stage)),
    ):
        with pytest.raises(errors.ModelNotFound):
            look()
    for look in (
        lambda: version_at_alias(requester, "churn", str(name)),
        lambda: aliases.remove_alias(requester, "churn", str(name)),
    ):
        with pytest.raises(errors.AliasNotFound):
            look()


@pytest.mark.parametrize("fields", [{"description": "\ud800"}, {"run_link": "a\x00"}, {"tags": {"k": "\ud800"}}])
def test_text_that_cannot_be_stored_is_refused_by_name(churn: Model, requester: Actor, fields: dict[str, Any]) -> None:
    with pytest.raises(BadCharacter):
        catalog.register_version(requester, "churn", ELSEWHERE, **fields)


def test_who_may_fill_one_model_only_may_upload_for_it(churn: Model, requester: Actor, administrator: Actor) -> None:
    make.actor("guest")
    guest = User.objects.get(username="guest")
    people.give(administrator, Role.CONTRIBUTOR, user=guest, model_id=churn.pk)
    assert make.version(session_actor(guest, make.workspace())).number == 1
