"""What the retrained factorisations share: a log as a sparse matrix, and what it has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from profiler.evaluation.log import Log


def counts(log: Log) -> Any:
    """Give the number of events of each person (rows) with each item (columns), as CSR.

    Examples
    --------
    >>> log = Log(np.array([0, 1, 1]), np.array([1, 0, 0]), np.array([1, 2, 3]))
    >>> counts(log).toarray()
    array([[0., 1.],
           [2., 0.]], dtype=float32)
    """
    ones = np.ones(len(log), dtype=np.float32)
    found = sparse.csr_matrix((ones, (log.person, log.item)))
    found.sum_duplicates()
    return found


def touched(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of each number up to the greatest whether it occurs.

    Examples
    --------
    >>> touched(np.array([2, 0]))
    array([ True, False,  True])
    """
    return np.asarray(np.bincount(numbers) > 0)
