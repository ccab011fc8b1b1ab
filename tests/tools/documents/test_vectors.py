"""Vectors as they are read, bounded and stored: the pure parts."""

import contextlib
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.models.embeddings import embedded, most_tokens
from mull.tools.documents.vectors import pack


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_no_reply_breaks_the_reader(value: Any) -> None:
    for reply in (value, {"data": value}, {"data": [{"embedding": value}]}):
        with contextlib.suppress(ValueError):
            assert embedded(reply, 1)


@pytest.mark.parametrize("text", ["ﷺ" * 50, "각" * 50, "ǖ" * 50, "plain", "a\u0301\u0323" * 90])
def test_the_bound_covers_what_normalising_makes_of_a_text(text: str) -> None:
    assert most_tokens(text) >= len(text.encode())
    assert most_tokens(text) >= len(unicodedata.normalize("NFKC", text).encode())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_vector_is_packed_to_unit_length(vector: list[float]) -> None:
    length = float(np.linalg.norm(np.frombuffer(pack(vector), np.float32)))
    assert length == pytest.approx(1, abs=1e-3) or not any(vector)
