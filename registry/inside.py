"""What lies in the files of two versions, compared: packages, the columns of the signature, the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lineage.declared import Declared, declared, declaring
from lineage.inspection import Listed
from lineage.provenance import FileChanges
from registry.comparison import Difference, differences
from registry.models import Version
from registry.text_diff import TextDiff, text_diff

_NOTHING = Declared()


@dataclass(frozen=True)
class Inside:
    """How what the candidate's files declare differs from the incumbent's.

    `known` says whether somebody has looked into the files of each; `unread` what of them could not be read.
    """

    known: bool
    incumbent_known: bool
    packages: tuple[Difference, ...]
    packages_same: int
    columns: tuple[Difference, ...]
    columns_same: int
    card: TextDiff
    unread: tuple[str, ...]


def inside(candidate: Version, incumbent: Version | None, files: FileChanges) -> Inside:
    """What changed in what two versions' files declare, whose manifests are loaded.

    `files` has the files of both that declare something. They are read, so not to be called in a transaction.
    """
    now_there = [Listed(f.path, f.after, f.after_size) for f in files.also if f.after and f.after_size is not None]
    then_there = [Listed(f.path, f.before, f.before_size) for f in files.also if f.before and f.before_size is not None]
    after, before = _of(candidate, now_there), _of(incumbent, then_there)
    now, then = after or _NOTHING, before or _NOTHING
    packages, packages_same = differences(then.packages, now.packages)
    columns, columns_same = differences(then.columns, now.columns)
    unread = [f"v{candidate.number}, {told}" for told in now.unread]
    unread += [f"v{incumbent.number}, {told}" for told in then.unread] if incumbent else []
    return Inside(
        known=after is not None,
        incumbent_known=before is not None,
        packages=packages,
        packages_same=packages_same,
        columns=columns,
        columns_same=columns_same,
        card=text_diff(then.card, now.card),
        unread=tuple(unread),
    )


def _of(version: Version | None, files: Sequence[Listed]) -> Declared | None:
    """What a version's files declare; None where nobody looked into them."""
    if version is None or version.manifest is None or version.manifest.contents is None:
        return None
    wanted = declaring(version.manifest.contents)
    return declared(file for file in files if file.path in wanted)
