"""The settings of what is taken from records: times, formats, schemas, cleaning."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from profiler.events import TS_MAX_MS
from profiler.sources.table import moment
from profiler.trait_values import SOURCE_CHARS_MAX
from profiler.traits import TraitRules
from streams.secret import Secret
from streams.setting_values import refuse, variable
from streams.trait_rules import PATTERN, TRAITS, trait_rules


class EventSettings(Struct, frozen=True, kw_only=True):
    """Part of `streams.settings.Settings`, in a file of its own because there are so many."""

    clock_skew_max_s: Annotated[
        int,
        Meta(ge=0, le=315_360_000, description="how far an event may lie after its record, s"),
    ] = 3_600
    event_age_max_s: Annotated[
        int,
        Meta(ge=1, le=3_153_600_000, description="how far an event may lie before its record, s"),
    ] = 315_360_000
    historical_sources: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(description="sources whose events may be older than that; separated by commas"),
    ] = ("taobao", "online-retail", "retailrocket", "rees46", "otto", "yoochoose", "movielens")
    live_from: Annotated[
        str,
        Meta(description="leave events before this time (RFC 3339) to `profiler backfill`"),
    ] = ""
    format: Annotated[
        Literal["auto", "native", "cloudevents", "snowplow", "ga4", "segment", "mapping"],
        Meta(description="what records of events are: one format, or each recognised by itself"),
    ] = "auto"
    mapping_file: Annotated[
        str, Meta(description="TOML file that binds foreign messages to events; see sources.md")
    ] = ""
    quality_records_per_s: Annotated[
        int,
        Meta(ge=0, le=2_000, description="records looked at for `profiler_quality_*`; 0: none"),
    ] = 1_000
    registry_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s@?#]+)?$",
            description="schema registry of Avro and Protobuf records: `http://` or `https://`",
        ),
    ] = ""
    registry_ca_file: Annotated[
        str, Meta(description="authorities that vouch for it; by default the system's")
    ] = ""
    registry_user: Annotated[str, Meta(description="user of the registry, if it asks for one")] = ""
    registry_password: Annotated[Secret, Meta(description="password of the same")] = Secret("")
    registry_password_file: Annotated[
        str, Meta(description="file that holds it, instead of `PROFILER_REGISTRY_PASSWORD`")
    ] = ""

    currency: Annotated[
        str,
        Meta(pattern=r"^([A-Z]{3})?$", description="base that amounts are converted to, if any"),
    ] = ""
    rates_file: Annotated[
        str, Meta(description="CSV file of dated rates against the base; see cleaning.md")
    ] = ""
    items: Annotated[
        bool, Meta(description="complete events from the catalogue, the topic of items")
    ] = False
    items_max: Annotated[
        int,
        Meta(ge=1, le=100_000_000, description="versions of items in memory, about 700 bytes each"),
    ] = 1_000_000
    items_grace_s: Annotated[
        float,
        Meta(ge=0.1, le=3_600, description="age from which on a version of an item counts, s"),
    ] = 10.0

    guard_events: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="events within `PROFILER_GUARD_S` from which on it is a machine; 0: off",
        ),
    ] = 1_500
    guard_s: Annotated[
        int, Meta(ge=1, le=86_400, description="length of the window of event time for it, s")
    ] = 60
    guard_rhythm: Annotated[
        bool, Meta(description="hold who never rests for two days and nights; see quarantine.md")
    ] = True
    guard_exempt_sources: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(description="sources that are not judged, nor are the historical ones; with commas"),
    ] = ()
    traits: Annotated[
        tuple[Annotated[str, Meta(pattern=PATTERN)], ...],
        Meta(
            description="traits that are kept, each name=rule: recent, first, trusted or union; "
            "separated by commas"
        ),
    ] = TRAITS
    trusted_sources: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=SOURCE_CHARS_MAX)], ...],
        Meta(description="whose word counts under trusted, the most trusted first"),
    ] = ()

    def check_events(self) -> None:
        """Refuse what makes no sense together.

        Raises
        ------
        ConfigurationError
            Naming the setting.
        """
        self._check_format()
        self._check_registry()
        self.trait_rules()
        if bool(self.currency) != bool(self.rates_file):
            refuse("rates_file" if self.currency else "currency", "is required: see cleaning.md")
        if self.live_from and not self.live_from_ms:
            refuse("live_from", f"{self.live_from!r}: give a time like 2024-06-01T00:00:00Z")

    @property
    def live_from_ms(self) -> int:
        """The time of `live_from`; 0 where it says nothing."""
        found = moment(self.live_from)
        return found if isinstance(found, int) and 0 < found <= TS_MAX_MS else 0

    def _check_format(self) -> None:
        if self.format == "mapping" and not self.mapping_file:
            refuse("format", f"mapping needs {variable('mapping_file')}")
        if self.mapping_file and self.format not in ("auto", "mapping"):
            refuse("mapping_file", f"has no effect under {variable('format')}={self.format}")

    def _check_registry(self) -> None:
        under = f"under {variable('registry_url')}={self.registry_url}"
        is_https = self.registry_url.startswith("https:")
        for name in ("registry_ca_file", "registry_user", "registry_password"):
            if getattr(self, name) and not is_https:
                refuse(name, f"needs an https:// address; has no place {under}")
        if bool(self.registry_user) != bool(self.registry_password):
            refuse("registry_password", f"goes with {variable('registry_user')}: both or neither")

    def trait_rules(self) -> TraitRules:
        """Which traits are kept, and which value of each counts."""
        return trait_rules(self.traits, self.trusted_sources)
