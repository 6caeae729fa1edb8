"""The short form of `python3 bootstrap.py faults`."""

from __future__ import annotations

import subprocess
import sys

from tests.faults.house import ROOT


def test_every_event_arrives_whatever_dies_and_no_receiver_holds_up_another() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.faults", "--short"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All bounds hold." in done.stdout
