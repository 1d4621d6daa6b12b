"""Columns that do not fit go on below, each under its heading."""

import pytest
from rich.cells import cell_len

from minigpt.render.blocks import Column, Row, blocks
from minigpt.render.screen import Screen

ROWS = [Row("one"), Row("two", bold=True)]


def lines(columns: list[Column], width: int) -> list[str]:
    return [str(line) for line in blocks("row", 6, ROWS, columns, Screen(width))]


def test_columns_stand_at_their_right_edge() -> None:
    columns = [Column("a", 5, ["1", "22"]), Column("狐", 6, ["狐狐", ""])]
    assert lines(columns, 80) == ["   row    a    狐", "   one    1  狐狐", "   two   22"]


def test_what_does_not_fit_goes_on_below() -> None:
    columns = [Column(name, 7, [name * 2, name * 3]) for name in "abc"]
    assert lines(columns, 20) == [
        *("   row      a      b", "   one     aa     bb", "   two    aaa    bbb", ""),
        *("   row      c", "   one     cc", "   two    ccc"),
    ]


@pytest.mark.parametrize("width", [6, 7, 12])
def test_a_column_that_is_too_wide_stands_alone(width: int) -> None:
    found = lines([Column("a", 9, ["1", "2"]), Column("b", 9, ["3", "4"])], width)
    assert [cell_len(line) for line in found] == [15, 15, 15, 0, 15, 15, 15]


def test_no_columns_are_no_table() -> None:
    assert lines([], 80) == []
