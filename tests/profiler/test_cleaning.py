"""Cleaning in the core: equal to its definition, however items and events interleave."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.audit import Auditor, Comparison
from profiler.batch import Preparer, Screen
from profiler.catalogue import Catalogue, Item, read_item
from profiler.cleaning import Cleaner
from profiler.columns import DAY_MS
from profiler.currency import Rates
from profiler.recompute import Reference
from profiler.records import RawRecord
from profiler.reference_cleaning import ReferenceCleaning
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from profiler.tokens import token_hash
from tests.folding import Fold

START = 1_700_000_000_000
SECOND, GRACE_MS = 1_000, 10_000
RATES = Rates("EUR", {"USD": {START // DAY_MS: 1.25, START // DAY_MS + 1: 2.0}, "JPY": {0: 160.0}})
CUP = Item(item_id="cup", title="Blue cup", category="ware", brand="Acme", price=5, currency="USD")


def cleaner(*items: Item, rates: Rates | None = RATES, at_ms: int = 0) -> Cleaner:
    catalogue = Catalogue(grace_ms=GRACE_MS, versions_max=100)
    for item in items:
        catalogue.put(item.item_id, item, at_ms)
    return Cleaner(rates, catalogue)


def fold(cleaning: Cleaner) -> Fold:
    made = Fold()
    made.preparer = Preparer(made.pseudonymiser, made.screen, cleaner=cleaning)
    return made


def record(event: dict[str, Any], offset: int = 0, at_ms: int | None = START) -> RawRecord:
    value = msgspec.json.encode({"ts": START, "user_id": "u"} | event)
    return RawRecord("profiler.events", 0, offset, at_ms, None, value)


def spent(event: dict[str, Any], cleaning: Cleaner) -> float:
    made = fold(cleaning)
    made.apply([record({"type": "purchase"} | event)])
    return float(made.row("user", "u")["value.spent"][0])


def test_amounts_become_those_of_the_base() -> None:
    assert spent({"price": 10.0, "currency": "USD", "quantity": 3}, cleaner()) == 24.0
    assert spent({"price": 320.0, "currency": "JPY"}, cleaner()) == 2.0
    assert spent({"price": 10.0, "currency": "EUR"}, cleaner()) == 10.0
    assert spent({"price": 10.0}, cleaner()) == 10.0


def test_without_rates_amounts_stay_as_they_are() -> None:
    assert spent({"price": 10.0, "currency": "USD"}, Cleaner()) == 10.0
    assert spent({"price": 10.0, "currency": "XXX"}, Cleaner()) == 10.0


def test_the_date_of_the_event_counts_not_that_of_its_record() -> None:
    later = {"price": 10.0, "currency": "USD", "ts": START - DAY_MS}

    assert spent(later, cleaner()) == spent(later | {"ts": START}, cleaner()) == 8.0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_amount_in_an_unknown_currency_is_a_dead_letter_and_its_neighbours_count(
    place: int,
) -> None:
    made = fold(cleaner())
    records = [record({"type": "purchase", "price": 1.0, "currency": "USD"}, k) for k in range(3)]
    records[place] = record({"type": "purchase", "price": 1.0, "currency": "XXX"}, place)

    prepared, _ = made.apply(records)

    assert [(r.index, r.reason) for r in prepared.rejected] == [(place, "invalid:currency")]
    assert made.row("user", "u")["value.spent"] == 1.6


def test_a_currency_without_an_amount_needs_no_rate() -> None:
    made = fold(cleaner())

    prepared, _ = made.apply([record({"type": "click", "currency": "XXX"})])

    assert prepared.rejected == []


def test_an_event_that_carries_only_an_item_id_takes_the_rest_from_the_catalogue() -> None:
    bare, full = fold(cleaner(CUP)), fold(cleaner())

    bare.apply([record({"type": "purchase", "item_id": "cup"})])
    said = {"title": "Blue cup", "category": "ware", "brand": "Acme", "price": 4.0}
    full.apply([record({"type": "purchase", "item_id": "cup"} | said)])

    assert bare.row("user", "u").tobytes() == full.row("user", "u").tobytes()


@pytest.mark.parametrize(
    ("title", "own", "words"),
    [
        ("Blue cup", None, "Blue cup garden gift"),
        ("Blue cup", "Red mug", "Red mug garden gift"),
        (None, None, "garden gift"),
    ],
)
def test_tags_are_read_as_words_after_the_title(
    title: str | None, own: str | None, words: str
) -> None:
    tagged = Item(item_id="cup", title=title, tags=("garden", "gift"))
    bare, full = fold(cleaner(tagged)), fold(cleaner())

    bare.apply([record({"type": "click", "item_id": "cup"} | ({"title": own} if own else {}))])
    full.apply([record({"type": "click", "item_id": "cup", "title": words})])

    assert bare.row("user", "u").tobytes() == full.row("user", "u").tobytes()


def test_what_the_event_says_itself_stands() -> None:
    made = fold(cleaner(CUP))

    event = {"type": "purchase", "item_id": "cup", "category": "art", "price": 100.0}
    prepared, _ = made.apply([record(event)])

    assert made.row("user", "u")["value.spent"] == 100.0
    assert prepared.hashes.tolist() == [
        [token_hash("item", "cup"), token_hash("category", "art"), token_hash("brand", "Acme")]
    ]


@pytest.mark.parametrize(
    ("kind", "price"),
    [("purchase", 4.0), ("refund", 4.0), ("cart", 4.0), ("click", 0.0), ("browse", 0.0)],
)
def test_only_what_is_bought_returned_or_put_into_a_cart_takes_the_price(
    kind: str, price: float
) -> None:
    prepared, _ = fold(cleaner(CUP)).apply([record({"type": kind, "item_id": "cup"})])

    assert prepared.price.tolist() == [price]


def test_a_record_without_a_timestamp_meets_no_version() -> None:
    event = {"type": "purchase", "item_id": "cup"}

    prepared, _ = fold(cleaner(CUP)).apply([record(event, at_ms=None)])

    assert prepared.price.tolist() == [0.0]


def test_a_record_meets_an_item_that_was_removed_since() -> None:
    catalogue = Catalogue(grace_ms=GRACE_MS, versions_max=100)
    catalogue.put("cup", CUP, START - DAY_MS)
    catalogue.put("cup", None, START)

    event = {"type": "purchase", "item_id": "cup"}
    prepared, _ = fold(Cleaner(RATES, catalogue)).apply([record(event)])

    assert prepared.price.tolist() == [4.0]


def test_items_that_the_catalogue_does_not_know_are_marked() -> None:
    clicks = [{"type": "click", "item_id": name} for name in ("cup", "hat")]
    records = [record(event, k) for k, event in enumerate([*clicks, {"type": "click"}])]

    known, _ = fold(cleaner(CUP)).apply(records)
    empty, _ = fold(cleaner()).apply(records)

    assert known.is_unknown.tolist() == [False, True, False]
    assert empty.is_unknown.tolist() == [False, False, False]


# Whether items are read as far as they must be, or further: the same profiles.

names = st.sampled_from(["cup", "hat", "bag"])
currencies = st.sampled_from([None, "EUR", "USD", "JPY", "XXX"])
texts = st.sampled_from([None, "red", "blue"])
steps = st.sampled_from([0, 1, SECOND, GRACE_MS - 1, GRACE_MS, GRACE_MS + 1, DAY_MS])


@st.composite
def items(draw: st.DrawFn) -> tuple[bytes, bytes | None]:
    name = draw(names)
    if draw(st.integers(0, 4)) == 0:
        return name.encode(), None
    optional: dict[str, Any] = {"title": draw(texts), "category": draw(texts), "brand": draw(texts)}
    optional |= {"price": draw(st.sampled_from([None, 1, 2.5])), "currency": draw(currencies)}
    said = {k: v for k, v in optional.items() if v is not None}
    said["tags"] = draw(st.lists(st.sampled_from(["red", "garden"]), max_size=2))
    return name.encode(), msgspec.json.encode({"item_id": name} | said)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["click", "browse", "purchase", "refund", "cart", "search"]))
    optional: dict[str, Any] = {"category": draw(texts), "title": draw(texts), "brand": draw(texts)}
    optional |= {"price": draw(st.sampled_from([None, 10.0])), "currency": draw(currencies)}
    event: dict[str, Any] = {
        "type": kind,
        "user_id": draw(st.sampled_from("uv")),
        "item_id": draw(names),
    }
    event["ts"] = START + draw(steps)
    return event | {"query": "red cup"} | {k: v for k, v in optional.items() if v is not None}


@st.composite
def timelines(
    draw: st.DrawFn,
) -> tuple[list[tuple[int, bytes, bytes | None]], list[RawRecord]]:
    """Records of items and of events, of one clock."""
    at_ms = START
    said: list[tuple[int, bytes, bytes | None]] = []
    records: list[RawRecord] = []
    for is_item in draw(st.lists(st.booleans(), min_size=1, max_size=30)):
        at_ms += draw(steps)
        if is_item:
            said.append((at_ms, *draw(items())))
        else:
            records.append(record(draw(events()), len(records), at_ms))
    return said, records


@settings(max_examples=200)
@given(timelines(), st.lists(st.integers(0, 30), max_size=4), st.data())
def test_whatever_interleaving_and_batches_profiles_are_those_of_the_definition(
    timeline: tuple[list[tuple[int, bytes, bytes | None]], list[RawRecord]],
    cuts: list[int],
    data: st.DataObject,
) -> None:
    said, records = timeline
    catalogue = Catalogue(grace_ms=GRACE_MS, versions_max=1_000)
    made = fold(Cleaner(RATES, catalogue))
    n_read = 0

    edges = sorted({0, len(records), *(c for c in cuts if c < len(records))})
    for start, end in itertools.pairwise(edges):
        newest_ms = max(r.timestamp or 0 for r in records[start:end])
        least = sum(at_ms <= newest_ms - GRACE_MS for at_ms, _, _ in said)
        n_wanted = max(n_read, data.draw(st.integers(least, len(said))))
        _put(catalogue, said[n_read:n_wanted])
        n_read = n_wanted
        made.apply(records[start:end])

    assert _compared(made, said, records).differences == ()


def _put(catalogue: Catalogue, said: Sequence[tuple[int, bytes, bytes | None]]) -> None:
    for at_ms, key, value in said:
        found = read_item(key, value, RATES)
        if not isinstance(found, str):
            catalogue.put(*found, at_ms)


def _compared(
    made: Fold, said: Sequence[tuple[int, bytes, bytes | None]], records: Sequence[RawRecord]
) -> Comparison:
    cleaning = ReferenceCleaning(RATES, GRACE_MS)
    for at_ms, key, value in said:
        cleaning.feed(key, value, at_ms)
    screen = Screen()
    reference = Reference(
        made.pseudonymiser.pid,
        clock_skew_max_ms=screen.clock_skew_max_ms,
        event_age_max_ms=screen.event_age_max_ms,
        cleaning=cleaning,
    )
    for r in records:
        reference.feed(r.value, r.topic, r.partition, r.offset, r.timestamp)
    auditor = Auditor(reference.people)
    for pid, state in made.states.items():
        auditor.see(pid, decode_states([state], DEFAULT_SPEC, {}).rows[0])
    return auditor.comparison()
