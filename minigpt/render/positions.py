"""The table of positions as a picture, beside the cosines of its rows and the sinusoidal table."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from minigpt.render.cells import beside
from minigpt.render.face import Face
from minigpt.render.heatmap import ROOM_ON_PAGE, HeatPicture, Reduction, heat_legend, heat_lines, heat_section, room_for
from minigpt.render.html import Section
from minigpt.render.screen import Screen
from minigpt.views import positions
from minigpt.views.view import Answer

_BESIDE = 70  # cells, for two pictures side by side
_KINDS = {
    "learned": "this model's are learned",
    "sinusoidal": "this model's are the sinusoidal ones, scaled",
    "none": "this model has none: the table is zero",
}


def position_pictures(answer: Answer, most: tuple[int, int]) -> list[HeatPicture]:
    """The table and its cosines, the sinusoidal table and its cosines, each of at most so many rows and columns."""
    records: Sequence[positions.PositionVector] = answer.records  # type: ignore[assignment]
    first = next(iter(records))
    height, width = len(first.cosines), len(first.vector)
    tables = [Reduction(height, width, most, means=False) for _ in range(2)]
    cosines = [Reduction(height, height, most, means=True) for _ in range(2)]
    for record in records:
        tables[0].add(record.vector)
        cosines[0].add(record.cosines)
        tables[1].add(record.sinusoidal)
        cosines[1].add(record.sinusoidal_cosines)
    own = "learned" if answer.facts.get("kind") == "learned" else "wpe"
    pictures = []
    for name, table, cosine, limit in zip((own, "sinusoidal"), tables, cosines, (None, 1.0), strict=True):
        pictures.append(table.picture(name, "position", "dimension", limit))
        pictures.append(cosine.picture(f"cosines, {name}", "position", "position", 1.0))
    return pictures


def position_view(answer: Answer, screen: Screen) -> Iterator[Text]:
    """The pictures, two side by side where there is room, and what their colours stand for."""
    together = screen.width >= _BESIDE
    cells = (screen.width - 2) // 2 if together else screen.width
    pictures = position_pictures(answer, room_for(cells, screen))
    for table, cosines in zip(pictures[::2], pictures[1::2], strict=True):
        left, right = (list(heat_lines(picture, cells, screen)) for picture in (table, cosines))
        yield from beside(left, right, cells + 2) if together else [*left, Text(), *right]
        yield Text()
    yield heat_legend(pictures, screen)
    yield screen.caption(*_remarks(answer), "--json has all numbers")


def _remarks(answer: Answer) -> Iterator[str]:
    yield "each row of wpe, the table of positions, is added to the vector of the token at that place"
    if kind := answer.facts.get("kind"):
        yield _KINDS[kind]
    yield "sinusoidal: the fixed table of Vaswani et al., 2017, as large, for comparison"


def _section(title: str, answer: Answer) -> Section:
    return heat_section(title, position_pictures(answer, ROOM_ON_PAGE), " · ".join(_remarks(answer)))


FACES = (Face(view=positions.VIEW, table=position_view, section=_section),)
