"""OTTO recommender data (`train.jsonl`, `test.jsonl`): one shopping session a line.

``{"session": 1, "events": [{"aid": 59625, "ts": 1661724000278, "type": "clicks"}, …]}``; Unix
milliseconds. A line becomes as many records as it has events, with row numbers `line.place`. The
set knows sessions, not people: the session is the anonymous id. `clicks`, `carts` and `orders` are
click, cart and purchase.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from profiler.sources.source import Converted, Form, Origin, Row, See, Source

_TYPES: Final = {"clicks": "click", "carts": "cart", "orders": "purchase"}


class _Action(Struct, gc=False):
    aid: int | str
    ts: int | str
    type: str


class _Session(Struct):
    session: int | str
    events: list[_Action]


class Otto(Struct, frozen=True):
    """Sessions as JSON lines. A line that is not one is passed on as it stands."""

    name: str = "otto"

    @property
    def form(self) -> Form:
        """Lines of JSON."""
        return "json"

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the records of all events of all sessions, session by session."""
        origin = Origin(self.name, stem)
        number = 0
        for line in lines:
            value = line.rstrip(b"\r\n")
            if not value:
                continue
            number += 1
            if see is not None and not see(Row(number, value)):
                continue
            try:
                session = _DECODE(value)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                yield Converted(None, value)
                continue
            for place, action in enumerate(session.events, 1):
                event = _event(str(session.session), action)
                yield origin.record(event, f"{number}.{place}")


def _event(session: str, action: _Action) -> dict[str, object]:
    return {
        "type": _TYPES.get(action.type, action.type),
        "ts": action.ts,
        "anonymous_id": session,
        "item_id": str(action.aid),
    }


_DECODE: Final = msgspec.json.Decoder(_Session).decode

SOURCE: Final[Source] = Otto()
