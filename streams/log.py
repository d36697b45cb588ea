"""Structured logs: one JSON object per line, or lines for people; one line per batch at info.

Never a raw identity nor a payload: `_hide` masks the keys under which they would come. The standard
library's logs (Faust, aiokafka, kafka-python) take the same way from level warning on, each message
once in `REPEAT_S`: of a broker that is away aiokafka alone would write sixty lines a second.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

HIDDEN_KEYS: Final = frozenset(
    ("user_id", "device_id", "anonymous_id", "subject", "payload", "value", "key", "pseudonym_key")
)
REPEAT_S: Final = 10.0
MESSAGES_MAX: Final = 1_000
_STANDARD_LEVELS: Final = logging.getLevelNamesMapping()


def configure_logs(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Set up the logs of this process; called once, by its entry point.

    Parameters
    ----------
    level
        Least level of our own logs: ``debug``, ``info``, ``warning`` or ``error``.
    log_format
        ``json`` or ``console``.
    stream
        Where to; standard error by default, as standard output belongs to results.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide,
    ]
    render: list[Processor]
    if log_format == "json":
        # `event` is a word of the domain here, so the text of a line is its `message`.
        render = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    else:
        render = [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_STANDARD_LEVELS[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(shared, render, stream)


def get_logger(**context: object) -> FilteringBoundLogger:
    """Give a logger whose lines all carry `context`.

    Examples
    --------
    >>> log = get_logger(component="worker")
    >>> log.info("batch", n_events=512, n_profiles=87, update_s=0.004)  # doctest: +SKIP
    """
    logger: FilteringBoundLogger = structlog.get_logger(**context)
    return logger


def _route_standard_library(
    shared: list[Processor], render: list[Processor], stream: TextIO
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    handler.addFilter(_Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


class _Seldom(logging.Filter):
    """Holds back what a logger says again and again; what comes after tells how many."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        what = record.name, str(record.msg)
        said_s, n_held = self._last.get(what, (-REPEAT_S, 0))
        if record.created - said_s < REPEAT_S:
            self._last[what] = said_s, n_held + 1
            return False
        if len(self._last) >= MESSAGES_MAX:
            self._last.clear()
        self._last[what] = record.created, 0
        if n_held:
            record.msg = f"{record.msg} ({n_held} more like it before)"
        return True


def _hide(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    for key in HIDDEN_KEYS & line.keys():
        line[key] = "***"
    return line


def _to_json(line: EventDict, **_: Any) -> str:
    return orjson.dumps(line, default=str, option=orjson.OPT_SERIALIZE_NUMPY).decode()


# Commands that set up no logs still keep standard output for their results.
structlog.configure(logger_factory=lambda *_: structlog.WriteLogger(sys.stderr))
