"""The tables that screens and pages are made of: columns that know which of them to drop first, and rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, Generic, TypeVar

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.style import Screen, Symbols, bar, fit, signed_sparkline, sparkline, token_label, two_sided_bar
from minigpt.text.records import Token

T = TypeVar("T")
Cell = str | Text

_SHORTEST = 5  # cells for the text of a column with a least width, however narrow the screen


@dataclass(frozen=True)
class Bar:
    """What a cell draws of a share: a bar from the left if it is between 0 and 1, or `from_middle` between -1 and 1."""

    share: float
    symbols: Symbols
    hollow: bool = False
    from_middle: bool = False

    def __call__(self, room: int) -> str:
        """The bar in `room` cells."""
        if self.from_middle:
            return two_sided_bar(self.share, (room - 1) // 2, self.symbols)
        return bar(self.share, room, self.symbols, hollow=self.hollow)


@dataclass(frozen=True)
class Course:
    """What a cell draws of several values: a small bar for each, as high as its part of `most`.

    If they are `signed`, between -`most` and `most`; otherwise between 0 and `most`. `names`: what each is, for a page.
    """

    values: Sequence[float]
    most: float
    symbols: Symbols
    names: Sequence[str]
    signed: bool = False
    room: int = 0  # for how many values there is room on a page, if for more

    def __call__(self, room: int) -> Cell:
        """A character for each of the values, signed ones in colour."""
        if not self.signed:
            return sparkline(self.values, self.symbols)
        drawn = Text()
        for value in self.values:
            drawn.append(signed_sparkline([value], self.most, self.symbols), "cyan" if value > 0 else "magenta")
        return drawn


@dataclass(frozen=True)
class Column(Generic[T]):
    """`heading` above the text of each row, in `cells`, which include a gap on the left.

    A text with several lines continues below.

    Without `cells`, it is as wide as its widest text, but at most `most` cells wide. On a narrow screen, columns with
    a number in `drop` are dropped, the lowest number first and equal ones together, until the rest fits. A column with
    a `least` width counts with that, and then gets as many cells as there is room for. Columns that `fill` share the
    room that is left; those for whose `cells` it does not suffice are dropped, and words before them get it.
    """

    heading: str
    cells: int
    text: Callable[[T], Cell | Callable[[int], Cell]]  # the text, or what makes it from the room, such as a Bar
    drop: int | None = None
    left: bool = False  # words start at the left and are truncated; numbers end at the right
    style: str | Callable[[T], str] = ""
    least: int | None = None
    most: int | None = None
    fills: bool = False
    gap: int = 2  # before words
    feet: Sequence[str] = ()  # the texts in rows below the table, such as that of all other tokens
    title: str = ""  # the heading in full, for a page

    @property
    def needed(self) -> int:
        """The cells that count when columns are dropped."""
        return 0 if self.fills else self.cells if self.least is None else self.least


def token_column(
    screen: Screen,
    heading: str = "token",
    *,
    most: int | None = None,
    least: int | None = None,
    gap: int = 2,
    style: str | Callable[[Any], str] = "",
) -> Column[Any]:
    """A column of rows that are tokens: their labels."""

    def label(token: Token) -> str:
        return token_label(token, screen.symbols)

    return Column(heading, 0, label, left=True, style=style, least=least, most=most, gap=gap)


def bar_column(
    screen: Screen,
    share: Callable[[T], float],
    heading: str = "",
    *,
    cells: int = 6,
    hollow: Callable[[T], bool] = lambda row: False,
    style: str | Callable[[T], str] = "cyan",
) -> Column[T]:
    """A column of bars, each of a share between 0 and 1, in the room that is left."""

    def drawn(row: T) -> Bar:
        return Bar(share(row), screen.symbols, hollow(row))

    return Column(heading, cells, drawn, left=True, style=style, fills=True)


class Table(Generic[T]):
    """Columns fitted to a screen, and the lines of a table with them."""

    def __init__(self, columns: Iterable[Column[T]], screen: Screen, rows: Sequence[T] = ()) -> None:
        kept, spare = _dropped([_sized(column, rows) for column in columns], screen.width)
        self.fits = spare >= 0
        self.columns = _filled(*_widened(kept, spare))
        self._symbols = screen.symbols
        self._ends = list(accumulate(column.cells for column in self.columns))
        self.cells = self._ends[-1]  # those of all columns

    def lines(self, rows: Iterable[T], style: Callable[[T], str] = lambda row: "") -> Iterator[Text]:
        """The heading, then a line for each row, as they arrive."""
        yield self.heading()
        for row in rows:
            yield self.line(row, style(row))

    def heading(self) -> Text:
        """The names, each over its column; one that is too long extends over empty cells, or is left out."""
        line = ""
        for i, (column, end) in enumerate(zip(self.columns, self._ends, strict=True)):
            if not column.left:
                gap = 0 if line.endswith(" ") else 1
                line += " " * max(end - cell_len(line + column.heading), gap) + column.heading
                continue
            longer = _padded(line, end - column.cells + column.gap) + column.heading
            room = end
            if i + 1 < len(self.columns) and not self.columns[i + 1].left:
                room = self._ends[i + 1] - cell_len(self.columns[i + 1].heading) - 1
            line = longer if cell_len(longer) <= room else line
        return Text(line.rstrip(), "bold")

    def line(self, row: T, style: str = "", count: int | None = None) -> Text:
        """The texts of one row, of all columns or the first `count`."""
        line, more = Text(style=style), Text()
        for column, end in zip(self.columns[:count], self._ends, strict=False):
            first, *others = self._texts(column, row)
            room = column.cells - column.gap
            line.pad_right(end - cell_len(line.plain) - (room if column.left else cell_len(first.plain)))
            line.append_text(first)
            for other in others:
                other.rstrip()
                more.append("\n" + " " * (end - room)).append_text(other)
        line.rstrip()
        return line.append_text(more)

    def _texts(self, column: Column[T], row: T) -> list[Text]:
        """The lines of one cell; words are as wide as there is room."""
        cell, room = column.text(row), column.cells - column.gap
        if callable(cell):
            cell = cell(room)
        if isinstance(cell, Text):
            return [cell]
        style = column.style(row) if callable(column.style) else column.style
        fitted = partial(fit, width=room, symbols=self._symbols) if column.left else str
        return [Text(fitted(line), style) for line in cell.split("\n")]

    def note(self, row: T, note: str) -> Text:
        """The first text of one row, and a note in place of the others."""
        line = self.line(row, count=1)
        gap = next((column.gap for column in self.columns[1:2] if column.left), 2)
        line.pad_right(self._ends[0] + gap - cell_len(line.plain))
        return line.append(note, "dim")

    def foot(self, number: int, *labels: str) -> Text:
        """The texts of each column's foot `number`, after the first label that fits before them, or the last."""
        first = next(i for i, column in enumerate(self.columns) if column.feet)
        room = self._ends[first] - cell_len(self.columns[first].feet[number]) - 2
        words = next(i for i, column in enumerate(self.columns) if column.left)
        indent = self._ends[words] - self.columns[words].cells + self.columns[words].gap
        label = next((label for label in labels if cell_len(label) <= room - indent), labels[-1])
        indent = indent if cell_len(label) <= room - indent else min(indent, 2)
        line = " " * indent + fit(label, room - indent, self._symbols)
        for column, end in zip(self.columns, self._ends, strict=True):
            if column.feet:
                line = _padded(line, end - cell_len(column.feet[number])) + column.feet[number]
        return Text(line.rstrip(), "dim")


