"""Tables wider than the screen, broken into as many blocks as they need."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, fit, percent, sparkline, token_label
from minigpt.sampling.records import Candidate


@dataclass(frozen=True)
class Column:
    """A heading over right-aligned texts, one per row, in `cells` that include a gap."""

    heading: str
    cells: int
    texts: Sequence[str]


@dataclass(frozen=True)
class Row:
    """The name of a row, and whether it is highlighted."""

    name: str
    bold: bool = False


def blocks(head: str, first: int, rows: Sequence[Row], columns: Sequence[Column], screen: Screen) -> Iterator[Text]:
    """The rows' names in `first` cells, under `head`, and as many columns as fit; then the names again with further
    columns.

    A column wider than the screen stands alone.
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


def tracked_columns(rows: Sequence[Sequence[Candidate]], symbols: Symbols) -> list[Column]:
    """For each token its probability and rank, row by row."""
    ranks = [max(len(f"#{tokens[i].rank}") for tokens in rows) for i in range(len(rows[0]))]
    shares = [[f"{percent(c.raw_prob)} {f'#{c.rank}'.ljust(ranks[i])}" for i, c in enumerate(row)] for row in rows]
    cells = max(len(share) for row in shares for share in row) + 2
    columns = []
    for token, texts in zip(rows[0], zip(*shares, strict=True), strict=True):
        label = token_label(token, symbols)
        columns.append(Column(fit(label, min(cell_len(label), cells - 2), symbols), cells, texts))
    return columns


def tracked_lines(rows: Sequence[Sequence[Candidate]], screen: Screen) -> Iterator[Text]:
    """The course of each token, scaled to its own largest probability."""
    labels = [token_label(token, screen.symbols) for token in rows[0]]
    width = max(map(cell_len, labels))
    for i, label in enumerate(labels):
        shares = [row[i].raw_prob for row in rows]
        line = Text(f" {fit(label, min(width, screen.width // 4), screen.symbols)}  ")
        line.append(sparkline(shares, screen.symbols), "cyan")
        yield line.append(f"  largest {percent(max(shares))}", "dim")
