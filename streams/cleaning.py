"""What cleaning needs of the world: the file of rates, and the bounds of the catalogue."""

from __future__ import annotations

from pathlib import Path

from profiler.catalogue import Catalogue, read_item
from profiler.cleaning import Cleaner
from profiler.currency import Rates, parse_rates
from profiler.errors import ConfigurationError
from streams.eventlog import ends_of, records_until
from streams.settings import Settings, variable


def rates_of(settings: Settings) -> Rates | None:
    """Read the file of rates; None where amounts stay as they are.

    Raises
    ------
    ConfigurationError
        If it cannot be read or makes no sense: names the row and the column.
    """
    if not settings.currency:
        return None
    path = Path(settings.rates_file)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as cause:
        raise ConfigurationError(
            variable("rates_file"), f"cannot read {path}: {cause.strerror}"
        ) from cause
    except UnicodeDecodeError as cause:
        raise ConfigurationError(variable("rates_file"), f"{path} is not UTF-8 text") from cause
    return parse_rates(text, settings.currency, str(path))


def catalogue_of(settings: Settings) -> Catalogue | None:
    """Make an empty catalogue; None where events are not completed."""
    if not settings.items:
        return None
    return Catalogue(grace_ms=grace_ms(settings), versions_max=settings.items_max)


def cleaner_from_log(settings: Settings) -> Cleaner:
    """Make a cleaner that knows all the topic of items holds now, for a look back.

    Raises
    ------
    ConfigurationError
        If the file of rates makes no sense.
    UsageError
        If there is no topic of items.
    BrokerUnavailable
        If no broker answers.
    """
    rates, catalogue = rates_of(settings), catalogue_of(settings)
    if catalogue is not None:
        topic = settings.topic("items")
        for record in records_until(settings, ends_of(settings, "items"), topic):
            said = read_item(record.key, record.value, rates)
            if not isinstance(said, str):
                catalogue.put(*said, max(0, record.timestamp or 0))
    return Cleaner(rates, catalogue)


def grace_ms(settings: Settings) -> int:
    """How much later than its own timestamp a version of an item counts."""
    return round(settings.items_grace_s * 1_000)
