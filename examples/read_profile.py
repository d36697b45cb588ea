"""Read one profile: favourites by name, and a slice of the vector, brought to now.

python examples/read_profile.py user:alice
"""

from __future__ import annotations

import time

import click

from streams.client import ProfileClient


@click.command()
@click.argument("subject")
@click.option("--store", envvar="PROFILER_STORE_URL", default="redis://127.0.0.1:6379/0")
@click.option("--key", envvar="PROFILER_PSEUDONYM_KEY", required=True)
def main(subject: str, store: str, key: str) -> None:
    """Print what is known of SUBJECT (user:<id>, device:<id>, anonymous:<id>)."""
    with ProfileClient(store, key) as client:
        profile = client.get(subject)
    if profile is None:
        raise click.ClickException(f"nothing is known of {subject}")
    now = profile.at(time.time_ns() // 1_000_000)
    for kind in ("category", "brand", "item"):
        for name, weight in now.top(kind)[:5]:
            print(f"{kind:<10}{name:<40}{weight:10.2f}")
    print("events of the last day, decayed:", now.vector_slice("activity_day").round(2).tolist())


if __name__ == "__main__":
    main()
