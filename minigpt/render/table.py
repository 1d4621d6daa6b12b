"""Table columns that know which of them to drop first when the screen is narrow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len

T = TypeVar("T")


@dataclass(frozen=True)
class Column(Generic[T]):
    """`name` above the text of each row, in `cells`, which include the gap on the left.

    Columns with a number in `drop` can be dropped: the lowest number first, equal ones together.
    """

    name: str
    cells: int
    text: Callable[[T], str]
    drop: int | None = None
    left: bool = False  # words start at the left; numbers end at the right


def width_of(columns: Sequence[Column[T]]) -> int:
    """The total number of cells."""
    return sum(column.cells for column in columns)


def fitting(columns: Sequence[Column[T]], room: int) -> list[Column[T]]:
    """The columns that remain when those that do not fit into `room` cells are dropped."""
    kept = list(columns)
    for turn in sorted({column.drop for column in columns if column.drop is not None}):
        if width_of(kept) > room:
            kept = [column for column in kept if column.drop != turn]
    return kept


def headings(columns: Sequence[Column[T]]) -> str:
    """The names, each over its column."""
    return "".join(_aligned(column.name, column) for column in columns)


def texts(columns: Sequence[Column[T]], row: T) -> str:
    """The text of each column in one row."""
    return "".join(_aligned(column.text(row), column) for column in columns)


def _aligned(text: str, column: Column[T]) -> str:
    space = " " * (column.cells - cell_len(text))
    return f"  {text}{space[2:]}" if column.left else space + text
