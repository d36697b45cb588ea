"""The Faust app of a worker process: topics, agent, web pages, and its life from start to exit.

`run` is what ``profiler worker`` calls. On SIGTERM or SIGINT it finishes the batches that are being
worked on, commits, leaves the group and returns 0, all within `STOP_TIMEOUT_S`; on a fault of the
worker or of Faust it returns 1; when it stands still, the watchdog ends it with `EXIT_STALLED`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from faust.auth import Credentials, SASLCredentials, SSLCredentials
from faust.types import TP
from faust.web import Request, Response, View

from profiler.errors import BrokerUnavailable, UsageError
from streams.adoption import check_offsets
from streams.agents import Reach, Worker, deliver_to
from streams.batching import BatchApp
from streams.broker import BrokerSecurity, security_of
from streams.catalogue import CatalogueReader
from streams.eventlog import READ
from streams.health import Health
from streams.identity import Place
from streams.log import get_logger
from streams.metrics import Metrics
from streams.settings import Settings
from streams.store import Durability
from streams.topics import topic_ids
from streams.watchdog import EXIT_STALLED, Watchdog

DRAIN_TIMEOUT_S: Final = 5.0
STOP_TIMEOUT_S: Final = 9.0
HEARTBEATS_PER_SESSION: Final = 5
REBALANCE_TIMEOUT_S: Final = 30.0
MAX_POLL_INTERVAL_S: Final = 86_400.0
METADATA_MAX_AGE_S: Final = 30.0
"""So long new partitions of a topic may go unnoticed."""
RETRY_INTERVAL_S: Final = 1.0
LAG_INTERVAL_S: Final = 1.0
TOPICS_INTERVAL_S: Final = 30.0

LOOK_TIMEOUT_S: Final = 10.0
"""Well below the time that a rebalance may take."""

Recognise = Callable[[Mapping[str, str]], Awaitable[Mapping[Place, int]]]
"""Takes topics' ids by full name; gives how far the profiles know each partition. Raises
`TopicReplaced` if a topic is not the right one."""

_log = get_logger(component="app")


def create_app(
    settings: Settings,
    worker: Worker,
    metrics: Metrics,
    directory: Path,
    topics: Sequence[str] = READ,
    health: Health | None = None,
    recognise: Recognise | None = None,
    reach: Reach | None = None,
) -> BatchApp:
    """Build the app; nothing is connected before it is started.

    Parameters
    ----------
    settings
        All settings.
    worker
        Takes the batches.
    metrics
        What ``/metrics`` shows.
    directory
        An empty directory; Faust insists on one, and nothing that matters is kept there.
    topics
        Short names of the topics to read, each with as many partitions as the others.
    health
        What ``/healthz`` and ``/readyz`` show; by default what the worker's `ping` tells.
    recognise
        Is asked before anything of an assignment is delivered, and now and then.
    reach
        Is waited for before a batch is worked on.
    """
    look = partial(_look, settings, topics, recognise or _recognise_all)

    async def assigned(committed: Mapping[TP, tuple[int, str]]) -> None:
        await look()
        await worker.assigned({(tp.topic, tp.partition): at for tp, at in committed.items()})

    app = BatchApp(
        settings.group,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        drain_timeout_s=DRAIN_TIMEOUT_S,
        assigned=assigned,
        revoked=worker.revoked,
        **_faust_options(settings, directory),
    )
    n_batches_max = max(2, settings.queue_events_max // settings.batch_events_max)
    names = [settings.topic(name) for name in topics]
    deliver_to(worker, app, app.batched_topic(*names, n_batches_max=n_batches_max), reach)
    _add_pages(app, health or Health(worker.ping), metrics)

    app.timer(LAG_INTERVAL_S)(partial(_observe_lag, app, metrics))
    app.timer(TOPICS_INTERVAL_S)(look)

    async def work() -> None:
        await worker.run(app.rewind)
        raise RuntimeError("the worker ended by itself")

    app.task(work)
    return app


async def _observe_lag(app: BatchApp, metrics: Metrics) -> None:
    by_number: Counter[int] = Counter()
    for tp, lag_events in app.lags().items():
        by_number[tp.partition] += lag_events
    for number, lag_events in by_number.items():
        metrics.set_partition(number, lag_events=lag_events)


def _faust_options(settings: Settings, directory: Path) -> dict[str, Any]:
    return {
        "broker": [f"kafka://{address}" for address in settings.brokers.split(",")],
        "broker_credentials": _credentials(security_of(settings)),
        "broker_commit_interval": settings.commit_interval_s,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.session_timeout_s / HEARTBEATS_PER_SESSION,
        "broker_rebalance_timeout": REBALANCE_TIMEOUT_S,
        # While the store is away nothing is polled, for as long as it takes.
        "broker_max_poll_interval": MAX_POLL_INTERVAL_S,
        "broker_max_poll_records": settings.batch_events_max,
        # Checked in C at no measurable cost: 3.2–3.8 µs of CPU per record with and without.
        "broker_check_crcs": True,
        "consumer_auto_offset_reset": "earliest",
        "consumer_metadata_max_age_ms": int(METADATA_MAX_AGE_S * 1_000),
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "datadir": directory,
        "web_bind": settings.web_host,
        "web_port": settings.web_port,
        "web_router_enabled": False,
        "web_tables_enabled": False,
        # Settings come from `Settings` alone, never from variables that Faust knows by itself.
        "env": {},
    }


def _credentials(security: BrokerSecurity) -> Credentials | None:
    if security.protocol == "plaintext":
        return None
    if security.protocol == "ssl":
        return SSLCredentials(security.ssl_context())
    return SASLCredentials(
        username=security.user,
        password=security.password.reveal(),
        mechanism=security.mechanism,
        ssl_context=security.ssl_context(),
    )


def _add_pages(app: BatchApp, health: Health, metrics: Metrics) -> None:
    @app.page("/metrics")
    async def show_metrics(view: View, request: Request) -> Response:
        return view.bytes(metrics.render(), content_type="text/plain; version=0.0.4")

    @app.page("/healthz")
    async def show_health(view: View, request: Request) -> Response:
        status, facts = health.liveness()
        return view.json(facts, status=status)

    @app.page("/readyz")
    async def show_readiness(view: View, request: Request) -> Response:
        status, facts = await health.readiness(len({tp.partition for tp in app.partitions()}))
        return view.json(facts, status=status)


async def serve(app: BatchApp, stop: asyncio.Event) -> int:
    """Run the app until `stop` is set or it crashes, and stop it in good order.

    Returns
    -------
    int
        Exit code: 0 after a stop that was asked for, 1 after a crash or a start that failed.
    """
    start = asyncio.create_task(app.start())
    asked = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(app.until_crashed())
    try:
        done, _ = await asyncio.wait({start, asked, crashed}, return_when=asyncio.FIRST_COMPLETED)
        if start in done:
            if fault := start.exception():
                _log.error("not_started", reason=repr(fault))
                return 1
            _log.info("started", topics=sorted(app.batched_topics))
            await asyncio.wait({asked, crashed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (start, asked, crashed):
            task.cancel()
        await asyncio.gather(start, asked, crashed, return_exceptions=True)
        await app.stop()
    if app.crashed:
        _log.error("crashed", reason=repr(app.crash_reason))
        return 1
    _log.info("stopped")
    return 0


async def run(
    settings: Settings,
    worker: Worker,
    metrics: Metrics,
    topics: Sequence[str] = READ,
    durability: Callable[[], Awaitable[Durability]] | None = None,
    recognise: Recognise | None = None,
    items: CatalogueReader | None = None,
) -> int:
    """Run a worker process until a signal, a fault or a stall.

    Waits for a broker that is away. A stop that hangs, for example on a broker that went away, is
    cut off: what was not committed is delivered again, and the fence absorbs it.

    Returns
    -------
    int
        Exit code: 0 after SIGTERM or SIGINT, 1 after a fault, `EXIT_STALLED` after a standstill.

    Raises
    ------
    UsageError
        A topic does not exist.
    TopicReplaced
        It is not the one whose offsets the profiles know.
    """
    recognise = recognise or _recognise_all
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    health = Health(worker.ping, durability, (lambda: items.is_behind) if items else None)

    def stop_in_time() -> None:
        if not stop.is_set():
            stop.set()
            loop.call_later(STOP_TIMEOUT_S, _cut_off, health)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_in_time)
    if not await _unless(stop, _prepare(settings, topics, recognise)):
        return 0
    if items is not None and not await _unless(stop, items.load()):
        return 0
    watchdog = Watchdog(settings, [settings.topic(name) for name in topics], health, metrics)
    with tempfile.TemporaryDirectory(prefix="profiler-worker-") as directory:
        reach = items.reach if items else None
        app = create_app(
            settings, worker, metrics, Path(directory), topics, health, recognise, reach
        )
        if items is not None:
            app.task(items.run)
        with watchdog.watching(app.partitions, stop_in_time):
            code = await serve(app, stop)
    return EXIT_STALLED if health.stall else code


async def _look(settings: Settings, topics: Sequence[str], recognise: Recognise) -> None:
    """Notice a topic that is made anew, or cut, while it is read: the fault ends the app."""
    with contextlib.suppress(BrokerUnavailable, UsageError, TimeoutError):
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            await _check(settings, topics, recognise)


async def _check(settings: Settings, topics: Sequence[str], recognise: Recognise) -> None:
    reached = await recognise(await asyncio.to_thread(topic_ids, settings, topics))
    await asyncio.to_thread(check_offsets, settings, reached)


def _cut_off(health: Health) -> None:
    _log.error("stop_timed_out", stop_timeout_s=STOP_TIMEOUT_S)
    # A thread that waits for the network cannot be interrupted, and the interpreter would join it.
    os._exit(EXIT_STALLED if health.stall else 1)


async def _prepare(settings: Settings, topics: Sequence[str], recognise: Recognise) -> None:
    """Return once the broker answers and has the topics that the profiles know."""
    is_first = True
    while True:
        try:
            return await _check(settings, topics, recognise)
        except BrokerUnavailable as fault:
            if is_first:
                _log.warning("broker_unavailable", fault=str(fault))
            is_first = False
            await asyncio.sleep(RETRY_INTERVAL_S)


async def _unless(stop: asyncio.Event, what: Coroutine[Any, Any, None]) -> bool:
    """Return whether something ended before there was a reason to stop."""
    doing, asked = asyncio.create_task(what), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
        if doing in done:
            doing.result()
        return doing in done
    finally:
        doing.cancel()
        asked.cancel()
        await asyncio.gather(doing, asked, return_exceptions=True)


async def _recognise_all(topic_ids: Mapping[str, str]) -> Mapping[Place, int]:
    """Take any topic for the right one."""
    return {}
