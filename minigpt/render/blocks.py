"""Rows of short texts in; a table out that goes on below where the screen ends, in as many blocks as it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen


@dataclass(frozen=True)
class Column:
    """A heading over texts, one for each row, all at the right edge of `cells`, which include a gap."""

    heading: str
    cells: int
    texts: Sequence[str]


@dataclass(frozen=True)
class Row:
    """The name of a row, and whether it stands out."""

    name: str
    bold: bool = False


def blocks(head: str, first: int, rows: Sequence[Row], columns: Sequence[Column], screen: Screen) -> Iterator[Text]:
    """The rows' names in `first` cells, under `head`, and as many columns as fit; then the names again, and the others.

    A column that is wider than the screen stands alone.
    """
    while columns:
        count = _fitting(columns, screen.width - first)
        part, columns = columns[:count], columns[count:]
        yield Text(head.rjust(first) + "".join(_right(column.heading, column.cells) for column in part), "bold")
        for i, row in enumerate(rows):
            line = Text(row.name.rjust(first), "bold" if row.bold else "")
            line.append("".join(_right(column.texts[i], column.cells) for column in part))
            line.rstrip()
            yield line
        if columns:
            yield Text()


def _fitting(columns: Sequence[Column], room: int) -> int:
    count, used = 0, 0
    for column in columns:
        used += column.cells
        if used > room and count:
            break
        count += 1
    return count


def _right(text: str, cells: int) -> str:
    return " " * (cells - cell_len(text)) + text
