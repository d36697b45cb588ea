"""Who is held, for an operator: read from the states, and decided by an event."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from profiler.errors import UsageError
from profiler.facets.quarantine import REASONS, held, since_ms
from streams.links import FIELDS, graph, known
from streams.producer import EventProducer
from streams.settings import Settings
from streams.store import Store


class Held(Struct, frozen=True):
    """What the row of one subject says.

    Parameters
    ----------
    pid
        Profile id.
    events
        Events that it holds.
    reason, since_ms
        Why it is held and since when; empty and 0 if it is not.
    implausible_ms
        Beginning of the latest window or run that no person makes, 0 if there was none.
    verdict_ms, automated
        The latest verdict and what it said; 0 if there is none.
    """

    pid: str
    events: int
    reason: str
    since_ms: int
    implausible_ms: int
    verdict_ms: int
    automated: bool


async def quarantine_of(store: Store, pid: str) -> list[Held]:
    """Say of all subjects of the person behind a profile whether they are held.

    Raises
    ------
    StoreUnavailable
        If the store cannot be reached now.
    """
    subjects = [one.pid for one in await graph(store, pid) if not one.erased]
    peers = await known(store, subjects)
    places = [peers.place[one] for one in subjects]
    rows = peers.stored.rows[places]
    last, verdict = rows["quarantine.last"], rows["quarantine.verdict"]
    codes = held(rows)
    return [
        Held(
            pid=one,
            events=int(rows["core.n_accepted"][k]),
            reason=REASONS[codes[k]],
            since_ms=int(since_ms(rows)[k]) if codes[k] else 0,
            implausible_ms=int(last[k]) >> 1,
            verdict_ms=int(verdict[k]) >> 1,
            automated=bool(verdict[k] & 1),
        )
        for k, one in enumerate(subjects)
    ]


def verdict_ms(subjects: Sequence[Held], now_ms: int) -> int:
    """Time of a verdict that decides what is known of these subjects, whose clocks may be fast.

    Examples
    --------
    >>> verdict_ms([Held("p", 9, "rate", 70, 80, 90, True)], 60), verdict_ms([], 60)
    (91, 60)
    """
    times = [max(one.implausible_ms, one.verdict_ms + 1) for one in subjects]
    return max([now_ms, *times])


def field_of(subject: str) -> tuple[str, str]:
    """Field and id under which the events of a subject name it.

    Parameters
    ----------
    subject
        ``user:<id>`` or plainly ``<id>``, ``device:<id>``, ``anonymous:<id>``.

    Raises
    ------
    UsageError
        If it is a profile id, from which nobody can tell where its events belong, or no id at all.

    Examples
    --------
    >>> field_of("device:till-4"), field_of("alice")
    (('device_id', 'till-4'), ('user_id', 'alice'))
    """
    kind, colon, subject_id = subject.partition(":")
    if not colon or kind not in (*FIELDS, "pid"):
        kind, subject_id = "user", subject
    if kind == "pid" or not subject_id:
        raise UsageError("a verdict names its subject: user:<id>, device:<id> or anonymous:<id>")
    return FIELDS[kind], subject_id


def send_verdict(
    settings: Settings, subject: str, ts_ms: int, *, automated: bool, reason: str | None
) -> None:
    """Tell by an event what somebody is: a replay will say the same.

    Parameters
    ----------
    subject
        See `field_of`.
    ts_ms
        Time of the verdict; the latest one counts.

    Raises
    ------
    UsageError
        See `field_of`.
    BrokerUnavailable
        If no broker answers.
    """
    field, subject_id = field_of(subject)
    event = {"type": "verdict", "ts": ts_ms, field: subject_id, "automated": automated}
    event |= {"source": "operator"} | ({"reason": reason} if reason else {})
    with EventProducer.of(settings) as producer:
        producer.send_raw(subject_id.encode(), msgspec.json.encode(event))


def now_ms() -> int:
    """Return the time of the operator."""
    return time.time_ns() // 1_000_000
