"""A text that must not reach a log, a page or a message by accident."""

from __future__ import annotations


class Secret:
    """A text that is never shown: its `repr` and `str` are ``***``.

    Examples
    --------
    >>> secret = Secret("correct horse")
    >>> secret, secret.reveal()
    (***, 'correct horse')
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text itself, to the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
