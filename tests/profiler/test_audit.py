"""What an audit reports, and what it lets pass."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from profiler.audit import Auditor, compare
from profiler.ledger import LedgerCheck
from profiler.recompute import Reference
from profiler.reference import HOUR_MS, SUMS, TOP_LISTS, ReferencePerson
from profiler.spec import DEFAULT_SPEC
from profiler.traits import Told, one_trait

NOW = 1_700_000_000_000


def people_of(*subjects: str, n_events: int = 60) -> dict[str, ReferencePerson]:
    reference = Reference(lambda kind, subject: subject, clock_skew_max_ms=0, event_age_max_ms=0)
    for k in range(n_events):
        for subject in subjects:
            fields = {
                "type": ("click", "purchase")[k % 2],
                "ts": NOW + k * HOUR_MS,
                "user_id": subject,
                "item_id": f"i{k % 23}",
                "price": 3.0,
            }
            reference.feed(msgspec.json.encode(fields), "t", 0, k)
    return reference.people


def row_of(person: ReferencePerson) -> np.void:
    """A row that says what the person says."""
    row = DEFAULT_SPEC.empty(1)
    for name, number in (person.exact() | person.sessions() | person.quarantine.columns()).items():
        row[name][0] = number
    for name, value in person.journey.exact().items():
        row[name][0] = value
    for name, values in person.journey.sums.items():
        row[name][0] = np.reshape(values, row[name].shape[1:])
    for name in SUMS:
        row[name][0] = person.sums[name] if row[name].ndim > 1 else person.sums[name][0]
    for kind in TOP_LISTS:
        entries = person.tops[kind].weights
        row[f"interest.{kind}_id"][0, : len(entries)] = list(entries)
        row[f"interest.{kind}_weight"][0, : len(entries)] = list(entries.values())
    for kind, tokens in person.trails.items():
        row[f"trail.{kind}"][0, : len(tokens)] = tokens
    found: np.void = row[0]
    return found


def test_an_equal_row_has_no_differences() -> None:
    person = people_of("a")["a"]

    assert compare("a", person, row_of(person)) == []


def test_derived_columns_and_the_ring_of_ids_are_not_compared() -> None:
    person = people_of("a")["a"]
    row = row_of(person)
    row["intent.purchase_score"] = 0.7
    row["core.recent"][3] = 99

    assert compare("a", person, row) == []


@pytest.mark.parametrize("column", ["activity.hour", "value.spent", "rhythm.of_week"])
def test_a_sum_may_differ_by_rounding_but_not_by_more(column: str) -> None:
    person = people_of("a")["a"]
    within, beyond = row_of(person), row_of(person)

    within[column] *= 1 + 1e-10
    beyond[column] *= 1 + 1e-7

    assert compare("a", person, within) == []
    assert [d.column for d in compare("a", person, beyond)] == [column]


def test_a_vector_may_differ_by_float32_rounding_but_not_by_more() -> None:
    person = people_of("a")["a"]
    within, beyond = row_of(person), row_of(person)
    norm = float(np.linalg.norm(within["interest.long"]))

    within["interest.long"][5] += norm * 5e-6
    beyond["interest.long"][5] += norm * 1e-3

    assert compare("a", person, within) == []
    assert [d.column for d in compare("a", person, beyond)] == ["interest.long"]


def test_not_a_number_is_a_difference() -> None:
    person = people_of("a")["a"]
    row = row_of(person)
    row["value.money"] = np.nan
    row["interest.short"][0] = np.nan
    row["interest.item_weight"][0] = np.nan

    columns = [d.column for d in compare("a", person, row)]

    assert columns == ["interest.short", "value.money", "interest.item_weight"]


def test_a_token_that_should_not_be_in_the_list_is_named() -> None:
    person = people_of("a")["a"]
    row = row_of(person)
    greatest = int(row["interest.item_weight"].argmax())
    row["interest.item_id"][greatest] = 0xABC

    (difference,) = compare("a", person, row)

    assert difference.column == "interest.item_id"
    assert "absent" in difference.expected + difference.actual


def test_tokens_that_tie_at_the_least_weight_may_be_others() -> None:
    person = people_of("a")["a"]
    row = row_of(person)
    least = int(row["interest.item_weight"].argmin())
    row["interest.item_id"][least] = 0xABC

    assert compare("a", person, row) == []


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_without_order_a_top_list_is_held_against_its_bound(factor: float) -> None:
    person = people_of("a")["a"]
    row = row_of(person)
    mass = person.tops["item"].mass
    row["interest.item_weight"][0] -= factor * mass / 16
    row["interest.item_weight"][1] += factor * mass / 16

    found = compare("a", person, row, ordered=False)

    assert [d.column for d in found] == ([] if factor == 1.0 else ["interest.item_weight"])
    assert compare("a", person, row)


def test_without_order_sessions_may_differ_by_the_number_of_late_events() -> None:
    person = people_of("a")["a"]
    within, beyond = row_of(person), row_of(person)
    within["sessions.n_sessions"] -= 2
    within["sessions.n_late"] = 2
    beyond["sessions.n_sessions"] -= 2

    assert compare("a", person, within, ordered=False) == []
    assert [d.column for d in compare("a", person, beyond, ordered=False)] == [
        "sessions.n_sessions"
    ]


def test_a_row_without_a_column_differs_as_a_whole() -> None:
    person = people_of("a")["a"]
    row = np.zeros(1, dtype=[("core.as_of", "<i8")])[0]

    (difference,) = compare("a", person, row)

    assert difference.column == "profile"


def test_missing_unexpected_and_tampered_profiles_are_counted_and_named() -> None:
    people = people_of("a", "b", "c")
    tampered = row_of(people["b"])
    tampered["core.n_accepted"] += 1
    auditor = Auditor(people)
    auditor.see("a", row_of(people["a"]))
    auditor.see("b", tampered)
    auditor.see("x", tampered)

    found = auditor.comparison()

    assert (found.profiles, found.mismatched, found.missing, found.unexpected) == (4, 3, 1, 1)
    assert [(d.pid, d.column) for d in found.differences] == [
        ("b", "core.n_accepted"),
        ("x", "profile"),
        ("c", "profile"),
    ]


def test_an_erased_person_needs_a_tombstone_and_only_they() -> None:
    people = people_of("a", "b", "c")
    rows = {pid: row_of(person) for pid, person in people.items()}
    people["a"].erased = people["b"].erased = True
    auditor = Auditor(people)
    auditor.see("a", None)
    auditor.see("b", rows["b"])
    auditor.see("c", None)

    found = auditor.comparison()

    assert found.mismatched == 2
    assert [(d.pid, d.expected, d.actual) for d in found.differences] == [
        ("b", "erased", "alive"),
        ("c", "alive", "erased"),
    ]


def test_only_the_first_differences_are_kept() -> None:
    people = people_of(*"abcdef")

    found = Auditor(people, limit_differences=2).comparison()

    assert (found.mismatched, len(found.differences)) == (6, 2)


@pytest.mark.parametrize(
    ("seen", "lost", "duplicated"),
    [
        ({}, 4, 0),
        ({"a": [3, 1]}, 0, 0),
        ({"a": [2, 2]}, 1, 1),
        ({"a": [3, 1], "b": [1, 0]}, 0, 1),
        ({"a": None}, 0, 0),
    ],
)
def test_a_ledger_tells_lost_from_duplicated(
    seen: dict[str, Any], lost: int, duplicated: int
) -> None:
    check = LedgerCheck({"a": {"click": 3, "browse": 1}})

    for pid, counts in seen.items():
        check.see(pid, None if counts is None else counts + [0] * 10)

    assert (check.lost, check.duplicated) == (lost, duplicated)


@pytest.mark.parametrize(
    ("clicks", "lost", "duplicated"), [(2, 1, 0), (3, 0, 0), (5, 0, 0), (6, 0, 1)]
)
def test_an_event_of_which_nobody_knows_is_neither_lost_nor_duplicated(
    clicks: int, lost: int, duplicated: int
) -> None:
    check = LedgerCheck({"a": {"click": 3}}, {"a": {"click": 2}})

    check.see("a", [clicks] + [0] * 11)

    assert (check.lost, check.duplicated) == (lost, duplicated)


def test_traits_that_are_not_as_told_are_named_without_their_values() -> None:
    people = people_of("a", "b")
    said = Told(7, 1, '"gold"', "crm")
    expected = {pid: {"plan": [said]} for pid in ("a", "b", "c", "d")}
    auditor = Auditor(people, traits=expected)
    rows = {pid: row_of(person) for pid, person in people.items()}
    auditor.see("a", rows["a"], traits=one_trait("plan", said))
    auditor.see("b", rows["b"], traits=one_trait("plan", said._replace(ts=8)))
    # Nothing is known of these but traits.
    auditor.see("c", DEFAULT_SPEC.empty(1)[0], traits=one_trait("plan", said))
    auditor.see("e", DEFAULT_SPEC.empty(1)[0], traits=one_trait("city", said))

    found = auditor.comparison()

    assert (found.profiles, found.mismatched, found.missing) == (5, 3, 1)
    assert [(d.pid, d.column, d.expected, d.actual) for d in found.differences] == [
        ("b", "trait plan", "said at 7", "said at 8"),
        ("e", "trait city", "none", "said at 7"),
        ("d", "profile", "stored", "none"),
    ]
