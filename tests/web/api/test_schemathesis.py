"""The OpenAPI document and the live server agree, whatever is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.live import Live
from tests.web.api.test_live import approve, call, candidate

SECONDS = int(os.environ.get("VOUCH_FUZZ_SECONDS", "120"))


def test_nothing_that_is_sent_gets_an_answer_off_the_schema(live: Live, tmp_path: Path) -> None:
    """Longer by hand: VOUCH_FUZZ_SECONDS=1200 python -m pytest tests/web/api/test_schemathesis.py"""
    opened, promoted = candidate(live), candidate(live)
    approve(live, promoted)
    assert call(live, "ci", "PUT", f"models/{promoted['model']}/aliases/champion", {"version": 1})[0] == 200
    fuzzer = call(
        live,
        "admin",
        "POST",
        "tokens",
        {"name": "fuzzer", "scopes": ["read", "register", "request", "review", "admin"]},
    )[2]
    known = {
        "name": [opened["model"], promoted["model"]],
        "model": [opened["model"], promoted["model"]],
        "number": [1],
        "version": [1],
        "alias": ["champion"],
        "promotion_id": [opened["id"], promoted["id"]],
        "uri": [f"models:/{promoted['model']}/Production", f"models:/{promoted['model']}@champion"],
        "path": ["model.bin"],
        "user": ["ci"],
    }
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{live.url}/api/v1/openapi.yaml",
            f"--header=Authorization: Bearer {fuzzer['token']}",
            "--exclude-checks=positive_data_acceptance",
            "--continue-on-failure",
            "--no-color",
            "--seed=1",
            "--max-examples=10",
            f"--max-time={SECONDS}",
            "--request-timeout=20",
            "--suppress-health-check=all",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "VOUCH_FUZZ_KNOWN": json.dumps(known),
        },
        capture_output=True,
        text=True,
        timeout=SECONDS * 3 + 120,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
