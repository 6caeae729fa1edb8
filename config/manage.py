"""`bootstrap.py manage …`: Django's command line on the services of the Vouch that runs.

The bundled servers choose a port and a password at each start, so a command in another terminal has to be told.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from config import datadir


def main() -> int:
    """Run a management command with the environment that `config.up` left in the data directory."""
    data = Path(os.environ.get("VOUCH_DATA") or datadir.default_data())
    known = {} if os.environ.get("DATABASE_URL") else running(data)
    if known is None:
        sys.stderr.write(
            f"No Vouch runs on {data}. Start one (bootstrap.py up), name its directory with VOUCH_DATA=DIR, or set "
            f"DATABASE_URL, REDIS_URL and VOUCH_SECRET_KEY.\n"
        )
        return 1
    for name, value in known.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage", *sys.argv[1:]])
    return 0


def running(data: Path) -> dict[str, str] | None:
    """The environment of the Vouch that holds `data`; None when there is none, whatever a killed one left behind."""
    try:
        known: dict[str, str] = json.loads((data / datadir.RUNNING).read_text())
        with datadir.claim(data):
            return None
    except OSError:
        return None
    except datadir.CannotStart:
        return known


if __name__ == "__main__":
    sys.exit(main())
