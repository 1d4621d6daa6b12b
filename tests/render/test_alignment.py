"""The grid of a source and a target: whole words at any width, with hostile tokens, and the section of a page."""

import csv
import io
from collections.abc import Callable

import pytest
from rich.cells import cell_len

from minigpt.render.attention import alignment_section, alignment_table, over_words
from minigpt.render.html import page
from minigpt.render.machine import GRID_COLUMNS, write_alignment
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.text.records import Token
from minigpt.views.alignment import AlignmentGrid

Golden = Callable[[str, str], None]
END = Token(id=0, text="<|endoftext|>", bytes=b"<|endoftext|>".hex())


def named(i: int, text: str | None) -> Token:
    return Token(id=i, text=text, bytes="e2" if text is None else text.encode().hex())


def tokens(*texts: str | None) -> tuple[Token, ...]:
    return (*(named(i, text) for i, text in enumerate(texts, 1)), END)


EXAMPLE = AlignmentGrid(
    layer=2, head=None, source=tokens("the", " European", " Econ", "omic", " Area"),
    target=tokens("la", " zone", " éco", "nomique", " européenne"),
    weights=(
        (0.5, 0.125, 0.0, 0.125, 0.25, 0.0), (0.0, 0.0, 0.0, 0.0, 0.875, 0.125), (0.0, 0.125, 0.5, 0.25, 0.0, 0.125),
        (0.0, 0.375, 0.125, 0.375, 0.0, 0.125), (0.0, 0.75, 0.125, 0.0, 0.0, 0.125), (0.0, 0.25, 0.0, 0.0, 0.0, 0.75),
    ),
    source_words=(1, 1, 2, 1, 1), target_words=(1, 1, 2, 1, 1), alignment_error_rate=0.0,
)  # fmt: skip


def large(count: int) -> AlignmentGrid:
    """Every token attends to all alike."""
    texts = ["The", " cat", "\x1b[31m", None, " incomprehensibilities", "[/INST]", "速い", "e\u0301", "a" * 300]
    source = tokens(*(texts[i % len(texts)] for i in range(count)))
    ones = (1,) * (count + 1)
    rows = ((1 / (count + 1),) * (count + 1),) * (count + 1)
    return AlignmentGrid(
        layer=1, head=2, source=source, target=source, weights=rows, source_words=ones, target_words=ones,
        alignment_error_rate=None,
    )  # fmt: skip


def shown(grid: AlignmentGrid, screen: Screen, *, sharpest: bool = False) -> list[str]:
    return "\n".join(map(str, alignment_table(grid, screen, sharpest=sharpest))).split("\n")


def test_weights_of_words_are_sums_over_the_source_and_means_over_the_target() -> None:
    words = over_words(EXAMPLE)
    assert words.source == ["the", "European", "Economic", "Area", "<end>"]
    assert words.target == ["la", "zone", "économique", "européenne", "<end>"]
    assert words.weights == [
        [0.5, 0.125, 0.125, 0.25, 0.0],
        [0.0, 0.0, 0.0, 0.875, 0.125],
        [0.0, 0.25, 0.625, 0.0, 0.125],
        [0.0, 0.75, 0.125, 0.0, 0.125],
        [0.0, 0.25, 0.0, 0.0, 0.75],
    ]


@pytest.mark.parametrize("width", [40, 80])
def test_golden_alignment(width: int, golden: Golden) -> None:
    tables = [shown(EXAMPLE, Screen(width), sharpest=True), shown(large(12), Screen(width))]
    golden(f"alignment_{width}", "\n\n".join("\n".join(table) for table in tables))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", range(40, 101, 3))
def test_no_line_is_too_wide_nor_steers_the_terminal(width: int, symbols: Symbols) -> None:
    for grid in (EXAMPLE, large(6), large(50)):
        lines = shown(grid, Screen(width, symbols))
        assert max(map(cell_len, lines)) <= width
        assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_every_weight_has_a_place(width: int) -> None:
    lines = shown(large(50), Screen(width))
    assert sum(line.split().count("2") for line in lines if line.startswith(" <end>")) == 51
    assert shown(EXAMPLE, Screen(width))[2].split() == ["zone", "·", "·", "·", "88", "12"]


def test_csv_has_a_row_for_each_pair_of_tokens() -> None:
    file = io.StringIO()
    write_alignment(EXAMPLE, file)
    header, *rows = csv.reader(io.StringIO(file.getvalue()))
    assert header == list(GRID_COLUMNS[:-1])
    assert len(rows) == 36
    assert rows[10] == ["2", "", "1", "2", " zone", named(2, " zone").bytes, "4", "5", " Area", "2041726561", "0.875"]


def test_the_section_of_a_page_is_over_words_in_thousandths() -> None:
    section = alignment_section("Alignment", [EXAMPLE], (2, None))
    assert section.data["tokens"] == ["la", "zone", "économique", "européenne", "<end>"]
    assert section.data["looked"] == ["the", "European", "Economic", "Area", "<end>"]
    (grid,) = section.data["grids"]
    assert grid["weights"][2] == [0, 250, 625, 0, 125]
    assert (grid["layer"], grid["head"], grid["note"]) == (2, None, "alignment error rate 0.0 %")
    assert section.data["chosen"] == (2, None)
    assert 'data-view="alignment"' in page("A page", [section])
