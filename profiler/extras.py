"""Libraries that are extras: imported when they are needed, missed in one plain sentence."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

from profiler.errors import UsageError

DISTRIBUTION: Final = "streaming-user-profiles"


def of_extra(extra: str, module: str) -> ModuleType:
    """Import a module that the distribution's extra brings.

    Raises
    ------
    UsageError
        If it is not installed; says how to.

    Examples
    --------
    >>> of_extra("evaluate", "not_there")
    Traceback (most recent call last):
    profiler.errors.UsageError: not_there is not installed: \
pip install 'streaming-user-profiles[evaluate]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        package = (missing.name or module).partition(".")[0]
        raise UsageError(
            f"{package} is not installed: pip install '{DISTRIBUTION}[{extra}]'"
        ) from missing
