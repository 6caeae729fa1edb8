"""`bootstrap.py up`, without the sample models: what it refuses, what it leaves behind, what it carries on from."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config import datadir, up
from tests.config.processes import descendants, gone, within

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Ours without what the run's own servers put there."""
    ours = ("DATABASE_URL", "REDIS_URL", "VOUCH_", "DJANGO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def start(data: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "config.up", "--no-sample", "--data", str(data), *options],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def vouch(data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, list[int]]]:
    """A Vouch that is up: its process, what it said, and the processes below it, none of which survive the block."""
    process = start(data, *options)
    assert process.stdout is not None
    below: list[int] = []
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "Ctrl-C stops" in line:
                break
        below = descendants(process.pid)
        assert process.poll() is None, said
        yield process, said, below
    finally:
        process.kill()
        process.communicate()
        assert within(15, lambda: all(gone(pid) for pid in below)), f"still there: {below}"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def ask(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_from_nothing_to_healthy_and_on_again_after_ctrl_c_and_after_kill_9(tmp_path: Path) -> None:
    data, note, port = tmp_path / "data", tmp_path / "vouch.json", free_port()
    with vouch(data, "--port", port, "--json", str(note)) as (process, said, below):
        assert note.stat().st_mode & 0o777 == 0o600
        known = json.loads(note.read_text())
        assert known["url"] == f"http://127.0.0.1:{port}"
        assert set(known["accounts"]) == {"admin", "reviewer", "ci"}
        for name, account in known["accounts"].items():
            assert ask(f"{known['url']}/api/v1/me", account["token"])["username"] == name
            assert account["password"] in said
        token = known["accounts"]["ci"]["token"]
        assert token in said

        # A second one on the same data is refused by the number of the first.
        second = start(data, "--port", free_port())
        assert f"in use by another Vouch (process {process.pid})" in second.communicate(timeout=30)[0]
        assert second.returncode == 1

        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Stopped. The data stay where they are" in rest
        assert len(below) >= 8
        assert [pid for pid in below if not gone(pid)] == []

    with vouch(data, "--port", port) as (process, said, below):
        assert "Accounts, passwords and tokens are as before" in said
        assert ask(f"http://127.0.0.1:{port}/api/v1/me", token)["username"] == "ci"
        running = datadir.RUNNING
        assert (data / running).stat().st_mode & 0o777 == 0o600
        process.kill()
        process.wait()
        assert within(15, lambda: all(gone(pid) for pid in below)), [pid for pid in below if not gone(pid)]


def test_the_next_commands_stand_ready_to_be_pasted() -> None:
    account = {"password": "p", "token": "vch-t"}
    said = up.farewell(
        "http://127.0.0.1:8000", Path("/d"), {"accounts": dict.fromkeys(up.ACCOUNTS, account)}, sample=True
    )
    assert '/api/v1/resolve?uri=models:/breast-cancer/Production"\n' in said
    assert f'"{up.SAMPLE}"' in (ROOT / "examples" / "sample.py").read_text()
    assert "export MLFLOW_TRACKING_URI=http://127.0.0.1:8000 MLFLOW_TRACKING_TOKEN=vch-t\n" in said
    for path in re.findall(r"\S*examples/\S+\.py", said):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("port", ["taken", "99999", "0"])
def test_a_port_that_cannot_be_had_is_named_before_anything_is_made(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1]) if port == "taken" else port
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            assert up.main(["--port", number, "--data", str(tmp_path / "data")]) == 1
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
    said = capsys.readouterr().err
    assert f"Cannot listen on 127.0.0.1 port {number}" in said
    assert "--port" in said
    assert not (tmp_path / "data").exists()


def test_plain_http_beyond_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOUCH_URL")
    with pytest.raises(datadir.CannotStart, match="VOUCH_URL=https"):
        up.public_url("0.0.0.0", 8000)
    assert up.public_url("::1", 8000) == "http://[::1]:8000"
    monkeypatch.setenv("VOUCH_URL", "https://vouch.example.org/")
    assert up.public_url("0.0.0.0", 8000) == "https://vouch.example.org"


def test_a_file_for_scripts_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(datadir.CannotStart, match="Cannot write"):
        up.write_private(tmp_path / "missing" / "vouch.json", {})


def test_a_file_for_scripts_is_never_readable_by_others_even_if_the_old_one_was(tmp_path: Path) -> None:
    note = tmp_path / "vouch.json"
    note.write_text("{}")
    note.chmod(0o666)
    up.write_private(note, {"url": "x"})
    assert note.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["vouch.json"]
