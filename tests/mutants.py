"""What must not be taken away: each mutant removes one guard from a copy of this tree, and a test has to fail.

`python3 bootstrap.py mutants` runs them all, or those named as arguments. A mutant that every test survives is a
guard that nothing watches: write the test that catches it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT = 900  # seconds, for the tests of one mutant


@dataclass(frozen=True)
class Mutant:
    """`text` in `file` becomes `instead`; then at least one test in `caught_by` fails."""

    name: str
    file: str
    text: str
    instead: str
    caught_by: Sequence[str]


def migration(name: str, sql: str, caught_by: Sequence[str]) -> Mutant:
    """A mutant of the database: `sql` runs after the last migration of the registry."""
    body = (
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [('registry', '{_last_migration()}')]\n    operations = [migrations.RunSQL({sql!r})]\n"
    )
    return Mutant(name, "registry/migrations/9999_mutant.py", "", body, caught_by)


def _last_migration() -> str:
    return max(file.stem for file in (ROOT / "registry" / "migrations").glob("[0-9]*.py"))


RACES = ("tests/registry/test_races.py",)
PROMOTIONS = ("tests/registry/test_promotions.py",)
MACHINE = ("tests/registry/test_workflow_machine.py",)
REOPENING = ("tests/registry/test_reopening.py",)
POLICIES = ("tests/registry/test_policies.py",)
DIRECT = ("tests/lineage/test_direct.py",)

MUTANTS = (
    Mutant(
        "the lock on the model",
        "registry/services/locks.py",
        'visible.select_for_update(of=("self",), no_key=True).first()',
        "visible.first()",
        RACES,
    ),
    Mutant(
        "the lock on the audit chain",
        "accounts/audit.py",
        "WHERE subject_id {} FOR UPDATE",
        "WHERE subject_id {}",
        ("tests/accounts/test_audit.py", *RACES),
    ),
    migration("the constraint of an exclusive stage", 'DROP INDEX "one_occupant_of_an_exclusive_stage"', RACES),
    migration("the constraint of one stage for each version", 'DROP INDEX "version_in_one_stage_at_a_time"', RACES),
    migration("the constraint of one open promotion", 'DROP INDEX "one_open_promotion_for_each_target"', RACES),
    migration(
        "the trigger that keeps audit entries",
        "DROP TRIGGER audit_rows_stay ON accounts_auditentry",
        ("tests/accounts/test_audit.py",),
    ),
    Mutant(
        "nobody approves his own work",
        "registry/services/promotions.py",
        "    if why := look.excludes(actor.user_id):\n",
        "    if why := None:\n",
        PROMOTIONS,
    ),
    Mutant(
        "an approval by somebody who took part later does not count",
        "registry/outlook.py",
        "            and approval.reviewer_id not in self.excluded\n",
        "",
        ("tests/registry/test_self_approval.py", *MACHINE),
    ),
    Mutant(
        "the digest that is posted is the evidence of now",
        "registry/services/promotions.py",
        "if evidence is not None and evidence != look.evidence.digest:",
        "if evidence == '':",
        PROMOTIONS,
    ),
    Mutant(
        "an approval without a digest is somebody's first word",
        "registry/services/promotions.py",
        "        _first_word(actor, promotion, look)\n",
        "        pass\n",
        ("tests/web/databricks/test_transition_requests.py",),
    ),
    Mutant(
        "an approval counts for its evidence only",
        "registry/outlook.py",
        "            approval.evidence == self.evidence.digest\n",
        "            True\n",
        (*PROMOTIONS, *MACHINE),
    ),
    Mutant(
        "a reviewer who lost the role does not count",
        "registry/outlook.py",
        "            and approval.reviewer_id in self.reviewers\n",
        "",
        PROMOTIONS,
    ),
    Mutant(
        "a person with two accounts counts once",
        "registry/outlook.py",
        "approval.reviewer.responsible_id or approval.reviewer_id",
        "approval.reviewer_id",
        (*PROMOTIONS, *MACHINE),
    ),
    Mutant(
        "a reopened promotion starts without approvals",
        "registry/services/promotions.py",
        "    promotion.round += 1\n",
        "",
        (*REOPENING, *MACHINE),
    ),
    Mutant(
        "a stricter policy holds for what is open",
        "registry/services/carrying.py",
        "    asked = tightened(promotion.terms, now.terms)\n",
        "    asked = ()\n",
        (*POLICIES, *MACHINE),
    ),
    Mutant(
        "gates hold a promotion",
        "registry/outlook.py",
        '        return (*self.unvouched, *(f"{judged.title}: {judged.verdict.reason}" for judged in self.failing))\n',
        "        return self.unvouched\n",
        ("tests/registry/test_checks.py", *MACHINE),
    ),
    Mutant(
        "an overdue promotion is not decided",
        "registry/services/promotions.py",
        "    if promotion.expires_at <= timezone.now():\n        raise PromotionOverdue",
        "    if False:\n        raise PromotionOverdue",
        PROMOTIONS,
    ),
    Mutant(
        "deliveries are owed in the transaction of the write",
        "registry/outbox.py",
        "    Delivery.objects.bulk_create(owed)\n",
        "    from django.db.transaction import on_commit\n    on_commit(lambda: Delivery.objects.bulk_create(owed))\n",
        ("tests/registry/test_catalog.py",),
    ),
    Mutant(
        "what a client may still change is put aside before it is read",
        "lineage/services/direct.py",
        "        read = bucket.put_aside(row.key)\n",
        "        read = row.key\n",
        DIRECT,
    ),
    Mutant(
        "nothing is registered before it was read",
        "lineage/services/artifacts.py",
        "        raise DigestUnknown(path=late.path)\n",
        "        pass\n",
        DIRECT,
    ),
    Mutant(
        "what a version was registered from is not removed",
        "lineage/services/artifacts.py",
        '        raise FilesSealed(path=path or "/")\n',
        "        pass\n",
        DIRECT,
    ),
    Mutant(
        "a link to a file dies with its version",
        "registry/links.py",
        "pk=version, deleted_at__isnull=True, ",
        "pk=version, ",
        ("tests/web/databricks/test_artifacts.py",),
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Run the mutants, two at a time; returns 1 when one of them survives."""
    parser = argparse.ArgumentParser(prog="bootstrap.py mutants", description=__doc__)
    parser.add_argument("name", nargs="*", help="words of the names of those to run; all by default")
    parser.add_argument("--list", action="store_true", help="only name them")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if not options.name or any(word in m.name for word in options.name)]
    if options.list:
        print("\n".join(mutant.name for mutant in chosen))
        return 0
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_run, chosen))
    survivors = [mutant.name for mutant, caught in zip(chosen, results, strict=True) if not caught]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants were caught.")
    for name in survivors:
        print(f"SURVIVED: {name}")
    return 1 if survivors else 0


