"""Traits as the settings want them: which are kept, and which value of each counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from profiler.trait_values import trait_name
from profiler.traits import RULES, TRAIT_NAMES_MAX, Rule, TraitRules
from streams.setting_values import refuse, variable

TRAITS: Final = (
    *("country=recent", "language=recent", "plan=recent", "time_zone=recent", "tags=union"),
    *("email=recent", "phone=recent"),
)
"""What is kept unless the settings say otherwise: what a shop needs to speak to somebody, and two
hashes to find them by. Whoever needs more of a person (age, sex, place) has to name it."""

PATTERN: Final = rf"^[a-z0-9][a-z0-9_.]{{0,63}}=({'|'.join(RULES)})$"


def trait_rules(traits: Sequence[str], trusted_sources: Sequence[str]) -> TraitRules:
    """Read the settings `traits` (each ``name=rule``) and `trusted_sources`.

    Raises
    ------
    ConfigurationError
        If there are too many, one is named twice or not as it is stored, or the two do not fit
        together.

    Examples
    --------
    >>> trait_rules(["plan=trusted"], ["crm"])
    TraitRules(by_name={'plan': 'trusted'}, trusted=('crm',))
    """
    if len(traits) > TRAIT_NAMES_MAX:
        refuse("traits", f"names {len(traits)} traits; at most {TRAIT_NAMES_MAX} can be kept")
    by_name: dict[str, Rule] = {}
    for entry in traits:
        name, _, rule = entry.partition("=")
        if (stored := trait_name(name)) != name:
            refuse("traits", f"{name} is kept under the name {stored}: write that")
        if name in by_name:
            refuse("traits", f"names {name} twice")
        by_name[name] = cast("Rule", rule)
    if ("trusted" in by_name.values()) != bool(trusted_sources):
        has = "is required by" if not trusted_sources else "has no effect without"
        refuse("trusted_sources", f"{has} a trait with the rule `trusted` in {variable('traits')}")
    return TraitRules(by_name, tuple(trusted_sources))