def _padded(line: str, cells: int) -> str:
    return line + " " * (cells - cell_len(line))


def _sized(column: Column[T], rows: Sequence[T]) -> Column[T]:
    """The column, as wide as its texts if it has no width."""
    if column.cells:
        return column
    texts = [column.heading, *(text for text in map(column.text, rows) if isinstance(text, str))]
    cells = column.gap + max(map(cell_len, texts))
    return replace(column, cells=cells if column.most is None else min(cells, column.most))


def _dropped(columns: Sequence[Column[T]], room: int) -> tuple[list[Column[T]], int]:
    """The columns that remain, and the room that they leave; less than 0 if they still do not fit."""
    kept = list(columns)
    for turn in sorted({column.drop for column in columns if column.drop is not None}):
        if sum(column.needed for column in kept) > room:
            kept = [column for column in kept if column.drop != turn]
    return kept, room - sum(column.needed for column in kept)


def _widened(columns: Sequence[Column[T]], spare: int) -> tuple[list[Column[T]], int]:
    """The columns, those with a least width as wide as there is room, the last first; and the room that they leave."""
    wide = list(columns)
    for i, column in reversed(list(enumerate(columns))):
        if column.least is not None:
            cells = min(column.cells, max(column.needed + spare, column.gap + _SHORTEST))
            wide[i], spare = replace(column, cells=cells), spare + column.needed - cells
    return wide, spare


