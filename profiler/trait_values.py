"""What an `identify` event says of its subject, as traits: names and values in one form.

Values that identify a person are kept only as keyed hashes, each under the key of the pseudonyms
and in a domain of its own by the name of the trait, so that the same e-mail address under two names
gives two hashes that nobody can match.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import Hashes, Ints
from profiler.events import TYPE_CODES, AnyEvent, Identify, Scalar, Trait
from profiler.tokens import normal
from profiler.traits import UNSET, Told, Traited, TraitRules, one_trait

VALUE_CHARS_MAX: Final = 256
SOURCE_CHARS_MAX: Final = 64
NAMES_CACHED_MAX: Final = 4_096
INTEGER_MAX: Final = 2**53 - 1
"""Up to here all readers of JSON agree on what an integer is."""

ALIASES: Final[Mapping[str, str]] = {
    **{f"address.{part}": part for part in ("city", "country", "state", "street", "postal_code")},
    **dict.fromkeys(("e_mail", "mail", "email_address"), "email"),
    **dict.fromkeys(("mobile", "phone_number", "telephone"), "phone"),
    **dict.fromkeys(("timezone", "time_zone_name", "tz"), "time_zone"),
    **dict.fromkeys(("zip", "zip_code", "postcode", "address.zip"), "postal_code"),
    "lang": "language",
    **dict.fromkeys(("firstname", "given_name"), "first_name"),
    **dict.fromkeys(("lastname", "surname", "family_name"), "last_name"),
    "fullname": "full_name",
    **dict.fromkeys(("dob", "birthday", "date_of_birth"), "birth_date"),
}
"""Other names of the same, by which foreign systems call it."""

IDENTIFYING: Final = frozenset(
    {
        *("name", "first_name", "last_name", "middle_name", "full_name", "display_name"),
        *("username", "user_name", "nickname", "login", "avatar"),
        *("street", "postal_code", "birth_date", "ip", "passport", "ssn", "tax_id"),
        *("iban", "card_number", "license_plate", "latitude", "longitude"),
    }
)
"""Names whose values identify a person; and so do those that end with one of `CONTACTS`."""
PHONES: Final = ("phone", "mobile", "fax", "whatsapp")
CONTACTS: Final = (*PHONES, "mail", "address", "_ip", ".ip")

IDENTIFY: Final = TYPE_CODES[Identify]

Pid = Callable[[str, str], str]


class TraitReader:
    """Reads the traits that a batch of events tells.

    Parameters
    ----------
    rules
        Which are kept.
    pid
        Keyed hash of a kind and a value (`profiler.privacy.pseudonym.Pseudonymiser.pid`).

    Attributes
    ----------
    n_ignored
        Traits of the batch that were left out: not among the rules, or without a usable value.
    """

    def __init__(self, rules: TraitRules, pid: Pid) -> None:
        self.rules = rules
        self._pid = pid
        self.begin()

    def begin(self) -> None:
        """Begin a batch."""
        self.n_ignored = 0
        self._n_entries = 0
        self._noted: list[tuple[int, Identify]] = []

    def note(self, identify: Sequence[AnyEvent], type_code: NDArray[np.intp]) -> None:
        """Take in the next part of the batch.

        Parameters
        ----------
        identify
            Its events of that type.
        type_code
            (N,) of all its entries, of which an event may have several, but not one of that type.
        """
        if identify:
            places = np.flatnonzero(type_code == IDENTIFY).tolist()
            for event, i in zip(identify, places, strict=True):
                assert isinstance(event, Identify)
                if event.traits:
                    self._noted.append((self._n_entries + i, event))
        self._n_entries += len(type_code)

    def read(
        self, ts: Ints, id_hash: Hashes, row: NDArray[np.intp], kept: NDArray[np.bool_] | None
    ) -> list[Traited]:
        """Give what those events of the batch that are kept here say of their subjects.

        Parameters
        ----------
        ts, id_hash, row
            Columns of the entries that are kept.
        kept
            Which of the batch's are; None: all.
        """
        if not self._noted:
            return []
        found = []
        place = np.arange(self._n_entries) if kept is None else np.cumsum(kept) - 1
        for i, event in self._noted:
            if kept is None or kept[i]:
                n = int(place[i])
                told = self.told(event, int(ts[n]), int(id_hash[n]))
                if told:
                    traits = self.rules.joined(*(one_trait(*one) for one in told))
                    found.append(Traited(int(row[n]), traits))
        return found

    def told(self, event: Identify, ts: int, id_hash: int) -> list[tuple[str, Told]]:
        """Give what one event says of its subject: names, and what was told."""
        source = normal(event.source or "")[:SOURCE_CHARS_MAX]
        found: list[tuple[str, Told]] = []
        for given, value in event.traits.items():
            name = trait_name(given)
            texts = list(self._texts(name, value)) if name in self.rules.by_name else []
            self.n_ignored += not texts
            found += [(name, Told(ts, id_hash, text, source)) for text in texts]
        return found

    def _texts(self, name: str, value: Trait) -> Iterator[str]:
        rule = self.rules.by_name[name]
        if isinstance(value, list):
            several = value if rule == "union" else []
        elif value is None:
            if rule in ("recent", "trusted"):
                yield UNSET
            return
        else:
            several = [value]
        for one in several:
            if (text := self._text(name, one)) is not None:
                yield text

    def _text(self, name: str, value: Scalar) -> str | None:
        """One value as JSON; None if it says nothing, or too much."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None:
            return None
        text = normal(value) if isinstance(value, str) else _number(value)
        if not text or len(text) > VALUE_CHARS_MAX:
            return None
        if is_identifying(name) or (isinstance(value, str) and _EMAIL.search(text)):
            hashed = trait_digest(self._pid, name, text)
            return hashed and msgspec.json.encode(hashed).decode()
        return msgspec.json.encode(text).decode() if isinstance(value, str) else text


