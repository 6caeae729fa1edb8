"""examples/receiver.py as its users run it: a process of its own, which deploys what reaches Production once."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Signer

from accounts.actor import Actor
from accounts.models import User
from core import sealing
from core.addresses import Egress
from core.http import Sender
from registry.models import Delivery, Webhook
from registry.services import sending
from tests import make

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_" + "c2VjcmV0IHRoYXQgaXMgbG9uZyBlbm91Z2ggZm9yIHVz"
FORMER = "whsec_" + "dGhlIHNlY3JldCB0aGF0IHdhcyBiZWZvcmUgaXQgLi4u"


class Receiver:
    """The process, which can be killed and started anew on the same state."""

    def __init__(self, place: Path) -> None:
        self.place, self.url = place, ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "examples" / "receiver.py"), "--port", "0"]
        self._process = subprocess.Popen(
            [*command, "--state", str(self.place / "deployed.db")],
            env={**os.environ, "VOUCH_WEBHOOK_SECRET": f"{SECRET},{FORMER}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def deployed(self) -> dict[str, Any]:
        return {row["model"]: row for row in json.loads((self.place / "deployed.json").read_text())}

    def post(self, event: dict[str, Any], *, webhook_id: str = "one", secret: str = SECRET, **headers: str) -> int:
        body, at = json.dumps(event), datetime.datetime.now(datetime.UTC)
        signed = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Signer(secret).sign(webhook_id, at, body),
            **headers,
        }
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, body.encode(), signed), timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    started = Receiver(tmp_path)
    started.start()
    yield started
    started.kill()


def moved(version: int, sequence: int, stage: str = "Production") -> dict[str, Any]:
    data = {"stage": stage, "version": version, "manifest": f"{version:064}", "resolve": "https://vouch.example.org/"}
    event = {"type": "version.transitioned", "workspace": "default", "model": "churn", "sequence": sequence}
    return {**event, "timestamp": "2026-03-01T12:30:00Z", "data": data}


def test_what_reaches_production_is_deployed_with_the_digest_that_was_approved(
    requester: Actor, reviewer: Actor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(Egress.of(["127.0.0.0/8"], [443]))
    monkeypatch.setattr(sending, "_sender", lambda: sender)
    make.model(requester)
    owner = User.objects.get(username="requester")
    Webhook.objects.create(workspace=make.workspace(), url=receiver.url, secret=sealing.sealed(SECRET), owner=owner)
    for _ in range(2):
        candidate = make.version(requester)
        make.in_production(requester, reviewer, candidate)
    assert sending.deliver_due() == Delivery.objects.filter(state="delivered", status=204).count() > 6
    sender.close()
    row = receiver.deployed()["churn"]
    assert (row["version"], row["manifest"]) == (2, candidate.manifest.digest)
    assert re.search(r"/api/v1/resolve\?uri=models%3A%2Fchurn%2F2$", row["resolve"])


def test_a_duplicate_changes_nothing_not_even_after_a_kill(receiver: Receiver) -> None:
    assert receiver.post(moved(1, 10), webhook_id="one") == 204
    receiver.kill()
    receiver.start()
    # Other content under the same id shows which of the two was taken.
    assert receiver.post(moved(2, 20), webhook_id="one") == 204
    assert receiver.deployed()["churn"]["version"] == 1


def test_what_was_overtaken_is_not_deployed_not_even_after_a_kill(receiver: Receiver) -> None:
    assert receiver.post(moved(2, 20), webhook_id="two") == 204
    receiver.kill()
    receiver.start()
    assert receiver.post(moved(1, 10), webhook_id="one") == 204
    assert receiver.post(moved(1, 19, stage="Archived"), webhook_id="three") == 204
    assert (receiver.deployed()["churn"]["version"], receiver.deployed()["churn"]["sequence"]) == (2, 20)
    assert receiver.post(moved(1, 30), webhook_id="four", secret=FORMER) == 204
    assert receiver.deployed()["churn"]["version"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,bm90IGl0"},
        {"webhook-signature": "nonsense"},
        {"webhook-timestamp": str(int(time.time()) - 600)},
        {"webhook-id": "another"},
    ],
    ids=["another's", "no signature", "too old", "of another delivery"],
)
def test_what_is_not_signed_with_its_secret_is_refused(receiver: Receiver, headers: dict[str, str]) -> None:
    assert receiver.post(moved(1, 10), **headers) == 400
    assert receiver.deployed() == {}