def _filled(columns: Sequence[Column[T]], spare: int) -> list[Column[T]]:
    """The columns, with those that fill as wide as there is room."""
    filled = list(columns)
    fills = [i for i, column in enumerate(columns) if column.fills]
    while fills and sum(columns[i].cells for i in fills) > spare:
        last = fills.pop()
        del filled[last]
        if not fills and filled[last - 1].left:
            filled[last - 1] = replace(filled[last - 1], cells=filled[last - 1].cells + max(0, spare))
    for number, i in enumerate(fills):
        cells = -(-spare // (len(fills) - number))
        filled[i], spare = replace(filled[i], cells=cells), spare - cells
    return filled


def blocks(columns: Sequence[Column[T]], rows: Sequence[T], screen: Screen) -> Iterator[Text]:
    """The first column and as many others as fit; then the first again with further ones, below an empty line.

    A column wider than the screen stands alone.
    """
    first, *columns = columns
    first = _sized(first, rows)
    while columns:
        ends = accumulate((column.cells for column in columns), initial=first.cells)
        count = max(1, sum(end <= screen.width for end in ends) - 1)
        yield from Table([first, *columns[:count]], screen, rows).lines(rows)
        columns = columns[count:]
        if columns:
            yield Text()


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[T]):
    """A table: `columns` and `rows`, fitted to a screen in a terminal, and whole on a page, under its `caption`.

    `note`: what stands in place of all but the first text of a row, or "". `below`: a column whose texts stand below
    each row, as far from the left as its gap. `feet`: for each row of the columns' feet its name, from which the
    longest that fits is chosen; one without a name is left out. `headed`: whether a terminal shows the headings.
    `repeats`: whether columns without room follow further down, after the first column again.
    """

    columns: Sequence[Column[T]]
    rows: Iterable[T]
    screen: Screen
    caption: str
    note: Callable[[T], str] = lambda row: ""
    below: Column[T] | None = None
    feet: Sequence[Sequence[str]] = ()
    headed: bool = True
    repeats: bool = False

    def lines(self) -> Iterator[Text]:
        """The lines of a terminal, as the rows arrive."""
        rows = self.rows if isinstance(self.rows, Sequence) else ()
        if self.repeats:
            yield from blocks(self.columns, rows, self.screen)
            return
        table = Table(self.columns, self.screen, rows)
        if self.headed:
            yield table.heading()
        below = None if self.below is None else Table([self.below], self.screen)
        if below and below.columns[0].heading:
            yield below.heading()
        for row in self.rows:
            yield table.note(row, note) if (note := self.note(row)) else table.line(row)
            if below and (line := below.line(row)).plain:
                yield line
        yield from (table.foot(number, *names) for number, names in enumerate(self.feet) if names)

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines()))


Part = Text | Listing[Any]


def lines(parts: Iterable[Part]) -> Iterator[Text]:
    """What a terminal shows, as it is computed."""
    for part in parts:
        if isinstance(part, Listing):
            yield from part.lines()
        else:
            yield part
