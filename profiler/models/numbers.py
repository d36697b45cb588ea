"""Numbers of models: log-odds, and values by name that survive other features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats

LOG_ODDS_MAX: Final = 15.0


def log_odds(p: NDArray[np.floating] | float) -> Floats:
    """(N,) log-odds of probabilities, bounded.

    Examples
    --------
    >>> log_odds(np.array([0.5, 1.0]))
    array([ 0., 15.])
    """
    with np.errstate(divide="ignore"):
        odds = np.log(np.asarray(p, dtype=np.float64)) - np.log1p(-np.asarray(p, dtype=np.float64))
    return np.asarray(np.clip(odds, -LOG_ODDS_MAX, LOG_ODDS_MAX))


def probability(odds: NDArray[np.floating]) -> Floats:
    """(N,) probabilities of log-odds.

    Examples
    --------
    >>> probability(np.array([0.0]))
    array([0.5])
    """
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -LOG_ODDS_MAX, LOG_ODDS_MAX))))


def by_name(names: Sequence[str], values: NDArray[np.floating]) -> dict[str, float]:
    """Values of names, for export."""
    return dict(zip(names, values.tolist(), strict=True))


def in_order(names: Sequence[str], known: Mapping[str, Any], default: float = 0.0) -> Floats:
    """(F,) values of names, as they were exported; a default where they were not."""
    return np.array([float(known.get(name, default)) for name in names])


def averaged(states: Sequence[Any], shares: Floats) -> Any:
    """Average of equally built states: numbers are averaged, by name where they have one.

    Names that some states lack count as zero there, lists must be of equal length, and texts are
    those of the state with the greatest share.

    Examples
    --------
    >>> averaged([{"w": {"a": 1.0}}, {"w": {"a": 2.0, "b": 4.0}}], np.array([0.5, 0.5]))
    {'w': {'a': 1.5, 'b': 2.0}}
    """
    first = states[int(np.argmax(shares))]
    if isinstance(first, dict):
        names = list(dict.fromkeys(name for state in states for name in state))
        zero = {name: _zero(next(s[name] for s in states if name in s)) for name in names}
        return {
            name: averaged([state.get(name, zero[name]) for state in states], shares)
            for name in sorted(names)
        }
    if isinstance(first, list):
        if first and isinstance(first[0], str):
            return first
        return weighted(np.array(states, dtype=np.float64), shares).tolist()
    if isinstance(first, str):
        return first
    return float(weighted(np.array(states, dtype=np.float64), shares))


def weighted(values: Floats, shares: Floats) -> Any:
    """Average of (S, …) values, the same in whatever order they come.

    Equal values stay what they are, to the last bit.
    """
    low = values.min(axis=0)
    terms = np.sort(shares.reshape((-1,) + (1,) * (values.ndim - 1)) * (values - low), axis=0)
    return low + terms.sum(axis=0)


def require_numbers(state: Any) -> None:
    """Check that there is something everywhere: what is not finite stands as null in JSON.

    Raises
    ------
    ValueError
        If there is a null.
    """
    if state is None:
        raise ValueError("a number is missing")
    for part in state.values() if isinstance(state, dict) else state:
        if part is None or isinstance(part, dict | list):
            require_numbers(part)


def _zero(like: Any) -> Any:
    if isinstance(like, dict):
        return {}
    if isinstance(like, list):
        return [0.0] * len(like) if not like or not isinstance(like[0], str) else like
    return like if isinstance(like, str) else 0.0
