"""What lies in the files of two versions, compared: packages, the columns of the signature, the model card."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from lineage.declared import Declared, declared
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


def inside(candidate: Version, incumbent: Version | None) -> Inside:
    """What changed in what two versions' files declare, whose manifests are loaded. One query, and small files read.

    Not to be called in a transaction.
    """
    manifests = [version.manifest for version in (candidate, incumbent) if version and version.manifest]
    found = declared(manifests)
    after, before = _of(candidate, found), _of(incumbent, found)
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


def _of(version: Version | None, found: Mapping[uuid.UUID, Declared]) -> Declared | None:
    """What a version's files declare: nothing where they declare nothing, None where nobody looked into them."""
    if version is None or version.manifest is None or version.manifest.contents is None:
        return None
    return found.get(version.manifest.pk, _NOTHING)
