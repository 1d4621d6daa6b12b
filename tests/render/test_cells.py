"""Scripts with marks: what a label shows as itself, and that columns and cuts go by the cells of a terminal.

The cells are those of tmux 3.3a and of the package wcwidth 0.9.4: a mark that rich counts as none, because it stands
on a letter (Mn), takes none there either; one that stands beside its letter (Mc), such as the vowel in कि, takes one.
"""

from unicodedata import category

import pytest
from rich.text import Text

from minigpt.render.cells import cell_len, clusters, end_of, resized, wrapped
from minigpt.render.style import Screen, fit, fit_end, quoted, token_label, visible
from minigpt.render.table import Table, token_column
from minigpt.render.text_page import text_section
from minigpt.sampling.records import BareToken, StepRecord
from minigpt.text.records import Token

WORDS = {  # and the cells of each
    "किताब": 5,
    "में": 1,
    "হাতি": 4,
    "தமிழ்": 4,
    "ภาษาไทย": 7,
    "น้ำ": 2,
    "กำลัง": 4,
    "שָׁלוֹם": 4,
    "cafe\u0301": 4,
    "الْحَمْدُ": 5,
    "\u1112\u1161\u11ab\u1100\u1173\u11af": 4,
    "한글": 4,
    "速い": 4,
}


def token(text: str) -> Token:
    return Token(id=0, text=text, bytes=text.encode().hex())


@pytest.mark.parametrize("word", WORDS)
def test_a_mark_on_a_letter_of_its_token_is_shown_as_it_is(word: str) -> None:
    assert token_label(token(f" {word}")) == f"␣{word}"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("ि", "<U+093F>"),
        ("ित", "<U+093F>त"),
        (" ा", "␣<U+093E>"),
        ("\nे", "⏎<U+0947>"),
        ("ंा", "<U+0902><U+093E>"),
        ("\u0301e\u0301", "<U+0301>e\u0301"),
        ("\u05b8\u05c1", "<U+05B8><U+05C1>"),
        ("\u064e", "<U+064E>"),
        ("ั", "<U+0E31>"),
        ("ำ", "ำ"),  # takes a cell of its own, and is a letter by its category
        ("\u1161\u11ab", "<U+1161><U+11AB>"),  # vowel and consonant of a syllable that begins in another token
        ("a\u1161", "a<U+1161>"),
        ("\x00\u0301", "<NUL><U+0301>"),
    ],
)
def test_a_mark_that_leads_a_token_has_a_name(text: str, label: str) -> None:
    assert token_label(token(text)) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("می\u200cخواهم", "می<U+200C>خواهم"),
        ("क्\u200dष", "क्<U+200D>ष"),
        ("র\u200d্য", "র<U+200D><U+09CD>য"),  # the mark's letter is not beside it
        ("👩\u200d👧", "👩<U+200D>👧"),
        ("❤\ufe0f", "❤<U+FE0F>"),
        ("1\ufe0f\u20e3", "1<U+FE0F><U+20E3>"),
        ("葛\U000e0100", "葛<U+E0100>"),
        ("a\u034f\u0301", "a<U+034F><U+0301>"),
        ("ᠠ\u180b", "ᠠ<U+180B>"),
        ("a\u3164\u115f\uffa0\u2800", "a<U+3164><U+115F><U+FFA0><U+2800>"),
    ],
)
def test_what_has_no_shape_of_its_own_has_a_name_wherever_it_stands(text: str, label: str) -> None:
    assert token_label(token(text)) == label


@pytest.mark.parametrize(("word", "cells"), WORDS.items())
def test_cells(word: str, cells: int) -> None:
    assert cell_len(word) == cells


@pytest.mark.parametrize("width", [30, 40, 80])
def test_columns_are_aligned(width: int) -> None:
    screen = Screen(width)
    table = Table([token_column(screen, least=8, most=12)], screen, [token(word) for word in WORDS])
    for word in WORDS:
        line = table.note(token(word), "|").plain
        assert cell_len(line[:-1]) == table.cells + 2


@pytest.mark.parametrize("word", WORDS)
def test_a_cut_divides_no_letter_from_its_marks(word: str) -> None:
    text = word * 5
    whole = list(clusters(text))
    assert "".join(whole) == text
    assert not any(category(part[0]) in ("Mn", "Mc", "Me") for part in whole)
    for width in range(1, cell_len(text) + 3):
        assert cell_len(resized(text, width)) == cell_len(fit(text, width)) == cell_len(fit_end(text, width)) == width
        assert text.startswith(resized(text, width).rstrip())
        kept = end_of(text, width)
        assert text.endswith(kept)
        assert cell_len(kept) <= width
        assert visible(kept) == kept, "its first character is no mark"
        assert cell_len(quoted(text, width + 2)) <= width + 2
        assert "U+" not in quoted(text, width + 2)


@pytest.mark.parametrize("word", WORDS)
def test_wrapped_lines_keep_to_the_width(word: str) -> None:
    text = Text(" ".join([word] * 30))
    for width in (9, 20, 79):
        lines = wrapped(text, width)
        assert " ".join(line.plain.strip() for line in lines) == text.plain
        assert all(cell_len(line.plain) <= width for line in lines)


@pytest.mark.parametrize("text", [" किताब", "ित", "می\u200cخواهم"])
def test_a_page_has_the_same_labels(text: str) -> None:
    bare = BareToken(id=7, text=text, bytes=text.encode().hex())
    first = StepRecord(
        sample=0, position=0, token=bare, candidates=(), other=None, entropy_bits=None, surprisal_bits=None, stages=()
    )
    data = text_section("A text", [first]).data
    assert data["tokens"][0][:2] == [7, token_label(token(text))]
