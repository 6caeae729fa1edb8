"""One level of a folder: what lies directly below a path, page by page, however much lies further down."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.actor import Actor
from core.text import BadPath
from lineage import levels
from lineage.models import Folder, FolderFile, Run
from lineage.queries import listing
from lineage.services import experiments, runs

pytestmark = pytest.mark.django_db


def folder_of(owner: Actor, *paths: str) -> Folder:
    run: Run = runs.create(owner, experiments.default(owner), tags={})
    folder = Folder.objects.create(workspace_id=owner.workspace_id, run=run)
    rows = [
        FolderFile(folder=folder, path=path, sha256="a" * 64, size=7, uploaded_by_id=owner.user_id) for path in paths
    ]
    FolderFile.objects.bulk_create(rows)
    return folder


PATHS = ("a", "a.txt", "a-/x", "b/1", "b/2/3", "b0", "b/2/4", "bb", "b/2-", "ä/ö", "日本/x", "zz/\U0001f600")


@pytest.mark.parametrize("path", ["", "b", "b/2", "ä", "日本", "zz", "nothing", "a"])
def test_a_level_is_what_the_whole_list_says(requester: Actor, path: str) -> None:
    folder = folder_of(requester, *PATHS)
    found = [(entry.name, entry.size) for entry in levels.level(folder, path).entries]
    assert sorted(found) == listing([(each, 7) for each in PATHS], path)


def test_it_is_read_page_by_page_and_each_page_is_one_query(
    requester: Actor, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(levels, "PER_PAGE", 5)
    names = [f"d{n}" for n in range(12)]
    folder = folder_of(requester, *(f"top/{name}/{part}" for name in names for part in range(30)))
    seen: list[str] = []
    after = ""
    for _ in range(3):
        with django_assert_num_queries(1):
            page = levels.level(folder, "top", after=after)
        seen += [entry.name for entry in page.entries]
        after = page.after
    assert (seen, after) == (sorted(names), "")


@pytest.mark.parametrize("path", ["../x", "/x", "x/", "a\\b"])
def test_a_path_that_could_climb_out_is_refused(requester: Actor, path: str) -> None:
    with pytest.raises(BadPath):
        levels.level(folder_of(requester, "a"), path)
    assert levels.level(folder_of(requester, "a"), after="\0\ud800zz").entries == ()


def test_a_directory_beside_files_that_begin_with_its_name_is_reached_by_the_pages(
    requester: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`model-1` stands before `model/…`, though `model` by itself stands before both."""
    monkeypatch.setattr(levels, "PER_PAGE", 3)
    folder = folder_of(requester, "model-1", "model-2", "model.txt", "model/a", "model/b", "z")
    first = levels.level(folder)
    second = levels.level(folder, after=first.after)
    assert [entry.name for entry in first.entries] == ["model-1", "model-2", "model.txt"]
    assert ([entry.name for entry in second.entries], second.after) == (["model", "z"], "")
