"""Traits: in whatever order they are told, the same ones count, and the same ones are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.contracts.redis_keys import LINKS_BYTES_MAX
from profiler.events import Identify, event_of
from profiler.identity import CLAIMS_MAX, MEMBERS_MAX, Claim, Links, Peer, encode_links
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.reference_links import ReferenceLinks
from profiler.reference_traits import ReferenceTraits, seen
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from profiler.trait_values import TraitReader
from profiler.traits import (
    NO_TRAITS,
    TRAITS_BYTES_MAX,
    UNION_VALUES_MAX,
    Rule,
    Told,
    TraitRules,
    Traits,
    one_trait,
    read_shown,
)
from tests.folding import KEY, Fold
from tests.strategies import START_MS, record

PSEUDONYMISER = Pseudonymiser(KEY)
RULES = TraitRules(
    {"plan": "recent", "since": "first", "city": "trusted", "tags": "union", "email": "recent"},
    trusted=("crm", "shop"),
)
SEVERAL: tuple[Rule, ...] = ("recent", "union", "first") * 3
LONG = TraitRules({f"t{k:02}": rule for k, rule in enumerate(SEVERAL)})
SUBJECTS = (
    {"user_id": "ann"},
    {"user_id": "bob"},
    {"device_id": "phone"},
    {"anonymous_id": "a1"},
    {"anonymous_id": "a2"},
)
KINDS = {"user_id": "user", "device_id": "device", "anonymous_id": "anonymous"}
Event = dict[str, Any]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(("gold", " gold ", "ｇold", "a@b.org", "", "x" * 300)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
traits = st.dictionaries(
    st.sampled_from(("plan", "since", "city", "tags", "Email", "secret")),
    st.one_of(scalars, st.lists(scalars, max_size=4)),
    max_size=4,
)
long_traits = st.dictionaries(
    st.sampled_from(sorted(LONG.by_name)),
    st.tuples(st.sampled_from("abcdef"), st.sampled_from((1, 90, 240))).map(lambda t: t[0] * t[1]),
    min_size=1,
    max_size=6,
)


@st.composite
def histories(draw: st.DrawFn, told: st.SearchStrategy[Event] = traits) -> list[Event]:
    """Links, unlinks and traits of few people; times clash, and now and then ids."""
    events: list[Event] = []
    for k in range(draw(st.integers(1, 24))):
        ts = START_MS + draw(st.integers(0, 9)) * 60_000
        event: Event = {"ts": ts, "event_id": f"e{draw(st.integers(k - 1, k))}"}
        several = draw(st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=3))
        ids = {name: value for one in several for name, value in one.items()}
        if draw(st.integers(0, 3)) == 0:
            events.append({**event, **ids, "type": "click"})
            continue
        unlink = {"unlink": True} if draw(st.integers(0, 4)) == 0 else {}
        source = draw(st.sampled_from(({}, {"source": "crm"}, {"source": "shop"})))
        events.append(
            {**event, **ids, **unlink, **source, "type": "identify", "traits": draw(told)}
        )
    return events


def fold(events: Sequence[Event], rules: TraitRules, cuts: Sequence[int] = ()) -> Fold:
    records = [record(event, offset) for offset, event in enumerate(events)]
    return Fold(rules=rules).apply_in_parts(records, cuts).settle()


def expected(events: Sequence[Event], rules: TraitRules) -> dict[str, Any]:
    """What readers must see by profile, from the definition."""
    links, said = ReferenceLinks(PSEUDONYMISER.pid), ReferenceTraits(PSEUDONYMISER.pid, rules)
    for fields in events:
        event = event_of(dict(fields))
        if isinstance(event, Identify):
            links.say(event, fields["event_id"])
            said.say(event, pid_of(fields), fields["event_id"])
    owner = links.owners()
    families: dict[str, list[str]] = {}
    for one in said.subjects():
        top = owner.get(one, one)
        families.setdefault(owner.get(top, top), []).append(one)
    shown = {top: seen(said.of(family)) for top, family in families.items()}
    return {top: some for top, some in shown.items() if some}


def pid_of(event: Event) -> str:
    name = next(name for name in KINDS if name in event)
    return PSEUDONYMISER.pid(KINDS[name], event[name])


def shown(found: Fold) -> dict[str, Any]:
    return {pid: msgspec.json.decode(value) for pid, value in found.traits.items()}


@settings(max_examples=150, deadline=None)
@given(
    events=histories(),
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 24), max_size=6),
)
def test_any_order_and_any_cut_end_in_the_traits_of_the_definition(
    events: list[Event], order: Any, cuts: list[int]
) -> None:
    shuffled = list(events)
    order.shuffle(shuffled)

    found = fold(shuffled, RULES, cuts)

    assert shown(found) == expected(events, RULES)


@settings(max_examples=150, deadline=None)
@given(
    events=histories(long_traits),
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 24), max_size=6),
)
def test_what_is_left_out_beyond_the_bound_does_not_depend_on_the_order(
    events: list[Event], order: Any, cuts: list[int]
) -> None:
    shuffled = list(events)
    order.shuffle(shuffled)

    found = fold(shuffled, LONG, cuts)

    assert shown(found) == expected(events, LONG)
    assert all(len(value) <= TRAITS_BYTES_MAX for value in found.traits.values())


tolds = st.builds(
    Told,
    st.integers(0, 4),
    st.integers(0, 3),
    st.tuples(st.sampled_from("abc"), st.sampled_from((1, 100, 240))).map(
        lambda t: f'"{t[0] * t[1]}"'
    ),
    st.sampled_from(("", "crm", "shop")),
)
said = st.lists(
    st.builds(one_trait, st.sampled_from([*RULES.by_name, *LONG.by_name]), tolds), max_size=24
)


@given(
    parts=st.lists(said, max_size=3),
    rules=st.sampled_from((RULES, LONG)),
    order=st.randoms(use_true_random=False),
)
def test_traits_are_a_semilattice(parts: list[list[Traits]], rules: TraitRules, order: Any) -> None:
    everything = [one for part in parts for one in part]
    again = [*everything, *everything]
    order.shuffle(again)
    one_by_one = NO_TRAITS
    for one in again:
        one_by_one = rules.joined(one_by_one, one)

    by_parts = rules.joined(*(rules.joined(*part) for part in parts))

    assert by_parts == one_by_one == rules.joined(*everything)
    assert list(by_parts.known) == sorted(by_parts.known)


def told(value: object, rule: Any = "recent", name: str = "plan", **fields: object) -> Any:
    """The values that readers see of one trait once one event has told it."""
    event = event_of({"type": "identify", "ts": 5, "user_id": "u", "traits": {name: value}})
    assert isinstance(event, Identify)
    reader = TraitReader(TraitRules({name: rule}), PSEUDONYMISER.pid)
    several = [one_trait(*one) for one in reader.told(event, 5, 1)]
    found = read_shown(reader.rules.shown(reader.rules.joined(*several)))
    return [value.value for value in found.get(name, ())]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  Ｇold\tplan ", ["Gold plan"]),
        (34, [34]),
        (34.0, [34]),
        (0.5, [0.5]),
        (True, [True]),
        (1e300, [1e300]),
        ("x" * 256, ["x" * 256]),
        ("x" * 257, []),
        ("  ", []),
        (None, []),
        (["a", "b"], []),
    ],
)
def test_a_value_is_kept_in_one_form(value: object, expected: list[object]) -> None:
    assert told(value) == expected


def test_a_set_keeps_the_latest_of_too_many_values() -> None:
    events: list[Event] = [
        {"type": "identify", "ts": START_MS + k, "user_id": "ann", "traits": {"tags": f"t{k}"}}
        for k in range(40)
    ]

    found = shown(fold(events, RULES, [7]))

    (kept,) = found.values()
    assert [value for value, _, _ in kept["tags"]] == [
        f"t{k}" for k in range(39, 39 - UNION_VALUES_MAX, -1)
    ]


def test_the_most_trusted_source_wins_and_then_the_latest() -> None:
    def city(ts: int, name: str, source: str) -> Event:
        event = {"type": "identify", "ts": START_MS + ts, "user_id": "ann", "source": source}
        return {**event, "traits": {"city": name}}

    events = [city(1, "Oslo", "crm"), city(2, "Rome", "crm"), city(3, "Bern", "shop")]

    (kept,) = shown(fold([*events, city(4, "Nice", "rumour")], RULES)).values()

    assert kept["city"] == [["Rome", "crm", START_MS + 2]]


def test_null_takes_a_trait_away_until_it_is_told_again() -> None:
    def plan(ts: int, value: str | None) -> Event:
        event = {"type": "identify", "ts": START_MS + ts, "user_id": "ann"}
        return {**event, "traits": {"plan": value}}

    assert shown(fold([plan(2, None), plan(1, "gold")], RULES)) == {}
    (kept,) = shown(fold([plan(2, None), plan(3, "free"), plan(1, "gold")], RULES)).values()
    assert kept["plan"] == [["free", "", START_MS + 3]]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("email", "Ann@Example.ORG", "  ann@example.org"),
        ("phone", "+49 (0)30 / 12-34", "0049 30 1234"),
        ("last_name", "Müller", "ＭÜLLER "),
        ("address", "1 High St", "1  high st"),
        ("work_email", "a@b.org", "A@b.org"),
        ("plan", "ann@example.org", "Ann@Example.org "),
    ],
)
def test_what_identifies_people_is_kept_only_as_a_hash(name: str, value: str, same: str) -> None:
    (found,), (other,) = told(value, name=name), told(same, name=name)

    assert found == other
    assert value.lower() not in found.lower()
    assert len(found) == 22
    assert told(value, name="work_email" if name == "email" else "email") != [found]


def test_states_never_hold_what_identifies_somebody() -> None:
    secret = "ann@example.org"
    names = ("email", "plan", "tags", "city", "since")
    events: list[Event] = [
        {
            "type": "identify",
            "ts": START_MS,
            "user_id": "ann",
            "traits": dict.fromkeys(names, secret),
        }
    ]

    found = fold(events, RULES)

    everything = b"".join([*found.states.values(), *found.traits.values()]).lower()
    assert len(found.traits) == 1
    assert b"example" not in everything


def test_traits_that_nobody_asked_for_are_counted_and_left_out() -> None:
    events = {"type": "identify", "ts": START_MS, "user_id": "ann"}
    prepared, processed = Fold(rules=RULES).apply(
        [record({**events, "traits": {"shoe_size": 43, "plan": "gold", "tags": []}}, 0)]
    )

    assert prepared.n_traits_ignored == 2
    assert [msgspec.json.decode(value).keys() for value in processed.traits.values()] == [{"plan"}]


def test_erasure_leaves_links_and_no_traits() -> None:
    events: list[Event] = [
        {
            "type": "identify",
            "ts": START_MS,
            "user_id": "ann",
            "device_id": "phone",
            "traits": {"plan": "gold"},
        },
        {"type": "identify", "ts": START_MS, "device_id": "phone", "traits": {"plan": "free"}},
        {"type": "erase", "ts": START_MS + 1, "user_id": "ann"},
        {"type": "identify", "ts": START_MS + 2, "user_id": "ann", "traits": {"plan": "gold"}},
    ]

    for cuts in ([], [1, 2, 3]):
        found = fold(events, RULES, cuts)
        stored = decode_states(list(found.states.values()), DEFAULT_SPEC, {})
        assert stored.erased.all()
        assert found.traits == {}
        assert all(links.traits == NO_TRAITS for links in stored.links.values())
        assert any(links.claims for links in stored.links.values())


def test_a_repetition_of_what_is_known_writes_nothing() -> None:
    event = {"type": "identify", "ts": START_MS, "user_id": "ann", "traits": {"plan": "gold"}}
    found = Fold(rules=RULES)
    found.apply([record(event, 0)])

    _, again = found.apply([record(event, 0)])

    assert len(again.place) == 0


def test_people_without_traits_are_written_as_before() -> None:
    click = {"type": "click", "ts": START_MS, "user_id": "ann"}
    identify = {"type": "identify", "ts": START_MS, "user_id": "bob", "traits": {"plan": "gold"}}

    plain = fold([click], RULES)
    _, processed = Fold(rules=RULES).apply([record(click, 0), record(identify, 1)])

    assert plain.states == fold([click], TraitRules({})).states
    assert list(processed.traits) == [1]
    assert not processed.relinked.looks


def test_a_name_that_is_no_longer_allowed_is_hidden_at_once_and_dropped_when_more_is_told() -> None:
    event: Event = {"type": "identify", "ts": START_MS, "user_id": "ann"}
    found = Fold(rules=RULES)
    found.apply([record({**event, "traits": {"plan": "gold", "city": "Oslo"}}, 0)])
    later = Fold(rules=TraitRules({"city": "recent"}), states=found.states, traits=found.traits)

    later.apply([record({**event, "type": "click"}, 1)])
    hidden = shown(later)
    later.apply([record({**event, "ts": START_MS + 1, "traits": {"city": "Rome"}}, 2)])

    assert [traits.keys() for traits in hidden.values()] == [{"city"}]
    (links,) = decode_states(list(later.states.values()), DEFAULT_SPEC, {}).links.values()
    assert links.traits.known.keys() == {"city"}


def test_a_new_rule_goes_on_from_what_the_old_one_kept() -> None:
    def tag(ts: int) -> Traits:
        return one_trait("tags", Told(ts, 0, f'"t{ts}"', ""))

    recent, union = TraitRules({"tags": "recent"}), TraitRules({"tags": "union"})
    kept = recent.joined(tag(1), tag(2))

    widened = union.joined(kept, tag(3))
    narrowed = recent.joined(widened, tag(0))

    assert [t.ts for t in widened.known["tags"].told] == [3, 2]
    assert [t.ts for t in narrowed.known["tags"].told] == [3]


def test_what_stands_behind_a_row_is_bounded() -> None:
    names: dict[str, Rule] = {f"t{k:02}": "union" for k in range(64)}
    rules = TraitRules(names)
    every = [
        one_trait(name, Told(2**41 + k, 2**64 - 1 - k, str(k % 10), ""))
        for name in names
        for k in range(UNION_VALUES_MAX)
    ]
    pid = "x" * 22
    most = Claim(pid, 2**31, True, 2**62, 2**64 - 1, 2**62, 2**62)
    links = Links((most,) * CLAIMS_MAX, (Peer(pid, 2**31),) * MEMBERS_MAX, rules.joined(*every))

    assert len(rules.shown(links.traits)) <= TRAITS_BYTES_MAX
    assert len(encode_links(links)) <= LINKS_BYTES_MAX
