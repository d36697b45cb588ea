"""Who turned to what, and when: a data file as rankers are evaluated on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.evaluation.log import Log, in_order
from profiler.sources import Row, Source
from streams.files import read_lines, stem


class Interaction(Struct, frozen=True, gc=False):
    """What an evaluation reads of an event."""

    type: str
    ts: int
    item_id: str
    user_id: str
    category: str = ""
    quantity: int = 1
    price: float = 0.0


class Interactions(Struct, frozen=True):
    """Events with a person and an item, in the order of the file.

    Parameters
    ----------
    rows
        The events.
    unreadable
        Number of records left out because they lack a person, an item or a time.
    """

    rows: list[Interaction]
    unreadable: int

    def items(self) -> Log:
        """Items as the things ranked. What is at the same time keeps the order of the file."""
        return self._log([row.item_id for row in self.rows])

    def categories(self) -> Log:
        """Categories as the things ranked, of the same events."""
        return self._log([row.category for row in self.rows])

    def _log(self, names: list[str]) -> Log:
        ts: NDArray[np.int64] = np.array([row.ts for row in self.rows], dtype=np.int64)
        return in_order([row.user_id for row in self.rows], names, ts)


Wanted = Callable[[Interaction], bool]
_DECODE: Final = msgspec.json.Decoder(Interaction).decode


def interactions(
    path: Path,
    source: Source,
    *,
    wanted: Wanted = lambda row: True,
    see: Callable[[Row], bool] | None = None,
    limit: int | None = None,
) -> Interactions:
    """Read a data file.

    Parameters
    ----------
    wanted
        Which events count.
    see
        Sees each row of the file before it becomes an event, and leaves it out where it is false.
    limit
        Stop after so many events that count.

    Raises
    ------
    UsageError
        If the file cannot be read.
    """
    rows: list[Interaction] = []
    unreadable = 0
    for row in _decoded(path, source, see):
        if row is None:
            unreadable += 1
        elif wanted(row):
            rows.append(row)
            if len(rows) == limit:
                break
    return Interactions(rows, unreadable)


def _decoded(
    path: Path, source: Source, see: Callable[[Row], bool] | None
) -> Iterator[Interaction | None]:
    for record in source.convert(read_lines(path, source.form), stem(path), see):
        try:
            yield _DECODE(record.value)
        except msgspec.DecodeError:
            yield None


def rated(stars: Collection[float]) -> Callable[[Row], bool]:
    """Give what sees MovieLens rows and keeps those with these ratings."""

    def see(row: Row) -> bool:
        if row.fields is None:
            return False
        return float(row.fields[2]) in stars

    return see


def sold(row: Interaction) -> bool:
    """Tell whether goods went for money to somebody: no refund, correction or gift."""
    return row.type == "purchase" and row.quantity > 0 and row.price > 0
