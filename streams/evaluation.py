"""A data set through the production code, and through what it is held against.

Records take the two halves of the pipeline that a worker runs (`profiler.evaluation.production`);
the baselines are given exactly the events that were ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.batch import Preparer
from profiler.evaluation.baselines import FAMILIES
from profiler.evaluation.baselines.popularity import Popularity
from profiler.evaluation.log import Log
from profiler.evaluation.prequential import Protocol, choose, rankings
from profiler.evaluation.production import BATCH_EVENTS, Prequential, Ranking, batches
from profiler.evaluation.ranking import Figures, Interval, Rankings, curve, difference
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import RawRecord
from profiler.screening import Screen
from profiler.sources import Converted

OURS: Final = "profiler"
EVENTS_MIN: Final = 100
"""Fewer events of a kind are not worth a table."""

_KEY: Final = bytes(32)
"""Pseudonyms of an evaluation never leave it."""

Told = Callable[[str, int, int], object]
"""Told what is being done, how much of it is new, and how much there is in all."""


class EvaluationOptions(Struct, frozen=True, kw_only=True):
    """How to evaluate.

    Parameters
    ----------
    k
        Length of rankings.
    skip
        Share of the events at the start that are learnt only.
    once
        Whether people turn to an item only once, so that those touched are left out.
    baselines
        Whether to run the baselines, too.
    batch_events
        Records of a batch: statistics count what earlier batches saw.
    seed
        Of the intervals.
    """

    k: int = 20
    skip: float = 0.1
    once: bool = False
    baselines: bool = True
    batch_events: int = BATCH_EVENTS
    seed: int = 1

    @property
    def protocol(self) -> Protocol:
        """As the harness has it."""
        return Protocol(k=self.k, skip=self.skip, once=self.once)


class Judged(Struct, frozen=True):
    """One ranker on one stream.

    Parameters
    ----------
    name
        What tables call it, with its settings.
    figures, met
        Of all rankings, and of those for people with an earlier event.
    ahead
        How much the production code is ahead of it in recall: a bootstrap interval over people.
    recall, mrr
        By tenths of the stream.
    """

    name: str
    figures: Figures
    met: Figures
    ahead: Interval | None
    recall: tuple[float, ...]
    mrr: tuple[float, ...]


class Table(Struct, frozen=True):
    """All rankers on one stream, the production code first.

    Parameters
    ----------
    of
        What was ranked.
    events, people, tokens
        Size of the stream.
    rows
        The rankers.
    clues
        Weights that the mix had learnt by the end.
    """

    of: str
    events: int
    people: int
    tokens: int
    rows: tuple[Judged, ...]
    clues: dict[str, float]


def evaluate(
    records: Sequence[Converted],
    source: str,
    options: EvaluationOptions,
    told: Told = lambda what, n, total: None,
) -> list[Table]:
    """Run records, in the order of their times, through the production code and the baselines.

    Returns
    -------
    list of Table
        Of items and of categories, as far as events name any.
    """
    screen = Screen(historical_sources=frozenset((source,)))
    run = Prequential(Preparer(Pseudonymiser(_KEY), screen), options.protocol)
    raw = (
        RawRecord("profiler.events", 0, k, None, record.key, record.value)
        for k, record in enumerate(records)
    )
    for batch in batches(raw, options.batch_events):
        run.take(batch)
        told(OURS, len(batch), len(records))
    tables = []
    for kind in (run.items, run.categories):
        if kind.n_events < EVENTS_MIN:
            continue
        ranking = kind.ranking(options.protocol)
        clues = dict(zip(kind.mix.names, kind.mix.weights.tolist(), strict=True))
        tables.append(_table(f"next {kind.name}", ranking, clues, options, told))
    return tables


def _table(
    of: str, ranking: Ranking, clues: dict[str, float], options: EvaluationOptions, told: Told
) -> Table:
    log, ours = ranking.log, ranking.rankings
    rows = [_judged(OURS, log, ours, None)]
    fallback_ms = float("inf")
    for family in FAMILIES if options.baselines else ():
        chosen = choose(log, family, options.protocol, fallback_ms)
        baseline = chosen.make()
        if isinstance(baseline, Popularity):
            fallback_ms = baseline.half_life_ms
        tick = partial(_tell, told, f"{of}: {family.name}", len(log))
        found = rankings(log, baseline, options.protocol, tick)
        ahead = difference(ours.hits(options.k), found.hits(options.k), ours.person, options.seed)
        rows.append(_judged(baseline.name, log, found, ahead))
    people, tokens = (len(np.unique(column)) for column in (log.person, log.item))
    return Table(of, len(log), people, tokens, tuple(rows), clues)


def _tell(told: Told, what: str, total: int, n: int) -> None:
    told(what, n, total)


def _judged(name: str, log: Log, found: Rankings, ahead: Interval | None) -> Judged:
    n_tokens = int(log.item.max()) + 1
    met = found.only(~log.is_first()[len(log) - len(found) :])
    recall, mrr = curve(found.hits(found.lists.shape[1])), curve(found.reciprocal())
    return Judged(
        name,
        found.figures(n_tokens),
        met.figures(n_tokens),
        ahead,
        tuple(recall.tolist()),
        tuple(mrr.tolist()),
    )


def lines(table: Table, k: int) -> list[str]:
    """Lines that show a table to people."""
    title = (
        f"{table.of}: {table.events:,} events, {table.people:,} people, {table.tokens:,} of them; "
        f"{table.rows[0].figures.events:,} ranked"
    )
    head = (
        *("ranker", f"recall@{k}", f"MRR@{k}", "hit@1", "hit@3", "coverage"),
        *("met: recall", "MRR", "ahead by (95 %)"),
    )
    body = [head, *(_cells(row) for row in table.rows)]
    widths = [max(len(cells[c]) for cells in body) for c in range(len(head))]
    return [
        title,
        *(
            "  ".join(
                cell.ljust(width) if c == 0 else cell.rjust(width)
                for c, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in body
        ),
    ]


def _cells(row: Judged) -> tuple[str, ...]:
    f, met, ahead = row.figures, row.met, row.ahead
    numbers = (f.recall, f.mrr, f.hit_1, f.hit_3, f.coverage, met.recall, met.mrr)
    between = f"{ahead.mean:+.4f} [{ahead.low:+.4f}, {ahead.high:+.4f}]" if ahead else ""
    return (row.name, *(f"{number:.4f}" for number in numbers), between)


def curves(tables: Sequence[Table]) -> list[str]:
    """Lines of a CSV file: recall and MRR by tenths of each stream."""
    found = ["of,ranker,tenth,recall,mrr"]
    for table in tables:
        for row in table.rows:
            parts = enumerate(zip(row.recall, row.mrr, strict=True), 1)
            name = row.name.replace('"', "'")
            found += [f'{table.of},"{name}",{n},{r:.6f},{m:.6f}' for n, (r, m) in parts]
    return found
