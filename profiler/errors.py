"""Every exception of the project, in one tree.

::

    ProfilerError
    ├── ConfigurationError      a setting is wrong: refused at start-up, names the setting
    ├── UsageError              a command line that cannot be carried out; says what to do instead
    ├── TopicReplaced           a topic's offsets are not those that the profiles know
    ├── StateError              a stored state cannot be used
    │   ├── CorruptState        its bytes are not what we wrote
    │   └── UnknownSpec         it was written under a spec that nobody here knows: not overwritten
    ├── StoreError              the profile store
    │   ├── StoreUnavailable    cannot be reached now: pause, back off, try again
    │   └── StoreRestarted      may have lost writes: drop what is in memory, read again from Kafka
    ├── BrokerUnavailable       Kafka cannot be reached now: pause, back off, try again
    ├── RegistryUnavailable     the schema registry cannot be reached now: the same
    └── UnusableSchema          a registered schema by which no record can be read

A fault of a single event is not an exception but a value, `profiler.events.Rejected`.
"""

from __future__ import annotations


class ProfilerError(Exception):
    """Root of all errors that this project raises on purpose."""


class ConfigurationError(ProfilerError):
    """A setting is missing or wrong.

    Parameters
    ----------
    setting
        Name of the setting as the operator writes it, e.g. ``PROFILER_STORE_URL``.
    problem
        What is wrong with it and what would be right. Never contains a secret's value.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[str, str]]:
        """Let it come back whole from another process."""
        return type(self), (self.setting, self.problem)


class UsageError(ProfilerError):
    """A command cannot be carried out as given; the message says what to do instead."""


class TopicReplaced(ProfilerError):
    """A topic was made anew or lost its end: its offsets are not those that the profiles know."""


class StateError(ProfilerError):
    """A stored state cannot be used."""


class CorruptState(StateError):
    """Bytes in the store are not a state that this project wrote."""


class UnknownSpec(StateError):
    """A state was written under a spec whose layout is not in the store.

    The worker stops rather than overwrite it: run the version that wrote it, or publish its layout
    under ``profiler:spec:<hash>``.
    """

    def __init__(self, spec_hash: str) -> None:
        super().__init__(
            f"unknown_spec {spec_hash}: its layout is not at profiler:spec:{spec_hash}; "
            "run the version of this project that wrote it, which publishes the layout at start-up"
        )
        self.spec_hash = spec_hash

    def __reduce__(self) -> tuple[type[UnknownSpec], tuple[str]]:
        """Let it come back whole from another process."""
        return type(self), (self.spec_hash,)


class StoreError(ProfilerError):
    """The profile store answered with something unexpected."""


class StoreUnavailable(StoreError):
    """The profile store cannot be reached now."""


class StoreRestarted(StoreError):
    """The profile store is not the one it was, and may have lost writes that it acknowledged."""


class BrokerUnavailable(ProfilerError):
    """Kafka cannot be reached now."""


class RegistryUnavailable(ProfilerError):
    """The schema registry cannot be reached now, or gives no answer that can be used."""


class UnusableSchema(ProfilerError):
    """A registered schema is none, or by it a few bytes could fill the memory; says why."""