def mutated(mutant: Mutant, tree: Path) -> None:
    """Put the mutant into `tree`; ValueError when its text is not there exactly once."""
    file = tree / mutant.file
    if not mutant.text:
        file.write_text(mutant.instead)
        return
    source = file.read_text()
    if source.count(mutant.text) != 1:
        raise ValueError(f"{mutant.name}: {mutant.text!r} is {source.count(mutant.text)} times in {mutant.file}")
    file.write_text(source.replace(mutant.text, mutant.instead))


def _run(mutant: Mutant) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vouch-mutant-") as place:
        tree = Path(place) / "tree"
        os.chmod(place, 0o755)
        _copy(tree)
        mutated(mutant, tree)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.caught_by]
        ours = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "PYTHONPATH")}
        try:
            run = subprocess.run(
                command, cwd=tree, env=ours, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
            )
            status, told = run.returncode, run.stdout
        except subprocess.TimeoutExpired:
            status, told = 1, "FAILED it hung\n"  # a guard against waiting for ever is a guard as well
    # 1: tests failed. Anything else (2 … 5) means that they did not run.
    first = re.search(r"^(?:FAILED|ERROR) (.*)$", told, re.MULTILINE)
    caught = status == 1 and first is not None
    by = (
        first.group(1)[:110]
        if caught and first
        else f"pytest ended with {status}\n{told[-2000:] if status > 1 else ''}"
    )
    print(f"{'caught  ' if caught else 'SURVIVED'} {mutant.name} ({time.monotonic() - began:.0f} s): {by}", flush=True)
    return caught


def _copy(tree: Path) -> None:
    """The files that git knows or would add, and the environments by link."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    for environment in (".venv", ".venvs"):
        if (ROOT / environment).exists():
            (tree / environment).symlink_to(ROOT / environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
