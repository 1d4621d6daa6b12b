"""Columns that do not fit go on below, each under its heading."""

import pytest
from rich.cells import cell_len

from minigpt.render.screen import Screen
from minigpt.render.table import Column, blocks

ROWS = [("one", 0), ("two", 1)]  # the name, and the number of its text


def column(heading: str, cells: int, texts: list[str]) -> Column[tuple[str, int]]:
    return Column(heading, cells, lambda row: texts[row[1]])


def lines(columns: list[Column[tuple[str, int]]], width: int) -> list[str]:
    first = Column[tuple[str, int]]("row", 6, lambda row: row[0])
    return [str(line) for line in blocks(first, columns, ROWS, Screen(width))]


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
