"""Fenced blocks, as models write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mull.graphs.verifiers.fences import blocks, defining_python, last_python, prose

TWO = "One:\n```python\ndef f(): return 1\n```\nUse:\n```py\nprint(f())\n```\nDone."


def test_the_last_python_block_is_the_last() -> None:
    assert last_python(TWO) == "print(f())"


def test_the_last_block_that_defines_something_comes_before_one_that_only_calls() -> None:
    assert defining_python(TWO) == "def f(): return 1"


def test_a_block_that_is_never_closed_goes_on_to_the_end() -> None:
    assert last_python("```python\nx = 1\nx") == "x = 1\nx"


def test_a_block_without_a_language_counts_where_none_is_named_python() -> None:
    assert last_python("```\nx = 1\n```") == "x = 1"
    assert last_python("```python\nx = 1\n```\n```\noutput\n```") == "x = 1"
    assert last_python("```sh\nls\n```") is None


def test_longer_fences_hold_shorter_ones() -> None:
    assert last_python("````python\ns = '''\n```\n'''\n````") == "s = '''\n```\n'''"


def test_prose_is_what_stands_outside() -> None:
    assert prose(TWO).split() == ["One:", "Use:", "Done."]


@given(st.text("`~py \n", max_size=200))
def test_any_text_is_split_into_prose_and_blocks(text: str) -> None:
    assert len(prose(text)) + sum(len(block.code) for block in blocks(text)) <= len(text)
