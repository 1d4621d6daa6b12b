"""What a view shows, from top to bottom: tables, each described once for a terminal and for a page, and text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.table import Column, Table, blocks

T = TypeVar("T")


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
