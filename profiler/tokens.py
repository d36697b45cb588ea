"""Tokens and what they stand for: hashes, directions, names.

A token (an item, a category, a brand, a word) is known by a 64-bit hash. Its direction in the
interest space is read off the bits of that hash, so that all workers agree without talking
(random projection with signs: Achlioptas 2003; random indexing: Sahlgren 2005).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from profiler.columns import Hashes

DIMENSIONS: Final = 32
WORDS_MAX: Final = 16
NAMED_KINDS: Final = ("category", "brand", "item")
"""Kinds whose readable names are kept: catalogue fields only, never words that a person typed."""

ContentKey = tuple[str | None, str | None, str | None, str | None]
"""Item, category, brand, and the text (title or query) of an event."""

_WORD: Final = re.compile(r"[^\W_]+")
_UNIT: Final = np.float32(1.0 / np.sqrt(DIMENSIONS))


def hash_text(text: str) -> int:
    """64-bit hash of a text, the same on every machine and in every version."""
    return xxhash.xxh3_64_intdigest(text.encode())


def normal(text: str) -> str:
    """Text as it is compared: Unicode NFKC, no white space but single spaces between words.

    Examples
    --------
    >>> normal(" Ｂlue\u00a0 lamp "), normal("ﬁ")
    ('Blue lamp', 'fi')
    """
    return " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).split())


def token_hash(kind: str, value: str) -> int:
    """Hash of a token; never 0, which means none.

    Examples
    --------
    >>> token_hash("item", "a") != token_hash("brand", "a") == token_hash("brand", "a ")
    True
    """
    return hash_text(f"{kind}\0{normal(value)}") or 1


def directions(hashes: Hashes) -> NDArray[np.float32]:
    """(T, 32) directions of T tokens.

    Examples
    --------
    >>> float(np.linalg.norm(directions(np.array([7], dtype=np.uint64))))
    1.0
    """
    low = (hashes & np.uint64(0xFFFFFFFF)).astype("<u4").view(np.uint8).reshape(-1, 4)
    bits = np.unpackbits(low, axis=1, bitorder="little")
    return np.where(bits == 1, _UNIT, -_UNIT).astype(np.float32)


def words(text: str) -> list[str]:
    """The first 16 words of a text, lower case.

    Examples
    --------
    >>> words("White METAL_lantern, 2x")
    ['white', 'metal', 'lantern', '2x']
    """
    return _WORD.findall(normal(text).lower())[:WORDS_MAX]


class Contents:
    """What events are about, each distinct content once: token hashes and direction, as columns.

    A bounded memo of pure functions. Index 0 is the empty content.

    Parameters
    ----------
    entries_max
        Size at which the memo starts afresh; 280 bytes each and the key.
    """

    def __init__(self, entries_max: int = 200_000) -> None:
        self.entries_max = entries_max
        self.new_names: dict[str, dict[int, str]] = {kind: {} for kind in NAMED_KINDS}
        self._start()

    def take_new_names(self) -> dict[str, dict[int, str]]:
        """Names by kind and hash of the tokens first met since the last call."""
        taken = {kind: names for kind, names in self.new_names.items() if names}
        if taken:
            self.new_names = {kind: {} for kind in NAMED_KINDS}
        return taken

    def forget(self) -> None:
        """Start afresh, so that all names are new again; indices given before end here."""
        self._start()

    def make_room(self, n: int) -> None:
        """Start afresh if n more contents might be too many; indices given before end here."""
        if len(self._index) + n > self.entries_max and len(self._index) > 1:
            self._start()

    def indices(self, keys: list[ContentKey]) -> NDArray[np.intp]:
        """(N,) index of each content in `hashes` and `directions` as they are after this call."""
        index = self._index
        found = [index.get(key, -1) for key in keys]
        if -1 in found:
            self._add(list(dict.fromkeys(k for k, i in zip(keys, found, strict=True) if i < 0)))
            found = [index[key] for key in keys]
        return np.array(found, dtype=np.intp)

    def _start(self) -> None:
        self._index: dict[ContentKey, int] = {(None, None, None, None): 0}
        self._tokens: dict[str, dict[str | None, int]] = {kind: {None: 0} for kind in _KINDS}
        self.hashes = np.zeros((1_024, 3), dtype=np.uint64)
        self.directions = np.zeros((1_024, DIMENSIONS))

    def _add(self, keys: list[ContentKey]) -> None:
        first = len(self._index)
        end = first + len(keys)
        if end > len(self.hashes):
            more = max(end, 2 * len(self.hashes)) - len(self.hashes)
            self.hashes = np.pad(self.hashes, ((0, more), (0, 0)))
            self.directions = np.pad(self.directions, ((0, more), (0, 0)))
        self._index.update(zip(keys, range(first, end), strict=True))
        items, categories, brands, texts = zip(*keys, strict=True)
        hashes = np.zeros((len(keys), len(_KINDS)), dtype=np.uint64)
        for k, (kind, values) in enumerate(zip(_KINDS, (items, categories, brands), strict=True)):
            hashes[:, k] = self._token_hashes(kind, values)
        self.hashes[first:end] = hashes
        self.directions[first:end] = _sum_of_directions(hashes) + _mean_of_words(texts)

    def _token_hashes(self, kind: str, values: tuple[str | None, ...]) -> list[int]:
        known, names = self._tokens[kind], self.new_names[kind]
        for value in dict.fromkeys(values):
            if value is not None and value not in known:
                token = known[value] = token_hash(kind, value)
                names[token] = normal(value)
        return [known[value] for value in values]


_KINDS: Final = ("item", "category", "brand")


def _sum_of_directions(hashes: Hashes) -> NDArray[np.float64]:
    """(K, 32) sums of the directions of each content's tokens; hash 0 adds nothing."""
    each = directions(hashes.ravel()).reshape(*hashes.shape, DIMENSIONS)
    each[hashes == 0] = 0.0
    return np.asarray(each.sum(axis=1, dtype=np.float64))


def _mean_of_words(texts: tuple[str | None, ...]) -> NDArray[np.float64]:
    """(K, 32) mean directions of the words of each text; they share one unit of weight."""
    mean = np.zeros((len(texts), DIMENSIONS))
    for k, text in enumerate(texts):
        found = [token_hash("word", word) for word in words(text)] if text else []
        if found:
            mean[k] = directions(np.array(found, dtype=np.uint64)).mean(axis=0, dtype=np.float64)
    return mean
