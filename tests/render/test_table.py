"""Columns that fit, at any width: which are dropped, which shrink, and which take the room that is left."""

import pytest
from rich.cells import cell_len

from minigpt.render.style import Screen
from minigpt.render.table import Column, Table, bar_column, blocks

ROWS = [("one", 0), ("two", 1)]  # the name, and the number of its text


def column(heading: str, cells: int, texts: list[str]) -> Column[tuple[str, int]]:
    return Column(heading, cells, lambda row: texts[row[1]])


def lines(columns: list[Column[tuple[str, int]]], width: int) -> list[str]:
    first = Column[tuple[str, int]]("row", 6, lambda row: row[0])
    return [str(line) for line in blocks([first, *columns], ROWS, Screen(width))]


def test_columns_stand_at_their_right_edge() -> None:
    columns = [column("a", 5, ["1", "22"]), column("狐", 6, ["狐狐", ""])]
    assert lines(columns, 80) == ["   row    a    狐", "   one    1  狐狐", "   two   22"]


def test_what_does_not_fit_goes_on_below() -> None:
    columns = [column(name, 7, [name * 2, name * 3]) for name in "abc"]
    assert lines(columns, 20) == [
        *("   row      a      b", "   one     aa     bb", "   two    aaa    bbb", ""),
        *("   row      c", "   one     cc", "   two    ccc"),
    ]


@pytest.mark.parametrize("width", [6, 7, 12])
def test_a_column_that_is_too_wide_stands_alone(width: int) -> None:
    found = lines([column("a", 9, ["1", "2"]), column("b", 9, ["3", "4"])], width)
    assert [cell_len(line) for line in found] == [15, 15, 15, 0, 15, 15, 15]


def test_no_columns_are_no_table() -> None:
    assert lines([], 80) == []


WORDS = ["a", "incomprehensible"]
NUMBERS = [Column[str]("length", 8, lambda word: str(len(word)), drop=2), Column("one", 5, lambda word: "1", drop=1)]


def table(columns: list[Column[str]], width: int) -> list[str]:
    return list(map(str, Table(columns, Screen(width), WORDS).lines(WORDS)))


def word(**more: int) -> Column[str]:
    return Column("word", 0, str, left=True, gap=1, **more)


def test_a_column_is_as_wide_as_its_texts_and_has_at_most_so_many_cells() -> None:
    assert table([word(), *NUMBERS], 80)[1:] == [
        " a" + "1".rjust(23) + "1".rjust(5),
        " incomprehensible" + "16".rjust(8) + "1".rjust(5),
    ]
    assert table([word(most=8), *NUMBERS], 80)[2] == " incomp…" + "16".rjust(8) + "1".rjust(5)


@pytest.mark.parametrize(
    ("width", "names", "cells"),
    [
        (80, ["word", "length", "one"], 17),
        (24, ["word", "length", "one"], 11),
        (22, ["word", "length"], 14),
        (16, ["word"], 16),
        (6, ["word"], 6),
    ],
)
def test_columns_are_dropped_in_order_before_words_have_less_than_they_need(
    width: int, names: list[str], cells: int
) -> None:
    fitted = Table([word(least=10), *NUMBERS], Screen(width), WORDS)
    assert [column.heading for column in fitted.columns] == names
    assert fitted.columns[0].cells == cells
    assert fitted.fits == (width >= 10)


def test_what_fills_takes_the_room_that_is_left_or_leaves_it_to_the_words_before() -> None:
    columns = [word(), bar_column(Screen(), lambda word: len(word) / 16), Column("n", 4, lambda word: str(len(word)))]
    assert table(columns, 27)[2] == " incomprehensible  ████  16"
    assert table(columns, 26)[2] == " incomprehensible" + "16".rjust(9)
    assert table(columns[:2] * 2, 60)[2].count("█") == 60 - 2 * 17 - 2 * 2


def test_a_heading_extends_over_empty_cells_or_is_left_out() -> None:
    columns = [word(), bar_column(Screen(), lambda word: 0.5, "half of it"), Column("n", 4, lambda word: "1")]
    assert table(columns, 30)[0] == " word" + "n".rjust(25)
    assert table(columns, 31)[0] == " word              half of it n"


def test_a_foot_has_the_first_label_that_fits() -> None:
    columns = [Column[str]("", 4, lambda word: ""), word(), Column("share", 9, lambda word: "", feet=("50.00 %",))]
    fitted = Table(columns, Screen(80), ["four"])
    assert str(fitted.foot(0, "other (1 token)", "other 1")) == "  other 1  50.00 %"
    assert str(Table(columns, Screen(80), WORDS).foot(0, "other (1 token)", "other 1")).startswith(
        "     other (1 token)"
    )
