"""Who belongs to whom, from the definition alone: all links of a stream are kept and sifted.

Shares nothing with `profiler.identity`, against which an audit holds it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import xxhash

from profiler.events import Identify, timestamp_ms

Pid = Callable[[str, str], str]


class ReferenceLinks:
    """All that was said of links.

    Parameters
    ----------
    pid
        Profile id of a subject's kind and id.
    """

    def __init__(self, pid: Pid) -> None:
        self._pid = pid
        self._links: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self._cuts: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._users: set[str] = set()

    def say(self, event: Identify, event_id: str) -> None:
        """Take in an event; `event_id` is its own, or its origin."""
        ids = [
            (kind, value)
            for kind, value in (
                ("user", event.user_id),
                ("device", event.device_id),
                ("anonymous", event.anonymous_id),
            )
            if value is not None
        ]
        owner = self._pid(*ids[0])
        if ids[0][0] == "user":
            self._users.add(owner)
        ms = timestamp_ms(event.ts)
        for kind, value in ids[1:]:
            pair = self._pid(kind, value), owner
            if event.unlink:
                self._cuts[pair].append(ms)
            else:
                self._links[pair].append((ms, xxhash.xxh3_64_intdigest(event_id.encode())))

    def owners(self) -> dict[str, str]:
        """By pid of who belongs to somebody, to whom: the user, else the device, linked first."""
        claims: defaultdict[str, list[tuple[bool, int, int, str]]] = defaultdict(list)
        for (member, owner), links in self._links.items():
            latest = max(ms for ms, _ in links)
            if latest > max(self._cuts.get((member, owner), [-1])):
                claims[member].append((owner not in self._users, *min(links), owner))
        return {member: min(several)[3] for member, several in claims.items()}
