"""Errors that come from another process."""

from __future__ import annotations

import pickle

import pytest

from profiler.errors import ConfigurationError, ProfilerError, UnknownSpec, UsageError


@pytest.mark.parametrize(
    "fault", [ConfigurationError("PROFILER_X", "is wrong"), UnknownSpec("ab"), UsageError("no")]
)
def test_an_error_comes_whole_from_another_process(fault: ProfilerError) -> None:
    found = pickle.loads(pickle.dumps(fault))  # our own bytes

    assert (type(found), str(found), vars(found)) == (type(fault), str(fault), vars(fault))
