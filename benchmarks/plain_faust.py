"""What the worker is measured against: this kind of job as Faust's documentation would write it.

One event at a time: decode the JSON, bring nine decayed counts of the user up to date (three event
types at half-lives of an hour, a day and 30 days, in a plain dict), predict and learn with one
River model, write the profile with one HSET. It does less: no retries, fence, top lists, vector.

``python -m benchmarks.plain_faust worker`` runs it; brokers, topic, group and store come from the
``PLAIN_*`` variables. How far it is goes to the key `PROGRESS_KEY` twice a second.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any, Final

import faust
import orjson
import redis.asyncio
from river.linear_model import LogisticRegression

PROGRESS_KEY: Final = "plain:progress"
TYPES: Final = ("click", "browse", "purchase")
HALF_LIVES_MS: Final = (3_600_000, 86_400_000, 2_592_000_000)
FEATURES: Final = tuple(f"{kind}_{name}" for kind in TYPES for name in ("hour", "day", "month"))

app = faust.App(
    os.environ.get("PLAIN_GROUP", "plain"),
    broker=f"kafka://{os.environ.get('PLAIN_BROKERS', '127.0.0.1:9092')}",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    # The group is joined sooner than with Faust's 60 s; it has no part in the steady state.
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    datadir=tempfile.gettempdir(),
)
events = app.topic(os.environ.get("PLAIN_TOPIC", "profiler.events"), value_serializer="raw")
store: Any = redis.asyncio.Redis.from_url(
    os.environ.get("PLAIN_STORE_URL", "redis://127.0.0.1:6379/0")
)
model: Any = LogisticRegression()
profiles: dict[str, dict[str, float]] = {}
seen_ms: dict[str, int] = {}
n_events = 0


def count(user: str, kind: str, ts: int) -> dict[str, float]:
    """Give the user's decayed counts just before an event, and count the event."""
    profile = profiles.get(user)
    if profile is None:
        profile = profiles[user] = dict.fromkeys(FEATURES, 0.0)
    elapsed_ms = max(0, ts - seen_ms.get(user, ts))
    seen_ms[user] = max(ts, seen_ms.get(user, ts))
    decay = [0.5 ** (elapsed_ms / half_life_ms) for half_life_ms in HALF_LIVES_MS]
    for k, name in enumerate(FEATURES):
        profile[name] *= decay[k % len(decay)]
    before = profile.copy()
    if kind in TYPES:
        for name in ("hour", "day", "month"):
            profile[f"{kind}_{name}"] += 1.0
    return before


@app.agent(events)
async def update(stream: Any) -> None:
    """Update the profile of each event's user."""
    global n_events
    async for value in stream:
        event = orjson.loads(value)
        user = event["user_id"]
        x = count(user, event["type"], event["ts"])
        score = model.predict_proba_one(x)[True]
        model.learn_one(x, event["type"] == "purchase")
        await store.hset(f"plain:{user}", mapping={**profiles[user], "score": score})
        n_events += 1


@app.timer(0.5)  # type: ignore[untyped-decorator]  # Faust's timers are untyped
async def report() -> None:
    """Tell how many events are done, and when."""
    await store.set(PROGRESS_KEY, f"{n_events} {time.time()}")


if __name__ == "__main__":
    app.main()
