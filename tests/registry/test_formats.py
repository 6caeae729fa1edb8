"""What each format sends: the very bytes, who can verify them, and what odd text cannot do."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from accounts.verbs import Verb
from registry.formats import Format, Message, Told, expresses, sentence, tells, written

PYTHON_OF_MLFLOW = Path(__file__).resolve().parents[2] / ".venvs" / "mlflow-3" / "bin" / "python"
NEW, OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2Vjb25kIHNlY3JldCBvZiAyNCBieXRl"
AT = datetime.datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=datetime.UTC)
HASH = "5f" * 32
MANIFEST = "ab" * 32

MOVED = Told(
    id="018f3c1e",
    verb=Verb.VERSION_TRANSITIONED,
    at=AT,
    subject="churn v7",
    workspace="default",
    model="churn",
    sequence=42,
    hash=HASH,
    actor="reviewer",
    data={
        "model": "churn",
        "version": 7,
        "promotion": "018f3c1d",
        "from_stage": "Staging",
        "stage": "Production",
        "previous": [6],
        "manifest": MANIFEST,
        "source": "upload:nightly",
    },
    link="https://vouch.example.org/promotions/018f3c1d",
    address="https://vouch.example.org",
)


def about(verb: Verb, **data: Any) -> Told:
    return replace(MOVED, verb=verb, data={"model": "churn", "version": 7, **data})


def sent(form: Format, told: Told = MOVED, *, at: datetime.datetime = AT, **more: Any) -> Message:
    return written(form, told, delivery_id="018f3c20", at=at, **more)


def body(form: Format, told: Told = MOVED, **more: Any) -> dict[str, Any]:
    return json.loads(sent(form, told, **more).body)


# --- The bodies -------------------------------------------------------------------------------------------------------

DATA = {
    **MOVED.data,
    "uri": "models:/churn/7",
    "resolve": "https://vouch.example.org/api/v1/resolve?uri=models%3A%2Fchurn%2F7",
    "files": "https://vouch.example.org/api/v1/models/churn/versions/7/files",
}


def test_the_own_format_is_an_envelope_of_standard_webhooks() -> None:
    message = sent(Format.VOUCH)
    assert json.loads(message.body) == {
        "type": "version.transitioned",
        "timestamp": "2026-03-01T12:30:00.250000Z",
        "id": "018f3c1e",
        "workspace": "default",
        "model": "churn",
        "sequence": 42,
        "hash": HASH,
        "actor": "reviewer",
        "subject": "churn v7",
        "link": "https://vouch.example.org/promotions/018f3c1d",
        "data": DATA,
    }
    assert message.headers == {
        "content-type": "application/json",
        "webhook-id": "018f3c20",
        "webhook-timestamp": "1772368200",
    }


def test_cloudevents_are_structured_with_a_sequence_that_sorts_within_its_source() -> None:
    message = sent(Format.CLOUDEVENTS)
    assert json.loads(message.body) == {
        "specversion": "1.0",
        "id": "018f3c1e",
        "source": "https://vouch.example.org/workspaces/default/models/churn",
        "type": "vouch.version.transitioned",
        "subject": "churn v7",
        "time": "2026-03-01T12:30:00.250000Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000042",
        "workspace": "default",
        "model": "churn",
        "actor": "reviewer",
        "hash": HASH,
        "link": "https://vouch.example.org/promotions/018f3c1d",
        "data": DATA,
    }
    assert message.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert all(re.fullmatch("[a-z0-9]+", name) for name in json.loads(message.body))
    nobodys = replace(MOVED, verb=Verb.USER_SIGNED_IN, subject="user \ufdd0x", model="", link="", data={})
    told = body(Format.CLOUDEVENTS, nobodys)
    assert (told["source"], told["subject"]) == ("https://vouch.example.org/workspaces/default", "user x")
    assert told.keys().isdisjoint({"model", "link"})  # an attribute must not be empty


@pytest.mark.parametrize(
    ("told", "entity", "action", "data"),
    [
        (
            about(Verb.MODEL_CREATED, description="Who leaves", tags={"team": "risk"}),
            "registered_model",
            "created",
            {"name": "churn", "tags": {"team": "risk"}, "description": "Who leaves"},
        ),
        (
            about(Verb.VERSION_REGISTERED, source="s3://m/1", run="r1", manifest=None, description="", tags={}),
            "model_version",
            "created",
            {"name": "churn", "version": "7", "source": "s3://m/1", "run_id": "r1", "tags": {}, "description": None},
        ),
        (
            about(Verb.VERSION_TAGGED, key="owner", value=""),
            "model_version_tag",
            "set",
            {"name": "churn", "version": "7", "key": "owner", "value": ""},
        ),
        (
            about(Verb.VERSION_TAGGED, key="owner", value=None),
            "model_version_tag",
            "deleted",
            {"name": "churn", "version": "7", "key": "owner"},
        ),
        (
            about(Verb.ALIAS_SET, alias="champion", previous=[], manifest=None, source="s3://m/1"),
            "model_version_alias",
            "created",
            {"name": "churn", "alias": "champion", "version": "7"},
        ),
        (
            about(Verb.ALIAS_REMOVED, alias="champion", bypass=False),
            "model_version_alias",
            "deleted",
            {"name": "churn", "alias": "champion"},
        ),
    ],
)
def test_mlflow_bodies_are_those_of_mlflow(told: Told, entity: str, action: str, data: dict[str, Any]) -> None:
    message = sent(Format.MLFLOW, told)
    assert json.loads(message.body) == {
        "entity": entity,
        "action": action,
        "timestamp": "2026-03-01T12:30:00.250000+00:00",
        "data": data,
        "workspace": "default",
    }
    assert message.headers == {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": "018f3c20",
        "X-MLflow-Timestamp": "1772368200",
    }


@pytest.mark.parametrize(
    ("told", "stages", "fields"),
    [
        (
            MOVED,
            [],
            {
                "event": "MODEL_VERSION_TRANSITIONED_STAGE",
                "version": "7",
                "from_stage": "Staging",
                "to_stage": "Production",
                "text": "Registered model 'churn' version 7 transitioned from Staging to Production.",
            },
        ),
        (MOVED, ["Production", "Archived"], {"event": "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"}),
        (
            about(Verb.PROMOTION_REQUESTED, stage="Staging", from_stage="None", comment="better"),
            [],
            {
                "event": "TRANSITION_REQUEST_CREATED",
                "version": "7",
                "from_stage": "None",
                "to_stage": "Staging",
                "text": "reviewer requested a transition of registered model 'churn' version 7 to Staging.",
            },
        ),
        (
            about(Verb.PROMOTION_REQUESTED, stage="Staging", from_stage="None"),
            ["Staging"],
            {"event": "TRANSITION_REQUEST_TO_STAGING_CREATED"},
        ),
        (
            about(Verb.COMMENT_CREATED, comment="018f", text="is *this* <!channel>?", mentions=[]),
            ["Staging"],
            {
                "event": "COMMENT_CREATED",
                "version": "7",
                "comment": "is *this* <!channel>?",
                "text": "reviewer commented on registered model 'churn' version 7.",
            },
        ),
        (
            about(Verb.VERSION_TAGGED, key="owner", value="<!here>"),
            [],
            {
                "event": "MODEL_VERSION_TAG_SET",
                "version": "7",
                "tags": [{"key": "owner", "value": "<!here>"}],
                "text": "reviewer set version tag(s) 'owner' => '&lt;!here&gt;' "
                "for registered model 'churn' version 7.",
            },
        ),
        (
            about(Verb.VERSION_REGISTERED, source="s3://m/1"),
            [],
            {
                "event": "MODEL_VERSION_CREATED",
                "version": "7",
                "text": "reviewer created registered model 'churn' version 7.",
            },
        ),
        (
            about(Verb.MODEL_CREATED, tags={}),
            [],
            {"event": "REGISTERED_MODEL_CREATED", "text": "reviewer created registered model 'churn'."},
        ),
    ],
)
def test_databricks_bodies_are_those_of_databricks_with_ours_beside(
    told: Told, stages: list[str], fields: dict[str, Any]
) -> None:
    found = body(Format.DATABRICKS, told, webhook_id="hook", stages=stages)
    always = {"webhook_id": "hook", "event_timestamp": 1772368200250, "model_name": "churn"}
    ours = {"type": str(told.verb), "id": "018f3c1e", "delivery_id": "018f3c20", "actor": "reviewer", "sequence": 42}
    assert fields | always | ours | {"hash": HASH, "workspace": "default"} == {
        name: found[name] for name in fields | always | ours | {"hash": 0, "workspace": 0}
    }
    assert found["data"]["model"] == "churn"


def test_what_a_format_has_no_words_for_it_does_not_express() -> None:
    to_an_alias = about(Verb.PROMOTION_REQUESTED, alias="champion")
    untagged = about(Verb.VERSION_TAGGED, key="owner", value=None)
    assert not expresses(Format.DATABRICKS, to_an_alias)
    assert not expresses(Format.DATABRICKS, untagged)
    assert expresses(Format.MLFLOW, untagged)
    assert not expresses(Format.MLFLOW, about(Verb.MODEL_TAGGED, key="owner", value="x"))
    assert not expresses(Format.MLFLOW, MOVED)
    with pytest.raises(ValueError, match="mlflow has no words"):
        sent(Format.MLFLOW)


def test_bytes_that_lie_elsewhere_have_no_address_here() -> None:
    elsewhere = replace(MOVED, model="a b", data={**MOVED.data, "manifest": None})
    data = body(Format.VOUCH, elsewhere)["data"]
    assert (data["files"], data["source"]) == (None, "upload:nightly")
    assert data["resolve"] == "https://vouch.example.org/api/v1/resolve?uri=models%3A%2Fa%20b%2F7"


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "webhooks.md"
REGISTERED = about(
    Verb.VERSION_REGISTERED, source="s3://models/churn", run="", description="Trained on May", tags={"team": "risk"}
)


@pytest.mark.parametrize("form", list(Format))
def test_the_guide_shows_what_really_arrives(form: Format) -> None:
    section = re.search(rf"^## `{form}`\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert section, f"describe {form} in {GUIDE.name} under a heading of its own"
    shown = re.search(r"```json\n(.*?)```", section[1], re.DOTALL)
    really = body(form, REGISTERED if form == Format.MLFLOW else MOVED, webhook_id="018f3c10")
    assert shown, f"show a body of {form} in {GUIDE.name}"
    assert json.loads(shown[1]) == really, json.dumps(really, indent=2)


# --- The signatures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [Format.VOUCH, Format.CLOUDEVENTS])
def test_both_secrets_of_a_rotation_verify_what_is_sent_and_no_third_does(form: Format) -> None:
    # An offset of its own: the library would sign its figures as if they were those of UTC.
    now = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=5)))
    message = sent(form, at=now, secrets=[NEW, OLD])
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    for secret in (NEW, OLD):
        assert Webhook(secret).verify(message.body, dict(message.headers)) == json.loads(message.body)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_YW5vdGhlciBzZWNyZXQ=").verify(message.body, dict(message.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(message.body + b" ", dict(message.headers))


def test_mlflow_signs_the_same_bytes_the_same_way() -> None:
    told = about(Verb.VERSION_TAGGED, key="clé", value="😀")
    message = sent(Format.MLFLOW, told, secrets=["ein Geheimnis, äöü", "the former"])
    program = (
        "import sys; from mlflow.webhooks.delivery import _generate_hmac_signature as sign; "
        "print(sign(*sys.argv[1:4], sys.stdin.buffer.read().decode()))"
    )
    headers = message.headers
    said = [headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"]]
    theirs = subprocess.run(
        [PYTHON_OF_MLFLOW, "-c", program, "ein Geheimnis, äöü", *said],
        input=message.body,
        capture_output=True,
        check=True,
        env={"PYTHONUTF8": "1", "HOME": "/nonexistent"},
    )
    assert theirs.stdout.decode().strip() == headers["X-MLflow-Signature"]


def test_databricks_signs_the_body_alone_with_the_newest_secret() -> None:
    message = sent(Format.DATABRICKS, secrets=["any text", "the former"])
    expected = hmac.new(b"any text", message.body, hashlib.sha256).hexdigest()
    assert message.headers == {
        "content-type": "application/json",
        "webhook-id": "018f3c20",
        "webhook-timestamp": "1772368200",
        "X-Databricks-Signature": expected,
    }


# --- Sentences and Slack ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", list(Verb))
def test_there_is_a_sentence_for_every_verb(verb: Verb) -> None:
    words = sentence(replace(MOVED, verb=verb, subject="webhook deploy"))
    assert words.endswith(".")
    if verb.startswith("webhook."):
        assert "the webhook deploy" in words.lower()
    assert {form for form in Format if verb in tells(form)} >= {Format.VOUCH, Format.CLOUDEVENTS, Format.SLACK}


def test_slack_gets_one_sentence_and_one_link_and_nothing_else() -> None:
    told = replace(MOVED, link="https://vouch.example.org/x?a=1&b=<|>")
    message = sent(Format.SLACK, told, secrets=["unused"])
    assert json.loads(message.body) == {
        "text": "reviewer moved churn v7 from Staging to Production, in place of v6. "
        "<https://vouch.example.org/x?a=1&amp;b=%3C%7C%3E|Open in Vouch>"
    }
    assert message.headers == {"content-type": "application/json"}
    assert "<" not in body(Format.SLACK, replace(MOVED, link="javascript:alert(1)"))["text"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;\uff20U1&gt;"),
        ("<https://evil.example|Approve>", "&lt;https\u2236//evil\u2024example\u2223Approve&gt;"),
        ("@channel look", "\uff20channel look"),
        ("[ok](https://evil.example)", "[ok] (https\u2236//evil\u2024example)"),
        ("www.evil.example", "www\u2024evil\u2024example"),
        ("*a* _b_ ~c~ `d` snake_case 0.93", "\u2217a\u2217 \u02cdb\u02cd \u223cc\u223c \u02cbd\u02cb snake_case 0.93"),
        (":skull:", "\u2236skull:"),
        ("a\r\n\n> b\x00\x1b[31m\u202etxt\u200b", "a &gt; b[31mtxt"),
        ("x" * 1000, "x" * 299 + "…"),
        ("&" * 1000, "&amp;" * 299 + "…"),
    ],
)
def test_what_users_say_makes_no_link_no_mention_and_no_formatting_in_slack(said: str, shown: str) -> None:
    told = about(Verb.COMMENT_CREATED, comment="018f", text=said)
    found = body(Format.SLACK, replace(told, link=""))["text"]
    assert found == f"reviewer commented on churn v7: “{shown}”."


# --- Odd text ---------------------------------------------------------------------------------------------------------

# What PostgreSQL can hold: no NUL, no half of a character.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40) | st.sampled_from(
    ["", "\r\nX-Injected: 1", "<!channel>", "https://evil.example", "{it.told}", "{0}", "%s", "😀\u202e\ufeff", "None"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KNOWN = re.findall(
    r"\w+",
    "version stage alias from_stage previous reason note summary text missing asked unasked members key value tags "
    "description source run check state rules changed role owner address author comment manifest",
)
EVENTS = st.builds(
    Told,
    id=st.uuids().map(str),
    verb=st.sampled_from(list(Verb)),
    at=st.datetimes(min_value=datetime.datetime(2020, 1, 1), timezones=st.just(datetime.UTC)),
    subject=TEXT,
    workspace=TEXT,
    model=TEXT,
    sequence=st.integers(1, 2**63 - 1),
    hash=st.just(HASH),
    actor=TEXT,
    data=st.dictionaries(st.sampled_from(KNOWN) | TEXT, VALUES, max_size=8),
    link=st.just("") | TEXT.map(lambda text: f"https://vouch.example.org/{text}"),
    address=st.just("https://vouch.example.org"),
)


@given(told=EVENTS, form=st.sampled_from(Format))
def test_odd_text_passes_through_every_format_and_never_into_a_header(told: Told, form: Format) -> None:
    if not expresses(form, told):
        return
    now = datetime.datetime.now(datetime.UTC)
    message = sent(form, told, at=now, secrets=[NEW, OLD], webhook_id="hook")
    found = json.loads(message.body.decode("utf-8"))
    assert sent(form, told, at=now, secrets=[NEW, OLD], webhook_id="hook") == message
    for name, value in message.headers.items():
        assert re.fullmatch(r"[\x20-\x7e]+", value), name
        assert not re.search("evil|Injected", value), name
    if form in (Format.VOUCH, Format.CLOUDEVENTS):
        assert Webhook(NEW).verify(message.body, dict(message.headers)) == found
        assert {key: value for key, value in found["data"].items() if key not in ("uri", "resolve", "files")} == {
            key: value for key, value in told.data.items() if key not in ("uri", "resolve", "files")
        }
    if form in (Format.SLACK, Format.DATABRICKS):
        words = re.sub(r" <https://vouch\.example\.org/[^<>|\s]*\|Open in Vouch>$", "", found["text"])
        assert not re.search(r"[<>\n@*`~]|://|\w\.[a-z]{2}", words)


def test_what_cannot_be_a_header_is_not_sent() -> None:
    with pytest.raises(ValueError, match="webhook-id"):
        written(Format.VOUCH, MOVED, delivery_id="1\r\nX-Injected: 1", at=AT)
