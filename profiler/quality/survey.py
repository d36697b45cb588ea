"""The survey of a whole file or topic: takes it in portions, remembers little, reports at the end.

Memory is bounded by names in the files beside this one: hashes of rows (`repetition.HASHES_MAX`),
keys of relations (`consistency.KEYS_MAX`), hashes of values by column (`repetition.DISTINCT_MAX`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.batch import Screen
from profiler.decoding import MARK, Decoder
from profiler.quality.columns import TableSurvey
from profiler.quality.conflicts import PRICE_RATIO, conflicts
from profiler.quality.consistency import Relations, Steady
from profiler.quality.examples import Example, Worst, shown_row
from profiler.quality.facts import DIMENSIONS, Facts, Problem, facts_of, presences
from profiler.quality.problems import Hit, problems_of, refused_records, screened
from profiler.quality.repetition import Seen, hashes_of
from profiler.quality.report import FieldReport, Finding, Report, says
from profiler.quality.timeliness import Times
from profiler.records import Record
from profiler.sources import Columns, Row

DUPLICATE: Final = Problem("uniqueness", "row", "exact_duplicate")
REPEATED_ID: Final = Problem("uniqueness", "event_id", "repeated")
OTHER_CONTENT: Final = Problem("consistency", "event_id", "other_content")
OUT_OF_ORDER: Final = Problem("timeliness", "ts", "out_of_order")


@dataclass(frozen=True, slots=True)
class Portion:
    """Rows that are looked at together, and the records that were made of them.

    Parameters
    ----------
    rows
        Of one file, or one per record of a topic.
    places
        Where each row is, in the words of an example: file and row, or topic and offset.
    records
        Records, in the order of their rows.
    row_of
        (N,) place of each record's row in `rows`.
    """

    rows: Sequence[Row]
    places: Sequence[str]
    records: Sequence[Record]
    row_of: NDArray[np.intp]


class Survey:
    """Looks at portions and reports what it found.

    Parameters
    ----------
    now_ms
        What lies later is in the future.
    decoder
        Knows the formats of records.
    screen
        What the worker allows of event times; measured where records have timestamps.
    """

    def __init__(
        self, now_ms: int, decoder: Decoder | None = None, screen: Screen | None = None
    ) -> None:
        self._now_ms = now_ms
        self._screen = screen or Screen()
        self._decoder = decoder or Decoder()
        self._counts: Counter[Problem] = Counter()
        self._worst: defaultdict[Problem, Worst] = defaultdict(Worst)
        self._n: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._fields: Counter[tuple[str, str]] = Counter()
        self._missing: Counter[tuple[str, str]] = Counter()
        self._rows_seen = Seen()
        self._ids_seen = Seen()
        self._contents_seen = Seen()
        self._relations = Relations()
        self._times = Times()
        self._tables: dict[Columns, TableSurvey] = {}

    def add(self, portion: Portion) -> None:
        """Look at these rows and records."""
        rows, n = portion.rows, self._n
        hits = []
        if rows and rows[0].columns is not None:
            columns = rows[0].columns
            hits += self._tables.setdefault(columns, TableSurvey(columns)).add(rows)
        repeated = self._rows_seen.add(hashes_of(_contents(portion)))
        hits.append(Hit(DUPLICATE, np.flatnonzero(repeated)))

        facts = facts_of(portion.records, self._decoder.decode(portion.records))
        present = presences(facts)
        for one in present:
            self._fields[one.type, one.field] += one.n
            self._missing[one.type, one.field] += len(one.missing)
        self._types.update(facts.type_of)
        self._relations.add(facts)
        found = problems_of(facts, present, self._now_ms)
        found += screened(facts, self._screen)
        found += self._ids(facts, portion)
        found += self._order(facts)
        hits += [hit._replace(record=portion.row_of[hit.record]) for hit in found]
        n["rows"] += len(rows)
        n["facts"] += len(facts.things)
        gone = refused_records(found)
        n["events"] += int((~np.isin(facts.record[: facts.n_events], gone)).sum())
        n["records"] += len(portion.records)
        n["refused"] += len(gone)
        n["unused"] += facts.n_unused
        self._note(hits, portion)

    def _note(self, hits: Sequence[Hit], portion: Portion) -> None:
        def example(place: int) -> Example:
            return Example(portion.places[place], shown_row(portion.rows[place]))

        for hit in hits:
            if len(hit.record):
                self._counts[hit.problem] += len(hit.record)
                places = hit.record.tolist()
                self._worst[hit.problem].offer(places, hit.badness, example)

    def _ids(self, facts: Facts, portion: Portion) -> list[Hit]:
        """Event ids that have come before; those of tables were made by us, one per row."""
        if portion.rows and portion.rows[0].columns is not None:
            return []
        # Once contents are no longer remembered, an id with the same one would seem to differ.
        if self._contents_seen.is_full:
            return []
        ids = facts.column("event_id")
        at = np.array([k for k, i in enumerate(ids) if i and isinstance(i, str)], dtype=np.intp)
        self._n["ids"] += len(at)
        named = [ids[k].encode() for k in at.tolist()]
        values = [facts.records[r].value or b"" for r in facts.record[at].tolist()]
        again = self._ids_seen.add(hashes_of(named))
        alike = self._contents_seen.add(
            hashes_of(b"%d:%b%b" % (len(i), i, v) for i, v in zip(named, values, strict=True))
        )
        return [
            Hit(REPEATED_ID, facts.record[at[again & alike]]),
            Hit(OTHER_CONTENT, facts.record[at[again & ~alike]]),
        ]

    def _order(self, facts: Facts) -> list[Hit]:
        times = facts.times_ms()
        self._n["times"] += int(np.isfinite(times).sum())
        records = [facts.records[r] for r in facts.record.tolist()]
        stamped = facts.stamped_ms()
        logs: dict[tuple[str, int], list[int]] = {}
        # Refused records stand behind the others: brought back to where they came.
        for k in np.argsort(facts.record, kind="stable").tolist():
            logs.setdefault((records[k].topic, records[k].partition), []).append(k)
        hits = []
        for log, places in logs.items():
            at = np.array(places, dtype=np.intp)
            late = self._times.add(log, times[at], stamped[at])
            hits.append(Hit(OUT_OF_ORDER, facts.record[at[late]]))
        return hits

    def report(self, inputs: Sequence[str], source: str) -> Report:
        """Say what was found so far."""
        n = self._n
        people = {name for columns in self._tables for name in columns.people}
        findings = [
            *(self._finding(problem) for problem in self._counts),
            *conflicts(self._steady(), self._relations.prices, people),
        ]
        place = {name: k for k, name in enumerate(DIMENSIONS)}
        findings.sort(key=lambda f: (place[f.dimension], -f.count, f.field, f.problem))
        return Report(
            inputs=tuple(inputs),
            source=source,
            rows=n["rows"],
            events=n["events"],
            refused=n["refused"],
            unused=n["unused"],
            types=dict(sorted(self._types.items(), key=lambda pair: (-pair[1], pair[0]))),
            findings=tuple(findings),
            columns=tuple(c for table in self._tables.values() for c in table.report()),
            fields=tuple(
                FieldReport(type=kind, field=name, events=found, missing=self._missing[kind, name])
                for (kind, name), found in sorted(self._fields.items())
            ),
            times=self._times.report(),
            limits=tuple(self._limits()),
        )

    def _finding(self, problem: Problem) -> Finding:
        count = self._counts[problem]
        of, unit = self._whole(problem)
        return Finding(
            dimension=problem.dimension,
            field=problem.field,
            problem=problem.name,
            says=says(problem),
            count=count,
            of=of,
            unit=unit,
            share=count / of if of else 0.0,
            examples=self._worst[problem].examples,
        )

    def _whole(self, problem: Problem) -> tuple[int, str]:
        """Of how many of what a problem is counted."""
        if problem == DUPLICATE:
            return self._n["rows"], "rows"
        if problem in (REPEATED_ID, OTHER_CONTENT):
            return self._n["ids"], "events"
        if problem.dimension == "completeness":
            kind, _, name = problem.field.partition(".")
            if (kind, name) in self._fields:
                return self._fields[kind, name], "events"
            return self._n["rows"], "rows"
        if problem.name in ("not_positive", "in_future", "before_1990", "out_of_order"):
            return self._n["facts"], "events"
        return self._n["records"], "records"

    def _steady(self) -> dict[Problem, Steady]:
        found = dict(self._relations.steady)
        for table in self._tables.values():
            found.update(table.steady)
        return found

    def _limits(self) -> list[str]:
        seen = {"rows": self._rows_seen, "event ids": self._contents_seen}
        reached = [
            f"repeated {name}: only the first {len(s):,} were remembered"
            for name, s in seen.items()
            if s.is_full
        ]
        reached += [
            f"{says(problem)}: only the first {s.n_keys:,} were compared"
            for problem, s in self._steady().items()
            if s.is_full
        ]
        if self._relations.prices.is_full:
            reached.append(f"{says(PRICE_RATIO)}: only the first items were compared")
        return reached


def _contents(portion: Portion) -> list[bytes]:
    """What rows are compared by: their bytes, and those headers of records that say more."""
    values = [row.value for row in portion.rows]
    for record, place in zip(portion.records, portion.row_of.tolist(), strict=True):
        if record.headers:
            said = [(n, v) for n, v in record.headers if n[: len(MARK)].lower() == MARK]
            values[place] += repr(said).encode() if said else b""
    return values
