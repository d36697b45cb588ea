"""Whose long-term interests are most like somebody's? Cosine similarity over one batch read.

python examples/nearest_profiles.py alice < subjects.txt

Millions of profiles need a vector index: `profile:{pid}` hashes hold `vector` as Redis' vector
search expects it.
"""

from __future__ import annotations

import sys

import click
import numpy as np

from streams.client import ProfileClient


@click.command()
@click.argument("subject")
@click.option("--store", envvar="PROFILER_STORE_URL", default="redis://127.0.0.1:6379/0")
@click.option("--key", envvar="PROFILER_PSEUDONYM_KEY", required=True)
@click.option("--slice", "part", default="interest_long", show_default=True)
def main(subject: str, store: str, key: str, part: str) -> None:
    """Rank the subjects on standard input, one a line, by likeness to SUBJECT."""
    others = [line.strip() for line in sys.stdin if line.strip()]
    with ProfileClient(store, key) as client:
        profile, *found = client.get_many([subject, *others], with_names=False)
    if profile is None:
        raise click.ClickException(f"nothing is known of {subject}")
    known = [(name, other) for name, other in zip(others, found, strict=True) if other is not None]
    if not known:
        raise click.ClickException("nothing is known of any of the others")
    matrix = np.stack([other.vector_slice(part) for _, other in known])
    target = profile.vector_slice(part)
    norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(target)
    cosine = matrix @ target / np.maximum(norms, np.finfo(np.float32).tiny)
    for place in np.argsort(-cosine)[:10]:
        print(f"{cosine[place]:+.3f}  {known[place][0]}")


if __name__ == "__main__":
    main()
