"""What tests of the store contract are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from streams.store import Store

SPEC = "0123456789abcdef"
NAMES_MAX = 5


class Rig(Struct, frozen=True):
    """A store under test, and what a reader would see of a profile."""

    store: Store
    profile: Callable[[str], dict[str, bytes]]


Scenario = Callable[[Rig], Awaitable[None]]
Play = Callable[[Scenario], None]
