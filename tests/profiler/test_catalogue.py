"""Which version of an item a record meets, what is kept, and which records are not taken."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.catalogue import ITEM_BYTES_MAX, ITEM_REASONS, Catalogue, Item, item_of, read_item
from profiler.currency import Rates
from profiler.events import Click
from profiler.reference_cleaning import ReferenceCleaning

GRACE_MS = 10


def made(versions_max: int = 1_000) -> Catalogue:
    return Catalogue(grace_ms=GRACE_MS, versions_max=versions_max)


def titles(catalogue: Catalogue, item_id: str, *record_ms: int) -> list[str | None]:
    found = [catalogue.find(item_id, ms) for ms in record_ms]
    return [item.title if item is not None else None for item in found]


def item(item_id: str, title: str) -> Item:
    return Item(item_id=item_id, title=title)


def test_a_version_counts_for_records_that_are_later_by_the_grace() -> None:
    catalogue = made()

    catalogue.put("cup", item("cup", "A"), 100)
    catalogue.put("cup", item("cup", "B"), 200)

    assert titles(catalogue, "cup", 0, 109, 110, 209, 210) == [None, None, "A", "A", "B"]


def test_a_removed_item_is_not_known_from_then_on() -> None:
    catalogue = made()

    catalogue.put("cup", item("cup", "A"), 100)
    catalogue.put("cup", None, 200)
    catalogue.put("cup", item("cup", "B"), 300)

    assert titles(catalogue, "cup", 209, 210, 310) == ["A", None, "B"]


def test_a_version_never_begins_before_the_one_that_stands_before_it() -> None:
    catalogue = made()

    catalogue.put("cup", item("cup", "A"), 200)
    catalogue.put("cup", item("cup", "B"), 100)

    assert titles(catalogue, "cup", 110, 209, 210) == [None, None, "B"]


def test_what_says_nothing_new_is_no_version() -> None:
    catalogue = made()

    for at_ms in range(100, 200):
        catalogue.put("cup", item("cup", "A"), at_ms)

    assert catalogue.n_versions == 1
    assert titles(catalogue, "cup", 110) == ["A"]


def test_ids_that_mean_the_same_token_mean_the_same_item() -> None:
    catalogue = made()

    catalogue.put("\uff23up  1", item("\uff23up  1", "A"), 100)

    assert titles(catalogue, "Cup 1", 110) == ["A"]
    assert titles(catalogue, " Cup\u00a01", 110) == ["A"]


def test_replaced_versions_go_first_and_then_what_was_published_longest_ago() -> None:
    catalogue = made(versions_max=3)

    catalogue.put("old", item("old", "1"), 100)
    catalogue.put("cup", item("cup", "1"), 100)
    catalogue.put("cup", item("cup", "2"), 200)
    catalogue.put("hat", item("hat", "1"), 300)
    assert titles(catalogue, "cup", 150, 400) == [None, "2"]
    assert titles(catalogue, "old", 400) == ["1"]
    catalogue.put("old", item("old", "1"), 350)
    catalogue.put("bag", item("bag", "1"), 400)

    known = {name: titles(catalogue, name, 500) for name in ("old", "cup", "hat", "bag")}
    assert known == {"old": ["1"], "cup": [None], "hat": ["1"], "bag": ["1"]}
    assert (catalogue.n_items, catalogue.n_versions, catalogue.n_evicted) == (3, 3, 2)


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([None, "A", "B"])), max_size=60),
    st.integers(1, 6),
)
def test_no_more_versions_are_kept_than_may_be(
    said: list[tuple[str, str | None]], versions_max: int
) -> None:
    catalogue = made(versions_max)

    for at_ms, (name, title) in enumerate(said):
        catalogue.put(name, None if title is None else item(name, title), at_ms)

        assert catalogue.n_versions <= versions_max
        if title is not None:
            assert titles(catalogue, name, at_ms + GRACE_MS) == [title]
    latest = list(catalogue._latest.values())
    assert catalogue.n_items == sum(version.item is not None for version in latest)
    n_counted = 0
    while latest:
        n_counted += len(latest)
        latest = [version.before for version in latest if version.before is not None]
    assert n_counted == catalogue.n_versions


updates = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", " b"]),
        st.sampled_from([None, "A", "B", "C"]),
        st.integers(0, 50),
    ),
    max_size=20,
)


@given(updates, st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 80)), max_size=20))
def test_every_record_meets_the_version_that_the_definition_says(
    said: list[tuple[str, str | None, int]], asked: list[tuple[str, int]]
) -> None:
    catalogue, reference = made(), ReferenceCleaning(grace_ms=GRACE_MS)
    for name, title, at_ms in said:
        value = None if title is None else msgspec.json.encode(item(name, title))
        reference.feed(name.encode(), value, at_ms)
        catalogue.put(name, None if title is None else item(name, title), at_ms)

    for name, record_ms in asked:
        event = reference.clean(Click(ts=1, user_id="u", item_id=name), record_ms)

        assert titles(catalogue, name, record_ms) == [event.title]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"cup", b"{", "malformed"),
        (b"cup", b"[]", "malformed"),
        (b"cup", b"", "malformed"),
        (b"cup", b'{"item_id":"cup","title":"\xff"}', "malformed"),
        (b"cup", b"[" * 5_000, "malformed"),
        (b"cup", b" " * (ITEM_BYTES_MAX + 1), "oversize"),
        (b"cup", b'{"title":"A"}', "invalid:item_id"),
        (b"cup", b'{"item_id":"hat"}', "invalid:item_id"),
        (None, b'{"item_id":"cup"}', "invalid:item_id"),
        (None, None, "invalid:item_id"),
        (b"", None, "invalid:item_id"),
        (b"\xff", None, "malformed"),
        (b"cup", b'{"item_id":"cup","title":5}', "invalid:title"),
        (b"cup", b'{"item_id":"cup","category":""}', "invalid:category"),
        (b"cup", b'{"item_id":"cup","brand":[]}', "invalid:brand"),
        (b"cup", b'{"item_id":"cup","price":-1}', "invalid:price"),
        (b"cup", b'{"item_id":"cup","price":NaN}', "invalid:price"),
        (b"cup", b'{"item_id":"cup","currency":"eur"}', "invalid:currency"),
        (b"cup", b'{"item_id":"cup","price":1,"currency":"XXX"}', "invalid:currency"),
        (b"cup", b'{"item_id":"cup","tags":"red"}', "invalid:tags"),
        (b"cup", b'{"item_id":"cup","tags":[1]}', "invalid:tags"),
    ],
)
def test_a_record_that_is_no_item_is_not_taken(
    key: bytes | None, value: bytes | None, reason: str
) -> None:
    found = read_item(key, value, Rates("EUR", {"USD": {0: 1.0}}))

    assert found == reason
    assert reason in ITEM_REASONS


def test_a_currency_without_a_price_needs_no_rate() -> None:
    found = read_item(b"cup", b'{"item_id":"cup","currency":"XXX"}', Rates("EUR", {"USD": {0: 1}}))

    assert found == ("cup", Item(item_id="cup", currency="XXX"))


def test_a_row_of_a_file_is_judged_as_a_record_is() -> None:
    assert item_of({"item_id": "cup", "tags": ["a"]}) == Item(item_id="cup", tags=("a",))
    assert item_of({"item_id": "", "tags": []}) == "invalid:item_id"
    assert item_of({"item_id": "cup", "tags": [""]}) == "invalid:tags"
