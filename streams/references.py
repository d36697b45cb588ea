"""The reference implementation as the settings want it, for tools that recompute."""

from __future__ import annotations

from collections.abc import Callable

from profiler.recompute import Reference
from profiler.reference_cleaning import ReferenceCleaning
from profiler.reference_quarantine import ReferenceGuard
from streams.cleaning import grace_ms, rates_of
from streams.eventlog import ends_of, records_until
from streams.formats import decoder_of
from streams.settings import Settings


def reference_cleaning(settings: Settings) -> ReferenceCleaning:
    """Make the reference's cleaning, with an empty catalogue.

    Raises
    ------
    ConfigurationError
        If the file of rates makes no sense.
    """
    return ReferenceCleaning(rates_of(settings), grace_ms(settings))


def feed_items(cleaning: ReferenceCleaning, settings: Settings) -> None:
    """Feed all that the topic of items holds now, where events are completed from it.

    Raises
    ------
    UsageError
        If there is no such topic.
    BrokerUnavailable
        If no broker answers.
    """
    if settings.items:
        for r in records_until(settings, ends_of(settings, "items"), settings.topic("items")):
            cleaning.feed(r.key, r.value, r.timestamp)


def reference_of(
    settings: Settings, pid: Callable[[str, str], str], cleaning: ReferenceCleaning
) -> Reference:
    """Make a reference that decides as the workers do.

    Raises
    ------
    ConfigurationError
        If the mapping file makes no sense.
    """
    return Reference(
        pid,
        clock_skew_max_ms=settings.clock_skew_max_s * 1_000,
        event_age_max_ms=settings.event_age_max_s * 1_000,
        historical_sources=frozenset(settings.historical_sources),
        decoder=decoder_of(settings),
        cleaning=cleaning,
        rules=settings.trait_rules(),
        guard=ReferenceGuard(
            settings.guard_events,
            settings.guard_s * 1_000,
            settings.guard_rhythm,
            frozenset(settings.historical_sources + settings.guard_exempt_sources),
        ),
    )
