"""One level of a folder, page by page: at a cost that does not grow with what lies below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from core import text
from lineage.models import Folder

PER_PAGE = 100


@dataclass(frozen=True)
class Entry:
    """A file, or a directory: that has no size and no digest. `path` is the whole one."""

    name: str
    path: str
    size: int | None
    sha256: str


@dataclass(frozen=True)
class Level:
    """Entries by name; `after` is where the next page begins, empty on the last."""

    entries: tuple[Entry, ...]
    after: str


# From one entry to the next by the index: past a file to what follows it, past a directory to the first path that does
# not lie in it. "0" is what comes after "/".
_LEVEL = """
WITH RECURSIVE entry AS (
    (SELECT path, size, sha256, 1 AS place FROM lineage_folderfile
      WHERE folder_id = %(folder)s AND path >= %(from)s AND path < %(end)s ORDER BY path LIMIT 1)
    UNION ALL
    (SELECT next.path, next.size, next.sha256, entry.place + 1
       FROM entry
      CROSS JOIN LATERAL (SELECT substr(entry.path, %(length)s + 1) AS rest) AS inner_path
      CROSS JOIN LATERAL (
        SELECT path, size, sha256 FROM lineage_folderfile
         WHERE folder_id = %(folder)s AND path < %(end)s
           AND path >= CASE WHEN position('/' IN rest) > 0 THEN %(prefix)s || split_part(rest, '/', 1) || '0'
                            ELSE entry.path || chr(1) END COLLATE "C"
         ORDER BY path LIMIT 1
      ) AS next
      WHERE entry.place <= %(most)s)
)
SELECT path, size, sha256 FROM entry ORDER BY place
"""


def level(folder: Folder, path: str = "", *, after: str = "") -> Level:
    """The first PER_PAGE entries directly below `path` ("" for the top), from `after` on. One query. Raises BadPath."""
    prefix = f"{text.artifact_path(path)}/" if path else ""
    begin = f"{prefix}{text.searchable(after)}" if after else prefix
    values: dict[str, Any] = {
        "folder": folder.pk, "prefix": prefix, "from": begin, "end": f"{prefix[:-1]}0" if prefix else "\U0010ffff",
        "length": len(prefix), "most": PER_PAGE,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_LEVEL, values)
        found = [_entry(prefix, *row) for row in cursor.fetchall()]
    return Level(tuple(found[:PER_PAGE]), _place(found[PER_PAGE]) if len(found) > PER_PAGE else "")


def _place(entry: Entry) -> str:
    """Where an entry stands in the order of the paths: `a/` comes after `a-1` and `a.txt`, though `a` comes before."""
    return entry.name if entry.sha256 else f"{entry.name}/"


def _entry(prefix: str, path: str, size: int, sha256: str) -> Entry:
    name, slash, _ = path.removeprefix(prefix).partition("/")
    return Entry(name, f"{prefix}{name}", None, "") if slash else Entry(name, path, size, sha256)
