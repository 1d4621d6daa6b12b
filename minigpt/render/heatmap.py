"""A table of numbers as a picture: in a terminal two rows of coloured pixels a line, and the section of a page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.html import Section
from minigpt.render.style import UNICODE, Screen, quantity, signed_sparkline

_AXIS = 6  # cells for the number of a row, and a gap
_LABELLED = 4  # lines from one numbered row to the next
_SHOWN = 0.98  # of the numbers, at least, lie within the limits of the colours
ROOM_ON_PAGE = (192, 192)  # rows and columns at most: 4 pictures are then 700 kB
# Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind people too.
_MINUS, _NOTHING, _PLUS = (213, 94, 0), (238, 238, 238), (0, 114, 178)
_SHADES = 24  # on either side


@dataclass(frozen=True, kw_only=True)
class HeatPicture:
    """A table of `height` x `width` numbers, reduced: each of `values` stands for `every_row` rows, as their mean.

    Of the columns either the mean of `every_column` stands for all of them, or one is shown and the others left out.
    """

    title: str
    row: str  # what a row is, such as position
    column: str
    height: int
    width: int
    values: tuple[tuple[float, ...], ...]
    every_row: int
    every_column: int
    means: bool  # of columns
    limit: float  # the number that has the strongest colour

    @property
    def end(self) -> str:
        """The limit as it is shown."""
        return f"{self.limit:.3g}"

    def remarks(self) -> Iterator[str]:
        """How it was reduced, and what lies beyond its limit."""
        if self.every_row > 1:
            yield f"a row is the mean of {quantity(self.every_row, self.row)}"
        if self.every_column > 1 and self.means:
            yield f"a column is the mean of {quantity(self.every_column, self.column)}"
        elif self.every_column > 1:
            yield f"one in {self.every_column} {self.column}s is shown"
        if any(abs(x) > self.limit for numbers in self.values for x in numbers):
            yield f"a few numbers lie beyond -{self.end} and +{self.end}"


class Reduction:
    """Reduces a table to at most `most` rows and columns as its rows arrive, so that they need not be held in memory.

    Neighbouring rows must be similar; with `means`, neighbouring columns too. None counts as 0.
    """

    def __init__(self, height: int, width: int, most: tuple[int, int], *, means: bool) -> None:
        self.height, self.width, self.means = height, width, means
        self.every_row, self.every_column = (-(-size // room) for size, room in zip((height, width), most, strict=True))
        self._sums: list[list[float]] = []
        self._rows = 0

    def add(self, row: Sequence[float | None]) -> None:
        """Add the next row."""
        every = self.every_column
        if self.means and every > 1:
            numbers = [number or 0.0 for number in row]
            parts = (numbers[start : start + every] for start in range(0, len(numbers), every))
            kept = [sum(part) / len(part) for part in parts]
        else:
            kept = [number or 0.0 for number in row[::every]]
        if self._rows % self.every_row == 0:
            self._sums.append(kept)
        else:
            self._sums[-1] = [one + other for one, other in zip(self._sums[-1], kept, strict=True)]
        self._rows += 1

    def picture(self, title: str, row: str, column: str, limit: float | None = None) -> HeatPicture:
        """The picture; its `limit` is by default one within which nearly all numbers lie."""
        last = self.height - self.every_row * (len(self._sums) - 1)
        counts = [self.every_row] * (len(self._sums) - 1) + [last]
        values = tuple(tuple(x / count for x in sums) for sums, count in zip(self._sums, counts, strict=True))
        sizes = sorted(abs(x) for numbers in values for x in numbers)
        return HeatPicture(
            title=title,
            row=row,
            column=column,
            height=self.height,
            width=self.width,
            values=values,
            every_row=self.every_row,
            every_column=self.every_column,
            means=self.means,
            limit=sizes[math.ceil(_SHOWN * len(sizes)) - 1] if limit is None else limit,
        )


def room_for(cells: int, screen: Screen) -> tuple[int, int]:
    """The most rows and columns of a picture that is `cells` wide and about half as many lines high."""
    columns = max(1, cells - _AXIS)
    return (columns if screen.coloured else max(1, columns // 2)), columns


def heat_lines(picture: HeatPicture, cells: int, screen: Screen) -> Iterator[Text]:
    """The picture with its title and axes, in lines of at most `cells`.

    Where there are no colours, a number is a bar's height, and each row has a line.
    """
    title = f"{picture.title}: {picture.row} by {picture.column}"
    yield Text(f" {title}" if cell_len(title) < cells else f" {picture.title}", "bold")
    step = 2 if screen.coloured and screen.symbols is UNICODE else 1
    for line, start in enumerate(range(0, len(picture.values), step)):
        number = f"{start * picture.every_row:,}" if line % _LABELLED == 0 else ""
        drawn = Text(f"{number:>{_AXIS - 1}} ", "dim")
        if screen.coloured:
            yield drawn.append_text(_pixels(picture.values[start : start + step], picture.limit))
        else:
            yield drawn.append_text(_bars(picture.values[start], picture.limit, screen))
    last, room = f"{(len(picture.values[0]) - 1) * picture.every_column:,}", len(picture.values[0]) - 1
    yield Text(" " * _AXIS + "0" + (last.rjust(room) if len(last) < room or len(last) == room == 1 else ""), "dim")


def _pixels(rows: Sequence[Sequence[float]], limit: float) -> Text:
    """One line: the upper halves of its cells are one row, and the lower ones the next, if there is one."""
    line = Text()
    for pair in zip_longest(*rows):
        upper, *lower = (heat_colour(value, limit) for value in pair)
        line.append("▀" if lower else " ", f"not dim {upper} on {lower[0]}" if lower else f"not dim on {upper}")
    return line


def _bars(row: Sequence[float], limit: float, screen: Screen) -> Text:
    line = Text()
    for value in row:
        sign = signed_sparkline([max(-limit, min(limit, value))], limit, screen.symbols)
        line.append(sign, "not dim cyan" if value > 0 else "not dim magenta")
    return line


def heat_colour(value: float, limit: float) -> str:
    """The colour of a number from -limit to limit."""
    share = round(max(-1.0, min(1.0, value / limit)) * _SHADES) / _SHADES if limit else 0.0
    end = _PLUS if share > 0 else _MINUS
    red, green, blue = (round(x + (y - x) * abs(share)) for x, y in zip(_NOTHING, end, strict=True))
    return f"rgb({red},{green},{blue})"


def heat_legend(pictures: Sequence[HeatPicture], screen: Screen) -> Text:
    """What the colours of each picture, or its heights, stand for; and how the pictures were reduced."""
    low, middle, high = ("orange", "white", "blue")
    if not screen.coloured:
        low, middle, high = (signed_sparkline([x], 1.0, screen.symbols) for x in (-1.0, 0.0, 1.0))
    scales = (f"{picture.title}: {low} -{picture.end}, {high} +{picture.end}" for picture in pictures)
    remarks = dict.fromkeys(remark for picture in pictures for remark in picture.remarks())
    return screen.caption(*scales, f"{middle} 0", *remarks)


def heat_section(title: str, pictures: Sequence[HeatPicture], caption: str) -> Section:
    """The section of a page. Numbers are in thousandths of the picture's limit."""
    data = {
        "caption": caption,
        "pictures": [
            {
                **{name: getattr(picture, name) for name in ("title", "row", "column", "height", "width", "limit")},
                "everyRow": picture.every_row,
                "everyColumn": picture.every_column,
                "end": picture.end,
                "remarks": " · ".join(picture.remarks()),
                "values": [[round(1000 * x / (picture.limit or 1)) for x in numbers] for numbers in picture.values],
            }
            for picture in pictures
        ],
    }
    return Section("heatmap", title, data, ("heatmap.js",))
