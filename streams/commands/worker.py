"""``profiler worker``: consume events until told to stop."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Final

import click

from profiler.errors import ConfigurationError, StoreUnavailable
from streams.app import run
from streams.assembly import Assembly, assemble
from streams.log import configure_logs, get_logger
from streams.settings import Settings, settings_from_process
from streams.store import Durability, Store

GC_THRESHOLDS: Final = (500_000, 20, 50)
"""The first is more than a batch makes, so that what a batch drops need not be looked at."""
SWITCH_INTERVAL_S: Final = 0.0005
"""Batches allocate many objects that live as long as the batch and hold no cycles: at Python's own
thresholds the collector doubles the cost of building summaries."""

RETRY_INTERVAL_S: Final = 1.0

_log = get_logger(component="worker")

EPILOG: Final = """\b
Examples:
  PROFILER_PSEUDONYM_KEY_FILE=/run/secrets/key profiler worker
  PROFILER_CONFIG=profiler.toml profiler worker

/metrics, /healthz and /readyz are served at PROFILER_WEB_HOST:PROFILER_WEB_PORT. SIGTERM or Ctrl-C
lets it finish its batches, commit and leave the group. Exit code 75 says that it stood still while
records waited: start it again. All settings are in docs/settings.md."""


@click.command(
    name="worker", short_help="Consume events and keep profiles up to date.", epilog=EPILOG
)
def command() -> int:
    """Consume events and keep profiles up to date, until told to stop.

    Run as many as there are partitions at most; they share the work.
    """
    settings = settings_from_process()
    configure_logs(settings.log_level, settings.log_format)
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    assembly: Assembly = assemble(settings)
    _log.info("starting", **settings.public())
    try:
        await _check_durability(settings, assembly.store)
        _tune_garbage_collector()
        _tune_threads()
        worker = assembly.worker
        return await run(
            settings,
            worker,
            assembly.metrics,
            durability=assembly.store.durability,
            recognise=worker.recognise,
            items=assembly.items,
        )
    finally:
        await assembly.close()


async def _check_durability(settings: Settings, store: Store) -> None:
    durability = await _durability(settings, store)
    if durability == "none" and settings.require_durable:
        raise ConfigurationError(
            "PROFILER_REQUIRE_DURABLE",
            "is true, but the store keeps nothing on disk: start it with `appendonly yes`, "
            "or do without and set this to false",
        )
    if durability == "none":
        _log.warning("durability", durability=durability, hint="the store loses all if it dies")
    elif durability is not None:
        _log.info("durability", durability=durability)


async def _durability(settings: Settings, store: Store) -> Durability | None:
    """What the store says; None where it is away and needs not be waited for."""
    is_first = True
    while True:
        try:
            return await store.durability()
        except StoreUnavailable as fault:
            if is_first:
                _log.warning("store_unavailable", fault=str(fault))
        if not settings.require_durable:
            return None
        is_first = False
        await asyncio.sleep(RETRY_INTERVAL_S)


def _tune_garbage_collector() -> None:
    gc.collect()
    # What start-up has made stays for good: it need not be looked at again.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _tune_threads() -> None:
    # A record goes from the broker's thread to the loop's and on to the store's. Each has to win
    # the interpreter from a batch that is being computed, which keeps it for 5 ms if it may.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