@functools.lru_cache(maxsize=NAMES_CACHED_MAX)
def trait_name(given: str) -> str:
    """Name of a trait in one form, whoever wrote it: words in lower case, joined by ``_``.

    Parts of nested objects are joined by a dot.

    Examples
    --------
    >>> [trait_name(n) for n in ("timeZone", "address.postalCode", "E-Mail", "IPAddress")]
    ['time_zone', 'postal_code', 'email', 'ip_address']
    """
    words = _WORD_BREAK.sub("_", normal(given)).lower()
    name = _NO_WORD.sub("_", words).strip("_")
    return ALIASES.get(name, name)


def is_identifying(name: str) -> bool:
    """Whether the values of a trait identify a person, so that only their hashes are kept.

    Examples
    --------
    >>> [is_identifying(name) for name in ("email", "billing.phone", "last_ip", "membership")]
    [True, True, True, False]
    """
    return name in IDENTIFYING or name.endswith(CONTACTS)


def trait_digest(pid: Pid, name: str, value: str) -> str | None:
    """Keyed hash that stands for a value that identifies a person; None if nothing is left of it.

    All is compared in lower case and Unicode's NFKC, without outer space; a phone number by its
    digits (E.164 where it begins with ``+`` or ``00``).

    Parameters
    ----------
    pid
        As of `TraitReader`.
    name
        In the form that `trait_name` gives.

    Examples
    --------
    >>> from profiler.privacy.pseudonym import Pseudonymiser
    >>> pid = Pseudonymiser(b"k" * 32).pid
    >>> trait_digest(pid, "email", "Ann@X.org ") == trait_digest(pid, "email", "ann@x.org")
    True
    >>> trait_digest(pid, "phone", "+49 (0)30 12-34") == trait_digest(pid, "phone", "0049301234")
    True
    >>> trait_digest(pid, "email", "a@x.org") == trait_digest(pid, "work_email", "a@x.org")
    False
    """
    text = normal(value).lower()
    text = _phone(text) if name.endswith(PHONES) else text
    return pid(f"trait:{name}", text) if text else None


def _phone(text: str) -> str:
    # A trunk zero in brackets is for those who dial within the country.
    digits = "".join(c for c in text.replace("(0)", "") if c in "0123456789")
    if text.startswith("+"):
        return f"+{digits}" if digits else ""
    return f"+{digits[2:]}" if digits.startswith("00") else digits


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    # 34.0 and 34 are the same number to readers of JSON.
    if abs(value) <= INTEGER_MAX and value == int(value):
        return str(int(value))
    return msgspec.json.encode(float(value)).decode()


_WORD_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD: Final = re.compile(r"[^\w.]+|_{2,}")
_EMAIL: Final = re.compile(r"[^\s@]@[^\s@]+\.[^\s@]")
