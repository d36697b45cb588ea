"""The live sample: what is looked at, how often, and that decoding stays what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence

from profiler.decoding import Decoder
from profiler.records import RawRecord
from streams.metrics import Metrics
from streams.spot_check import SpotCheck

NOW_MS = 1_700_000_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def records(*prices: float | None) -> list[RawRecord]:
    values = [
        json.dumps({"type": "purchase", "ts": NOW_MS, "user_id": "u", "item_id": "a", "price": p})
        for p in prices
    ]
    return [RawRecord("t", 0, k, None, None, v.encode()) for k, v in enumerate(values)]


def n_not_positive(metrics: Metrics) -> float:
    return metrics.value(
        "profiler_quality_problems_total",
        dimension="validity",
        field="price",
        problem="not_positive",
    )


def test_problems_and_missing_fields_are_counted() -> None:
    metrics = Metrics()

    SpotCheck(Decoder(), metrics, 100).decode([*records(2.0, None, 0.0, -1.0)])

    assert metrics.value("profiler_quality_records_total") == 4
    assert metrics.value("profiler_quality_events_total", type="purchase") == 4
    assert metrics.value("profiler_quality_missing_total", type="purchase", field="price") == 1
    assert n_not_positive(metrics) == 2


def test_what_is_decoded_is_what_the_decoder_gives() -> None:
    def facts(decoder: Decoder | SpotCheck, given: Sequence[RawRecord]) -> tuple[object, ...]:
        decoded = decoder.decode(given)
        return decoded.events, decoded.record.tolist(), decoded.rejected, decoded.n_unused

    given = [*records(2.0, -1.0), RawRecord("t", 0, 2, None, None, None)]

    watched = SpotCheck(Decoder(), Metrics(), 1)

    assert facts(watched, given) == facts(Decoder(), given)


def test_no_more_records_than_allowed_are_looked_at_and_no_more_than_once_a_second() -> None:
    metrics, clock = Metrics(), Clock()
    watched = SpotCheck(Decoder(), metrics, 2, clock)

    watched.decode(records(0.0, 0.0, 0.0))
    watched.decode(records(0.0))
    assert (metrics.value("profiler_quality_records_total"), n_not_positive(metrics)) == (2, 2)

    clock.now_s += 1.0
    watched.decode(records(1.0))
    assert (metrics.value("profiler_quality_records_total"), n_not_positive(metrics)) == (3, 2)


def test_a_refused_record_behind_the_sample_is_not_counted() -> None:
    metrics = Metrics()

    SpotCheck(Decoder(), metrics, 1).decode(records(1.0, -1.0))

    assert n_not_positive(metrics) == 0


def test_an_empty_batch_does_not_use_up_the_second() -> None:
    metrics = Metrics()
    watched = SpotCheck(Decoder(), metrics, 1, Clock())

    watched.decode([])
    watched.decode(records(1.0))

    assert metrics.value("profiler_quality_records_total") == 1
