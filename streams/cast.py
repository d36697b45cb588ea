"""Who is who in the demo's traffic: whom to watch while it runs, and whom to show at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from profiler.events import Purchase, decode_batch
from profiler.privacy.pseudonym import subject_of
from profiler.sources import Converted
from streams.client import ProfileClient
from streams.reader import Profile


class Cast(Struct, frozen=True):
    """Subjects as ``kind:id``.

    Parameters
    ----------
    watched
        Has most to do in the live part; None if nobody can be read out of the records.
    shown
        At most three, the watched one first: a buyer and somebody ordinary follow.
    """

    watched: str | None
    shown: tuple[str, ...]


def choose(backlog: Sequence[Converted], live: Sequence[Converted]) -> Cast:
    """Choose whom to watch and to show."""
    before, _ = _count(backlog)
    during, _ = _count(live)
    _, purchases = _count([*backlog, *live])
    known = [subject for subject, _ in during.most_common() if subject in before]
    everyone = [subject for subject, _ in (before + during).most_common()]
    wanted = [
        *known[:1],
        *[subject for subject, _ in purchases.most_common(2)],
        *everyone[len(everyone) // 2 : len(everyone) // 2 + 3],
    ]
    shown = tuple(dict.fromkeys(wanted))[:3]
    return Cast(shown[0] if shown else None, shown)


def _count(records: Sequence[Converted]) -> tuple[Counter[str], Counter[str]]:
    """Events and purchases by subject."""
    events, _ = decode_batch([record.value for record in records])
    known = [event for event in events if event is not None]
    subjects = [":".join(subject_of(event)) for event in known]
    bought = (s for s, event in zip(subjects, known, strict=True) if isinstance(event, Purchase))
    return Counter(subjects), Counter(bought)


class Moment(Struct, frozen=True):
    """One person at one moment of the run: event time, events so far, favourites, score."""

    as_of_ms: int
    events: int
    categories: tuple[tuple[str, float], ...]
    score: float


class Watch:
    """Looks at one person now and then, and keeps what was new.

    Parameters
    ----------
    client
        Reads profiles.
    subject
        Whom; None looks at nobody.
    """

    def __init__(self, client: ProfileClient, subject: str | None) -> None:
        self.moments: list[Moment] = []
        self._client = client
        self._subject = subject

    def look(self) -> None:
        """Look once."""
        profile = self._client.get(self._subject) if self._subject else None
        if profile is None:
            return
        moment = _moment(profile)
        if not self.moments or moment.events != self.moments[-1].events:
            self.moments.append(moment)

    def some(self, n: int) -> list[Moment]:
        """At most `n` moments, evenly spread, the first and the last among them."""
        last = len(self.moments) - 1
        if last < n:
            return list(self.moments)
        return [self.moments[round(k * last / (n - 1))] for k in range(n)]


def _moment(profile: Profile) -> Moment:
    return Moment(
        as_of_ms=profile.as_of_ms,
        events=profile.summary["core"]["events"],
        categories=tuple(profile.top("category")[:3]),
        score=profile.summary["intent"]["purchase_in_session"],
    )
