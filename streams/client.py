"""For those who read profiles: needs Redis only, no Kafka, no Faust, no River.

>>> with ProfileClient("redis://127.0.0.1:6379/0", key) as client:  # doctest: +SKIP
...     client.get("user:alice").top("category")
[('tea', 4.9), ('mugs', 1.2)]

`AsyncProfileClient` is the same with ``await``.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import MovedError

from profiler.behaviour.layout import EVERYBODY
from profiler.behaviour.report import Behaviour
from streams.reader import Command, Profile, ProfileReader, Quarantine, Steps
from streams.recommendations import Kind, Recommendation, Recommender
from streams.redis_errors import checked_url, our_errors

__all__ = [
    "AsyncProfileClient",
    "Behaviour",
    "Profile",
    "ProfileClient",
    "Quarantine",
    "Recommendation",
]

TIMEOUT_S: Final = 5.0
RETRIES: Final = 1
"""Enough for a connection that the server or a proxy has closed in the meantime."""

_Result = TypeVar("_Result")


class ProfileClient:
    """Reads profiles.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user and password where needed; of a
        cluster that of any server.
    pseudonym_key
        The workers' key: without it nobody can tell whose profile is whose.
    timeout_s
        For connecting and for each reply.

    Raises
    ------
    ConfigurationError
        If the address or the key cannot be used.
    """

    def __init__(
        self, url: str, pseudonym_key: str | bytes, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._reader = ProfileReader(pseudonym_key)
        self._recommender = Recommender(self._reader)
        retry = redis.retry.Retry(NoBackoff(), RETRIES)
        self._address = {"url": checked_url(url), "retry": retry, **_options(timeout_s)}
        self._redis: Any = redis.Redis.from_url(**self._address)

    def get(
        self,
        subject: str = "",
        *,
        user_id: str | None = None,
        device_id: str | None = None,
        anonymous_id: str | None = None,
        ties: bool = False,
        traits: bool = False,
    ) -> Profile | None:
        """Return one profile, None if nothing is known of the subject.

        Parameters
        ----------
        subject
            ``user:<id>`` or plainly ``<id>``, ``device:<id>``, ``anonymous:<id>``, ``pid:<pid>``.
        user_id, device_id, anonymous_id
            Instead of it, the ids as they stand in events: the first one given counts.
        ties
            Whether to mix in what those are interested in whom the person is tied to
            (`Profile.tie_interests`, `Profile.tie_vector`): one more round trip.
        traits
            Whether to read the person's traits too, in the same round trip.
        """
        asked = subject or _subject(user_id, device_id, anonymous_id)
        return self.get_many([asked], ties=ties, traits=traits)[0]

    def get_many(
        self,
        subjects: Sequence[str],
        *,
        with_names: bool = True,
        ties: bool = False,
        traits: bool = False,
    ) -> list[Profile | None]:
        """Return profiles in the order of `subjects`: one round trip, more only for new names.

        Parameters
        ----------
        with_names
            Whether to look up readable names of tokens.
        ties
            See `get`.

        Raises
        ------
        StoreUnavailable
            If the store cannot be reached now.
        """
        pids = [self._reader.pid(subject) for subject in subjects]
        steps = self._reader.profiles(
            pids, with_names=with_names, with_ties=ties, with_traits=traits
        )
        return self._run(steps)

    def recommend(
        self,
        subject: str,
        k: int = 20,
        *,
        kind: Kind = "item",
        exclude: Collection[str] = (),
        new_only: bool = False,
    ) -> list[Recommendation]:
        """Return what a person may touch next, the likeliest first.

        Somebody of whom nothing is known gets what is popular.

        Parameters
        ----------
        k
            How many; fewer if there are not so many candidates.
        kind
            Items or categories.
        exclude
            Ids of items (names of categories) that must not be recommended.
        new_only
            Whether to leave out what the person touched last.
        """
        pid = self._reader.pid(subject)
        now_s = time.monotonic()
        return self._run(
            self._recommender.recommend(
                pid, k, now_s, kind=kind, exclude=exclude, new_only=new_only
            )
        )

    def behaviour(self, cohort: str = EVERYBODY) -> Behaviour | None:
        """Return how people behave: funnel, next steps, seasons; None if nothing was counted.

        Two round trips, whatever the number of people.

        Parameters
        ----------
        cohort
            ``all``; ``never``, ``once`` or ``often``: by what people had bought before; or
            ``segment-<n>``.

        Raises
        ------
        UsageError
            If there is no such cohort.
        StoreUnavailable
            If the store cannot be reached now.
        """
        return self._run(self._reader.behaviour(cohort))

    def digest(self, name: str, value: str) -> str | None:
        """Return what stands in a trait for a value that identifies a person, e.g. an e-mail."""
        return self._reader.digest(name, value)

    def close(self) -> None:
        """Let go of connections."""
        self._redis.close()

    def __enter__(self) -> ProfileClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[_Result]) -> _Result:
        commands = next(steps)
        while True:
            with our_errors():
                replies = self._replies(commands)
            try:
                commands = steps.send(replies)
            except StopIteration as done:
                result: _Result = done.value
                return result

    def _replies(self, commands: Sequence[Command]) -> Any:
        try:
            return _queued(self._redis, commands).execute()
        except MovedError:  # the server is one of a cluster, which shows only now
            self._redis.close()
            self._redis = redis.RedisCluster.from_url(**self._address)
            return _queued(self._redis, commands).execute()


class AsyncProfileClient:
    """Reads profiles, for asyncio: parameters and methods are those of `ProfileClient`."""

    def __init__(
        self, url: str, pseudonym_key: str | bytes, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._reader = ProfileReader(pseudonym_key)
        self._recommender = Recommender(self._reader)
        retry = redis.asyncio.retry.Retry(NoBackoff(), RETRIES)
        self._address = {"url": checked_url(url), "retry": retry, **_options(timeout_s)}
        self._redis: Any = redis.asyncio.Redis.from_url(**self._address)

    async def get(
        self,
        subject: str = "",
        *,
        user_id: str | None = None,
        device_id: str | None = None,
        anonymous_id: str | None = None,
        ties: bool = False,
        traits: bool = False,
    ) -> Profile | None:
        """See `ProfileClient.get`."""
        asked = subject or _subject(user_id, device_id, anonymous_id)
        return (await self.get_many([asked], ties=ties, traits=traits))[0]

    async def get_many(
        self,
        subjects: Sequence[str],
        *,
        with_names: bool = True,
        ties: bool = False,
        traits: bool = False,
    ) -> list[Profile | None]:
        """See `ProfileClient.get_many`."""
        pids = [self._reader.pid(subject) for subject in subjects]
        steps = self._reader.profiles(
            pids, with_names=with_names, with_ties=ties, with_traits=traits
        )
        return await self._run(steps)

    async def recommend(
        self,
        subject: str,
        k: int = 20,
        *,
        kind: Kind = "item",
        exclude: Collection[str] = (),
        new_only: bool = False,
    ) -> list[Recommendation]:
        """See `ProfileClient.recommend`."""
        pid, now_s = self._reader.pid(subject), time.monotonic()
        return await self._run(
            self._recommender.recommend(
                pid, k, now_s, kind=kind, exclude=exclude, new_only=new_only
            )
        )

    async def behaviour(self, cohort: str = EVERYBODY) -> Behaviour | None:
        """See `ProfileClient.behaviour`."""
        return await self._run(self._reader.behaviour(cohort))

    def digest(self, name: str, value: str) -> str | None:
        """See `ProfileClient.digest`."""
        return self._reader.digest(name, value)

    async def close(self) -> None:
        """See `ProfileClient.close`."""
        await self._redis.aclose()

    async def __aenter__(self) -> AsyncProfileClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[_Result]) -> _Result:
        commands = next(steps)
        while True:
            with our_errors():
                replies = await self._replies(commands)
            try:
                commands = steps.send(replies)
            except StopIteration as done:
                result: _Result = done.value
                return result

    async def _replies(self, commands: Sequence[Command]) -> Any:
        try:
            return await _queued(self._redis, commands).execute()
        except MovedError:  # the server is one of a cluster, which shows only now
            await self._redis.aclose()
            self._redis = redis.asyncio.RedisCluster.from_url(**self._address)
            return await _queued(self._redis, commands).execute()


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        "decode_responses": False,
    }


def _queued(client: Any, commands: Sequence[Command]) -> Any:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline


def _subject(user_id: str | None, device_id: str | None, anonymous_id: str | None) -> str:
    # The order of `profiler.privacy.pseudonym.subject_of`.
    for kind, value in (("user", user_id), ("device", device_id), ("anonymous", anonymous_id)):
        if value is not None:
            return f"{kind}:{value}"
    raise ValueError("a subject, or one of user_id, device_id, anonymous_id is needed")
