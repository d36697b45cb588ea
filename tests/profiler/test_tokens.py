"""Tokens: what people mean by one word is one token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler import reference_interest
from profiler.tokens import normal, token_hash, words


@given(text=st.text(max_size=30))
def test_a_text_is_normal_once_it_was_made_so(text: str) -> None:
    assert normal(normal(text)) == normal(text)


@given(text=st.text(max_size=30))
def test_the_reference_has_the_same_tokens(text: str) -> None:
    assert token_hash("item", text) == reference_interest.token_hash("item", text)


@given(text=st.text(max_size=30))
def test_the_reference_has_the_same_words(text: str) -> None:
    _, size = reference_interest.content_direction(None, None, None, text)

    assert size == bool(words(text))


@pytest.mark.parametrize(
    "written", ["Crème  brûlée", " Cre\u0300me bru\u0302le\u0301e\n", "Crème\u00a0brûlée"]
)
def test_however_it_is_written_it_is_one_brand(written: str) -> None:
    assert token_hash("brand", written) == token_hash("brand", "Crème brûlée")
