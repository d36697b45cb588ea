"""Reads the Open Bandit Dataset (Saito, Aihara, Matsutani, Narita, NeurIPS 2021 Datasets).

Impressions of a fashion shop under a random and a Bernoulli Thompson sampling policy, with
propensities: one CSV of all, with the columns ``policy`` and ``campaign`` before those of the set.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from profiler.errors import UsageError
from profiler.optimisation.impressions import Impressions

PERSON: Final = tuple(f"user_feature_{k}" for k in range(4))
AFFINITY: Final = "user-item_affinity_"

_PLAIN: Final = (
    *("policy", "campaign", "timestamp", "item_id", "position", "click", "propensity_score"),
    *PERSON,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Key = tuple[str, str]
"""Logging policy and campaign."""


def read_open_bandit(path: Path) -> dict[Key, Impressions]:
    """Impressions by logging policy and campaign, in the order of time.

    Values of the persons' features are numbered alike in all of them.

    Raises
    ------
    UsageError
        If the file is absent, is no gzipped CSV, lacks a column or has a row that cannot be read.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            texts, affinity = _read(csv.reader(file), path)
            return _by_policy(dict(zip(_PLAIN, np.array(texts).T, strict=True)), affinity)
    except FileNotFoundError:
        raise UsageError(f"{path} is absent: it is the file of the Open Bandit Dataset") from None
    except (OSError, EOFError, UnicodeError, csv.Error) as fault:
        raise UsageError(f"{path} is no gzipped CSV: {fault}") from fault
    except (ValueError, IndexError) as fault:
        raise UsageError(f"{path} has a row that cannot be read: {fault}") from fault


def _read(rows: Iterator[list[str]], path: Path) -> tuple[list[tuple[str, ...]], NDArray[Any]]:
    """Plain columns as texts, and affinities as numbers; 0 for items of other campaigns."""
    header = next(rows, [])
    place = {name: k for k, name in enumerate(header)}
    affinities = sorted((n for n in header if n.startswith(AFFINITY)), key=lambda n: (len(n), n))
    missing = [name for name in _PLAIN if name not in place]
    if missing or not affinities:
        absent = [*missing, f"{AFFINITY}0"][0]
        raise UsageError(f"{path} has no column {absent}: is it the Open Bandit Dataset?")
    plain = itemgetter(*(place[name] for name in _PLAIN))
    columns = [place[name] for name in affinities]
    texts: list[tuple[str, ...]] = []
    numbers: list[NDArray[np.float32]] = []
    for row in rows:
        texts.append(plain(row))
        numbers.append(np.array([float(row[k] or 0.0) for k in columns], dtype=np.float32))
    if not texts:
        raise UsageError(f"{path} has no rows")
    return texts, np.array(numbers)


def _by_policy(columns: dict[str, NDArray[Any]], affinity: NDArray[Any]) -> dict[Key, Impressions]:
    at_us = np.array([_microseconds(text) for text in columns["timestamp"].tolist()])
    item = columns["item_id"].astype(np.intp)
    person = [np.unique(columns[name], return_inverse=True)[1] for name in PERSON]
    found = {}
    for campaign in np.unique(columns["campaign"]).tolist():
        n_items = int(item[columns["campaign"] == campaign].max()) + 1
        for policy in np.unique(columns["policy"]).tolist():
            mine = (columns["policy"] == policy) & (columns["campaign"] == campaign)
            rows = np.flatnonzero(mine)
            rows = rows[np.argsort(at_us[rows], kind="stable")]
            found[policy, campaign] = Impressions(
                actions=[f"item-{k}" for k in range(n_items)],
                at_us=at_us[rows],
                item=item[rows],
                position=columns["position"][rows].astype(np.intp) - 1,
                propensity=columns["propensity_score"][rows].astype(np.float64),
                reward=columns["click"][rows].astype(np.float64),
                person=np.stack(person, axis=1)[rows],
                affinity=affinity[rows, :n_items].astype(np.float64),
            )
    return found


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
