"""HTML as lines of text that keep their numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mull.tools.documents.markup import lines_of_html

PAGE = """<!doctype html>
<html><head><title>The
page</title>
<style>p { color: red }
</style><script>if (a < b) { "<p>no</p>" }</script></head>
<body>
<h1 class="a > b">Head</h1>
<p>One &amp; <b>t</b>wo
three</p><!-- not
this --><p>four</p>
<table><tr><td>five</td><td>six</td></tr></table>
7 < 8 and 9 > 8
</body></html>
"""


def test_text_keeps_the_numbers_of_its_lines() -> None:
    assert [(line, text) for line, text in lines_of_html(PAGE) if text] == [
        (2, "The"),
        (3, "page"),
        (7, "Head"),
        (8, "One & two"),
        (9, "three"),
        (10, "four"),
        (11, "five"),
        (11, "six"),
        (12, "7 < 8 and 9 > 8"),
    ]


def test_paragraphs_in_one_line_are_kept_apart() -> None:
    assert list(lines_of_html("<p>a</p><p>b</p>")) == [
        (1, ""),
        (1, "a"),
        (1, ""),
        (1, ""),
        (1, "b"),
        (1, ""),
    ]


def test_a_script_without_content_hides_nothing() -> None:
    assert list(lines_of_html('<script src="x"/>seen')) == [(1, "seen")]


@given(st.text(st.sampled_from(list("<>/!-=\"'& \n#x9;apscript")), max_size=300))
def test_any_input_gives_lines_in_order(source: str) -> None:
    numbers = [line for line, _ in lines_of_html(source)]
    assert numbers == sorted(numbers)
    assert all(1 <= number <= source.count("\n") + 1 for number in numbers)


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a",
        "<!--",
        "<a b='",
        "<script>",
        "</",
        "<p",
        "&",
        "&#" + "9" * 50,
        "<a =",
        "<a  = ",
        "<?",
    ],
)
def test_a_megabyte_of_broken_markup_takes_no_longer_than_it_is_long(piece: str) -> None:
    # Were it quadratic, the test would end by its time limit.
    list(lines_of_html(piece * (1_000_000 // len(piece))))


def test_a_number_of_thousands_of_digits_is_no_character() -> None:
    assert list(lines_of_html(f"a &#{'9' * 10_000}; b")) == [(1, "a \ufffd b")]
