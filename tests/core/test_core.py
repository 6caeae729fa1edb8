"""Canonical JSON, text from outside, paging, ids, messages."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.actor import Actor
from core import paging, text
from core.canonical import canonical_json, digest
from core.errors import Invalid, shown
from core.ids import uuid7
from registry.models import Model
from tests import make

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(JSON)
def test_the_canonical_form_survives_a_round_trip(value: object) -> None:
    assert digest(json.loads(canonical_json(value))) == digest(value)


def test_the_order_of_keys_does_not_count_and_everything_else_does() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert digest({"a": 1}) != digest({"a": "1"})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


@given(st.text())
def test_a_path_that_passes_cannot_climb_out_however_often_it_is_decoded(path: str) -> None:
    try:
        text.artifact_path(path)
    except Invalid:
        return
    for _ in range(6):
        assert ".." not in path.replace("\\", "/").split("/")
        assert not path.startswith("/")
        path = unquote(path)


@given(st.text(max_size=300))
def test_what_is_shown_of_a_value_holds_no_control_characters_and_is_short(value: str) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) <= 6 * 200 + 1


def test_ids_sort_by_time() -> None:
    made = [uuid7() for _ in range(3)]
    assert {value.version for value in made} == {7}
    assert sorted(value.int >> 80 for value in made) == [value.int >> 80 for value in made]


@pytest.mark.parametrize("size", [0, -1, 501, "abc", "1.5", "", None])
def test_page_sizes_have_bounds_and_a_default(size: object) -> None:
    if size in ("", None):
        assert paging.page_size(size, default=50, limit=500) == 50
        return
    with pytest.raises(paging.BadPageSize):
        paging.page_size(size, default=50, limit=500)


@pytest.mark.django_db
def test_pages_give_every_row_once_also_when_rows_come_meanwhile(requester: Actor) -> None:
    for number in range(10):
        make.model(requester, f"m{number}")
    seen, token = [], ""
    for turn in range(10):
        rows = Model.objects.visible_to(requester)
        page = paging.paginate(rows, order=("-updated_at", "-id"), size=3, token=token, query={})
        seen += [model.name for model in page.items]
        token = page.next_token
        make.model(requester, f"later-{turn}")
        if not token:
            break
    assert seen == [f"m{number}" for number in reversed(range(10))]


@pytest.mark.django_db
def test_a_page_token_is_good_for_its_own_query_alone(requester: Actor) -> None:
    for number in range(3):
        make.model(requester, f"m{number}")
    rows = Model.objects.visible_to(requester)
    token = paging.paginate(rows, order=("name", "id"), size=1, token="", query={"stage": "a"}).next_token
    paging.paginate(rows, order=("name", "id"), size=1, token=token, query={"stage": "a"})
    forged = [token[:-1] + ("A" if token[-1] != "A" else "B"), "x", "e30:x:y", "a" * 5000, "\x00", token.swapcase()]
    for bad, query in [(token, {"stage": "b"}), *((value, {"stage": "a"}) for value in forged)]:
        with pytest.raises(paging.BadPageToken):
            paging.paginate(rows, order=("name", "id"), size=1, token=bad, query=query)
    with pytest.raises(paging.BadPageToken):
        paging.paginate(rows, order=("-name", "-id"), size=1, token=token, query={"stage": "a"})


def test_of_no_lists_there_is_one_page_with_nothing_on_it() -> None:
    assert paging.paginate_in_turn([], order=("id",), size=5, token="", query="x") == paging.Page([], "")
    with pytest.raises(paging.BadPageToken):
        paging.paginate_in_turn([], order=("id",), size=5, token="1.", query="x")
