"""What a ledger counts: distinct behaviour events that a worker would apply."""

from __future__ import annotations

from pathlib import Path

from streams.audit import read_ledger
from streams.ledger import FOLD_RECORDS, Ledger, passes_screen
from streams.settings import Secret, Settings

NOW_MS = 1_700_000_000_000


def event(kind: str = "click", subject: str = '"user_id":"alice"', rest: str = "") -> bytes:
    return f'{{"type":"{kind}","ts":{NOW_MS},{subject}{rest}}}'.encode()


def counts_of(*values: bytes | None) -> dict[str, dict[str, int]]:
    ledger = Ledger()
    for value in values:
        ledger.add(value, NOW_MS)
    return ledger.counts()


def test_events_are_counted_by_subject_and_type() -> None:
    counts = counts_of(
        event("click"),
        event("click"),
        event("browse"),
        event("click", '"device_id":"d:1"'),
        event("click", '"anonymous_id":"a"'),
    )

    assert counts == {
        "user:alice": {"click": 2, "browse": 1},
        "device:d:1": {"click": 1},
        "anonymous:a": {"click": 1},
    }


def test_a_repeated_id_counts_once_per_subject() -> None:
    counts = counts_of(
        event(rest=',"event_id":"1"'),
        event(rest=',"event_id":"1"'),
        event(subject='"user_id":"bob"', rest=',"event_id":"1"'),
    )

    assert counts == {"user:alice": {"click": 1}, "user:bob": {"click": 1}}


def test_what_is_refused_or_changes_no_count_is_left_out() -> None:
    counts = counts_of(
        b"{",
        None,
        event(rest=',"quantity":-1'),
        event("identify"),
        event("consent", rest=',"purposes":{}'),
    )

    assert counts == {}


def test_an_erased_subject_has_no_account() -> None:
    counts = counts_of(event(), event("erase"), event(), event(subject='"user_id":"bob"'))

    assert counts == {"user:bob": {"click": 1}}


def test_events_that_the_screen_refuses_do_not_count() -> None:
    settings = Settings(pseudonym_key=Secret("k" * 32), clock_skew_max_s=60, event_age_max_s=60)
    ledger = Ledger(passes_screen(settings))

    ledger.add(event(subject='"user_id":"on-time"'), NOW_MS)
    ledger.add(event(subject='"user_id":"early"'), NOW_MS - 61_000)
    ledger.add(event(subject='"user_id":"old"'), NOW_MS + 61_000)
    ledger.add(event(subject='"user_id":"history"', rest=',"source":"taobao"'), NOW_MS + 61_000)

    assert set(ledger.counts()) == {"user:on-time", "user:history"}


def test_an_event_of_doubt_is_unknown_until_a_record_with_its_id_is_acknowledged(
    tmp_path: Path,
) -> None:
    ledger = Ledger()
    ledger.doubt(event(rest=',"event_id":"1"'))
    ledger.doubt(event(rest=',"event_id":"2"'))
    ledger.doubt(event())
    ledger.doubt(event())
    ledger.add(event(rest=',"event_id":"1"'), NOW_MS)
    ledger.doubt(event(rest=',"event_id":"1"'))
    ledger.doubt(event("browse", '"user_id":"bob"'))

    ledger.write(tmp_path / "ledger.jsonl")

    assert ledger.counts() == {"user:alice": {"click": 1}}
    assert ledger.doubts() == {"user:alice": {"click": 3}, "user:bob": {"browse": 1}}
    known, unknown = read_ledger(tmp_path / "ledger.jsonl", lambda kind, name: name)
    assert known == {"alice": {"click": 1}, "bob": {}}
    assert unknown == {"alice": {"click": 3}, "bob": {"browse": 1}}


def test_many_records_are_folded_without_loss(tmp_path: Path) -> None:
    ledger = Ledger()
    for number in range(FOLD_RECORDS + 5):
        ledger.add(event(rest=f',"event_id":"{number}"'), NOW_MS)

    ledger.write(tmp_path / "ledger.jsonl")

    written = (tmp_path / "ledger.jsonl").read_text()
    assert written == f'{{"subject":"user:alice","counts":{{"click":{FOLD_RECORDS + 5}}}}}\n'


def test_foreign_records_count_as_their_events() -> None:
    ledger = Ledger()
    products = '{"products":[{"id":"a"},{"id":"b"}]}'
    order = f'{{"type":"track","event":"Order Completed","userId":"a","properties":{products}}}'
    headers = [("ce_specversion", b"1.0"), ("ce_type", b"shop.click"), ("ce_subject", b"b")]

    ledger.add(order.encode(), NOW_MS)
    ledger.add(f'{{"ts":{NOW_MS}}}'.encode(), NOW_MS, headers)

    assert ledger.counts() == {"user:a": {"purchase": 2}, "user:b": {"click": 1}}


def test_of_a_record_with_one_refused_event_none_counts() -> None:
    settings = Settings(pseudonym_key=Secret("k" * 32), event_age_max_s=60)
    ledger = Ledger(passes_screen(settings))
    call = '{"type":"page","userId":"u","timestamp":'

    ledger.add(f'{{"batch":[{call}{NOW_MS}}},{call}5}}]}}'.encode(), NOW_MS)

    assert ledger.counts() == {}
