"""The mutants still apply: running them takes too long for every day, see `python3 bootstrap.py mutants`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_guard_that_a_mutant_removes_is_there(mutant: Mutant) -> None:
    if mutant.text:
        assert (ROOT / mutant.file).read_text().count(mutant.text) == 1, "bring its text in tests/mutants.py up to date"
    assert all((ROOT / Path(tests)).exists() for tests in mutant.caught_by)
