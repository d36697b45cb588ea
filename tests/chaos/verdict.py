"""What a run has to show in the end: nothing lost, nothing twice, every broken record kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

from msgspec import Struct

from streams.assembly import open_store
from streams.audit import AuditReport, audit
from streams.letterbox import list_dead_letters
from streams.settings import Settings
from tests.chaos.producer import Account, BrokenRecord, broken_record

DEAD_LETTERS_MAX: Final = 1_000_000


class Letters(Struct, frozen=True, kw_only=True):
    """Dead letters against what the producer broke.

    Parameters
    ----------
    kept
        Different records that have a dead letter.
    repeated
        Further letters of the same records: after a crash there may be some.
    missing
        Broken records without one.
    unexpected
        Letters of records that nobody broke, or with another reason.
    """

    kept: int
    repeated: int
    missing: int
    unexpected: int


def check_letters(settings: Settings, account: Account) -> Letters:
    """Compare the topic of dead letters with what the producer knows it broke."""
    letters = list_dead_letters(settings, DEAD_LETTERS_MAX)
    by_origin: dict[tuple[int, int], BrokenRecord] = {
        (x.partition, x.offset): broken_record(x.reason, x.key, x.value) for x in letters
    }
    found = Counter(by_origin.values())
    expected = Counter(account.broken)
    return Letters(
        kept=len(by_origin),
        repeated=len(letters) - len(by_origin),
        missing=(expected - found).total(),
        unexpected=(found - expected - Counter(account.broken_unknown)).total(),
    )


def check_profiles(settings: Settings, ledger: Path) -> AuditReport:
    """Recompute every profile from the log, and hold the counts against the ledger."""

    async def run() -> AuditReport:
        store = open_store(settings)
        try:
            return await audit(settings, store, ledger=ledger)
        finally:
            await store.close()

    return asyncio.run(run())
