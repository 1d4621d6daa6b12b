"""Vectors of tokens, with their neighbours and cosines, or as CSV; the table of positions, as a picture."""

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.text import Text

from minigpt.render.cells import beside, cell_len
from minigpt.render.face import Face
from minigpt.render.heatmap import ROOM_ON_PAGE, HeatPicture, Reduction, heat_legend, heat_lines, heat_section, room_for
from minigpt.render.style import Screen, fit, or_dash, quantity, signed_sparkline, token_label
from minigpt.render.table import Column, Course, Listing, Part, bar_column, token_column
from minigpt.views import embeddings
from minigpt.views.embeddings import Neighbour, PositionVector, TokenVector
from minigpt.views.view import Answer

_CHANNEL = 7  # cells for the number of the first channel of a line, and a gap
_COSINE = 9  # cells with a gap
_LONGEST_TOKEN = 24
_BESIDE = 70  # cells, for two pictures side by side
_KINDS = {
    "learned": "this model's are learned",
    "sinusoidal": "this model's are the sinusoidal ones, scaled",
    "none": "this model has none: the table is zero",
}


def embedding_view(vectors: Sequence[TokenVector], screen: Screen, *, tied: bool = True) -> Iterator[Part]:
    """For each token its vector as a row of bars and its nearest neighbours; for several, their cosines.

    `tied`: whether the output head is the same table.
    """
    for vector in vectors:
        yield from _picture(vector, screen)
        yield _neighbours(vector, screen)
        yield Text()
    if len(vectors) > 1:
        yield _cosines(vectors, screen)
        yield Text()
    yield screen.caption(
        "wte: the model reads a token as this vector, and a token's logit is the product of the same vector with the "
        "normalised stream (one table, tied)"
        if tied
        else "wte: the model reads a token as this vector; its logit is the product of another one with the normalised "
        "stream (two tables, untied)"
    )
    yield screen.caption("cosine: 1 is the same direction, 0 a right angle", "--json and --csv have all numbers")


def _picture(vector: TokenVector, screen: Screen) -> Iterator[Part]:
    symbols, numbers = screen.symbols, vector.vector
    most = max(map(abs, numbers))
    label = fit(token_label(vector, symbols), min(cell_len(token_label(vector, symbols)), screen.width - 12), symbols)
    yield Text(f" {label}  ", "bold").append(f"id {vector.id:,}", "not bold dim")
    each = max(16, (screen.width - _CHANNEL - 1) // 16 * 16)

    def drawn(start: int) -> Course:
        end = min(start + each, len(numbers))
        names = [f"{channel}: {numbers[channel]:+.4f}" for channel in range(start, end)]
        return Course(numbers[start:end], most, symbols, names, signed=True, room=min(each, len(numbers)))

    yield Listing(
        columns=[
            Column("channel", _CHANNEL - 2, lambda start: f"{start:,}", style="dim"),
            Column("numbers from this channel on", 2 + each, drawn, left=True),
        ],
        rows=range(0, len(numbers), each),
        screen=screen,
        caption=f"The vector of {token_label(vector, symbols)}",
        headed=False,
    )
    low, high = (signed_sparkline([number], 1.0, symbols) for number in (-1.0, 1.0))
    yield screen.caption(
        f"{quantity(len(numbers), 'number')}, {low} {0 - most:.3f} to {high} {most:+.3f}",
        f"norm {vector.norm:.3f}",
        f"mean {vector.mean:+.4f}",
    )


def _neighbours(vector: TokenVector, screen: Screen) -> Part:
    if not vector.neighbours:
        return screen.caption("no neighbours: the vector is zero" if not vector.norm else "no neighbours")
    ranks = {neighbour.id: rank for rank, neighbour in enumerate(vector.neighbours, 1)}
    most = 2 + min(_LONGEST_TOKEN, screen.width - 22)
    columns = [
        Column[Neighbour]("rank", 5, lambda neighbour: f"{ranks[neighbour.id]:,}"),
        token_column(screen, "nearest", most=most),
        bar_column(screen, lambda neighbour: neighbour.cosine),
        Column("cosine", _COSINE, lambda neighbour: f"{neighbour.cosine:+.4f}"),
    ]
    caption = f"The tokens whose vectors are most like that of {token_label(vector, screen.symbols)}"
    return Listing(columns=columns, rows=vector.neighbours, screen=screen, caption=caption)


def _cosines(vectors: Sequence[TokenVector], screen: Screen) -> Listing[TokenVector]:
    symbols = screen.symbols
    labels = [token_label(vector, symbols) for vector in vectors]
    most = 1 + screen.width // 4
    first = token_column(screen, "cosine", gap=1, most=most)

    def column(number: int) -> Column[TokenVector]:
        label = fit(labels[number], min(cell_len(labels[number]), _COSINE), symbols)
        cosine = "{:+.4f}".format
        return Column(label, _COSINE + 2, lambda vector: or_dash(vector.cosines[number], cosine), title=labels[number])

    columns = [first, *map(column, range(len(vectors)))]
    caption = "The cosine of each vector with each"
    return Listing(columns=columns, rows=vectors, screen=screen, caption=caption, repeats=True)


def write_vectors(vectors: Sequence[TokenVector], file: TextIO) -> None:
    """CSV: a column for each token, headed by its id and label, and a row for each channel."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["channel", *(f"#{vector.id} {token_label(vector)}" for vector in vectors)])
    channels = zip(*(vector.vector for vector in vectors), strict=True)
    writer.writerows([channel, *numbers] for channel, numbers in enumerate(channels))


def position_pictures(answer: Answer, most: tuple[int, int]) -> list[HeatPicture]:
    """The table and its cosines, the sinusoidal table and its cosines, each of at most so many rows and columns."""
    records: Sequence[PositionVector] = answer.records  # type: ignore[assignment]
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
    yield screen.caption(*_position_remarks(answer), "--json has all numbers")


def _position_remarks(answer: Answer) -> Iterator[str]:
    yield "each row of wpe, the table of positions, is added to the vector of the token at that place"
    if kind := answer.facts.get("kind"):
        yield _KINDS[kind]
    yield "sinusoidal: the fixed table of Vaswani et al., 2017, as large, for comparison"


FACES = (
    Face(
        view=embeddings.TOKENS,
        table=lambda answer, screen: embedding_view(tuple(answer.records), screen, tied=answer.facts.get("tied", True)),
        csv=lambda answer, file: write_vectors(tuple(answer.records), file),
    ),
    Face(
        view=embeddings.POSITIONS,
        table=position_view,
        section=lambda title, answer: heat_section(
            title, position_pictures(answer, ROOM_ON_PAGE), " · ".join(_position_remarks(answer))
        ),
    ),
)
