"""How long a promotion holds its model's lock: three approvals, five gates, on PostgreSQL with fsync.

The lock is held from the statement that takes it to the end of the commit. Measured in this process, as the services
run in a web process, beside a bare transaction that locks one row and commits: what the machine itself asks for.
Run with the project's own Python: `.venv/bin/python bench/promote.py`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import embedded  # noqa: E402

RULES: dict[str, Any] = {
    "approvals": 3,
    "gates": [
        {"gate": "metric_threshold", "metric": "auc", "at_least": 0.5},
        {"gate": "metric_threshold", "metric": "loss", "at_most": 0.5},
        {"gate": "metric_threshold", "metric": "f1", "at_least": 0.5},
        {"gate": "metric_threshold", "metric": "latency", "check": "load", "at_most": 50},
        {"gate": "required_checks", "names": ["tests", "load"]},
    ],
}


def main() -> int:
    """Measure and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long promotions are carried out")
    parser.add_argument("--models", type=int, default=20, help="models that take turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vouch-bench-") as place:
        os.chmod(place, 0o755)
        with embedded.services(Path(place) / "services") as services:
            os.environ.update(DATABASE_URL=services.database, REDIS_URL=services.redis, VOUCH_SECRET_KEY="bench")
            os.environ.update(DJANGO_SETTINGS_MODULE="config.settings", VOUCH_DATA=str(Path(place) / "data"))
            measured = measure(options)
    report(measured, options)
    return 0


def measure(options: argparse.Namespace) -> dict[str, list[tuple[float, int]]]:
    """For each kind of write: (milliseconds that the lock was held, statements under it), one for each repetition."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction

    call_command("migrate", verbosity=0)
    from accounts.roles import Role
    from lineage.services import experiments, runs
    from lineage.services.metrics import Point
    from registry.models import Model
    from registry.policy import Scope
    from registry.services import catalog, checks, policies, promotions
    from registry.services.catalog import Origin
    from tests import make

    engineer, maintainer = make.actor("ci", Role.CONTRIBUTOR), make.actor("maintainer", Role.MAINTAINER)
    reviewers = [make.actor(f"reviewer-{number}", Role.REVIEWER) for number in range(3)]
    policies.write(maintainer, Scope(), "Production", RULES)
    names = [make.model(engineer, f"model-{number}").name for number in range(options.models)]
    experiment = experiments.default(engineer)
    measured: dict[str, list[tuple[float, int]]] = {}

    def timed(label: str, act: Callable[[], Any]) -> Any:
        with lock_held(connection) as held:
            done = act()
        measured.setdefault(label, []).append((held.milliseconds, held.statements))
        return done

    def bare() -> None:
        with transaction.atomic():
            model = Model.objects.select_for_update(no_key=True).get(name=names[0])
            model.save(update_fields=["updated_at"])

    until, turn = time.monotonic() + options.seconds, 0
    while time.monotonic() < until or turn < 2:
        name, turn = names[turn % len(names)], turn + 1
        run = runs.create(engineer, experiment, tags={})
        runs.log(engineer, run.pk, metrics=passing(Point))
        origin = Origin(source=f"s3://bucket/{turn}", run=run, run_ref=run.pk.hex)
        number = catalog.register_version(engineer, name, origin).version.number
        for check in ("tests", "load"):
            checks.report(engineer, name, number, check=check, state="passed", values={"latency": 12.5})
        promotion = timed("request", partial(promotions.request, engineer, name, number, "Production"))
        evidence = make.evidence(promotion)
        for place, reviewer in enumerate(reviewers):
            label = "last approval, carried out" if place == 2 else "approval"
            done = timed(label, partial(promotions.approve, reviewer, promotion.pk, evidence=evidence))
        assert done.state == "promoted", done.state
        timed("bare transaction, one row locked and saved", bare)
    return measured


def passing(point: Callable[..., Any]) -> list[Any]:
    """Metrics that pass the gates."""
    now = int(time.time() * 1000)
    return [point(key, value, now, 0) for key, value in {"auc": 0.9, "loss": 0.1, "f1": 0.8}.items()]


class Held:
    """How long the row lock of a model was held, and how many statements ran under it."""

    began = milliseconds = 0.0
    statements = 0


@contextmanager
def lock_held(connection: Any) -> Iterator[Held]:
    """Watches the one write inside the block; the commit is at its end."""
    held = Held()

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if held.began:
            held.statements += 1
        elif "registry_model" in sql and "FOR NO KEY UPDATE" in sql:
            held.began = time.perf_counter()
        return result

    with connection.execute_wrapper(watch):
        yield held
    held.milliseconds = (time.perf_counter() - held.began) * 1000


def report(measured: dict[str, list[tuple[float, int]]], options: argparse.Namespace) -> None:
    """Print what `bench/results/promote.md` keeps."""
    print(f"\n`--seconds {options.seconds:g} --models {options.models}`\n")
    print("| write | times | lock held, median ms | p99 ms | statements under the lock |")
    print("|---|---:|---:|---:|---:|")
    for label, each in measured.items():
        times = sorted(milliseconds for milliseconds, _ in each)
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        statements = sorted({count for _, count in each})
        told = str(statements[0]) if len(statements) == 1 else f"{statements[0]}–{statements[-1]}"
        print(f"| {label} | {len(each)} | {statistics.median(times):.1f} | {p99:.1f} | {told} |")


if __name__ == "__main__":
    sys.exit(main())
