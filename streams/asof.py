"""One person's profile as it was at a time, from the past."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec
import numpy as np

from profiler.errors import UsageError
from profiler.events import timestamp_ms
from profiler.linking import Subject
from profiler.pipeline import visible
from profiler.pointintime import TIME_MS_MAX
from profiler.spec import DEFAULT_SPEC
from streams.lookback import Bucket, buckets
from streams.past import Past
from streams.reader import Layout, Profile
from streams.settings import Settings
from streams.store import name_field

DERIVED: Final = "intent"
"""The facet that is model output: what models knew then is not in the log."""


def parse_time(text: str) -> int:
    """Read a time: milliseconds since 1970, or RFC 3339 with a zone.

    Raises
    ------
    ValueError
        If it is none, or lies before 1970 or after 2109.

    Examples
    --------
    >>> parse_time("1700000000000"), parse_time("1970-01-01T00:00:01Z")
    (1700000000000, 1000)
    """
    ms = int(text) if text.isdecimal() else timestamp_ms(_moment(text))
    if not 0 <= ms <= TIME_MS_MAX:
        raise ValueError(f"{text!r} is not between 1970 and 2109")
    return ms


def parse_subject(text: str) -> Subject:
    """Read ``user:<id>``, ``device:<id>`` or ``anonymous:<id>``; anything else is a user id.

    Raises
    ------
    UsageError
        If it is a profile id: the past speaks of subjects.
    """
    kind, colon, subject_id = text.partition(":")
    if colon and kind == "pid":
        raise UsageError(f"{text}: the log does not have profile ids; give user:<id> or the like")
    if colon and kind in ("device", "anonymous"):
        return kind, subject_id
    return subject_id if colon and kind == "user" else text


def profile_at(
    settings: Settings, past: Past, subject: str, at_ms: int, *, progress: bool | None = None
) -> Profile | None:
    """Give what readers would have seen of a subject at a time, decayed until then.

    None if nothing was known of them, or if they have asked to be forgotten, be it later.

    Raises
    ------
    UsageError
        If the subject is given by its profile id.
    """
    subjects = [parse_subject(subject)]
    question = np.zeros(1, dtype=np.intp), np.array([at_ms], dtype=np.int64)
    (bucket,) = buckets(settings, past, subjects, *question, progress=progress)
    found = None
    for _ in bucket.moments():
        found = _profile(bucket)
    if found is None or bucket.fold.stored(bucket.pids).erased[0]:
        return None
    return found.at(at_ms)


def _profile(bucket: Bucket) -> Profile | None:
    shown_by, rows, ties, _ = bucket.fold.shown(bucket.pids)
    if not rows["core.n_accepted"][0]:
        return None
    (vector,), (summary,) = visible(DEFAULT_SPEC, rows, ties)
    names = bucket.names()
    return Profile(
        pid=shown_by[0],
        as_of_ms=int(rows["core.as_of"][0]),
        rev=0,
        spec=DEFAULT_SPEC.hash,
        vector=vector,
        summary={**msgspec.json.decode(summary), DERIVED: {}},
        layout=msgspec.convert(DEFAULT_SPEC.layout(), Layout, strict=False),
        names={kind: {name_field(h): n for h, n in known.items()} for kind, known in names.items()},
    )


def _moment(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(f"{text!r} is neither milliseconds since 1970 nor RFC 3339 with a zone")
    return found
