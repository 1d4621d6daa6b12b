"""What a model of pairs attends to: a grid of the words of a source and a target, and the section of a page."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from rich.text import Text

from minigpt.render.attention import head_data, share_cell
from minigpt.render.cells import cell_len
from minigpt.render.face import Face, each
from minigpt.render.html import Section
from minigpt.render.machine import write_alignment
from minigpt.render.screen import Screen
from minigpt.render.style import UNICODE, Symbols, bytes_label, fit, percent
from minigpt.render.table import Column, blocks
from minigpt.text.records import Token
from minigpt.views import alignment
from minigpt.views.alignment import AlignmentGrid

_NUMBER = 4  # cells of `100` and a gap
_END = "<end>"


class Words(NamedTuple):
    """A grid over whole words, by their labels."""

    source: list[str]
    target: list[str]
    weights: list[list[float]]


def over_words(grid: AlignmentGrid, symbols: Symbols = UNICODE) -> Words:
    """Weights of whole words: summed over the tokens of a source word, averaged over those of a target word."""
    sources, targets = _ranges(grid.source_words), _ranges(grid.target_words)
    weights = [
        [math.fsum(grid.weights[row][at] for row in target for at in source) / len(target) for source in sources]
        for target in targets
    ]
    end = grid.source[-1].id
    return Words(
        [_label([grid.source[at] for at in word], end, symbols) for word in sources],
        [_label([grid.target[at] for at in word], end, symbols) for word in targets],
        weights,
    )


def _ranges(counts: Sequence[int]) -> list[range]:
    return [range(start, stop) for start, stop in pairwise(accumulate(counts, initial=0))]


def _label(tokens: Sequence[Token], end: int, symbols: Symbols) -> str:
    """The word without the space before it, which says nothing here."""
    if tokens[0].id == end:
        return _END
    data = bytes.fromhex("".join(token.bytes for token in tokens))
    return bytes_label((data.strip(b" ") or data).hex(), symbols)


def alignment_table(grid: AlignmentGrid, screen: Screen, *, sharpest: bool = False) -> Iterator[Text]:
    """A row for each word of the target, a column for each of the source: percentages.

    Columns are headed by their words where there is room, and otherwise by numbers, with the words listed below;
    columns without room follow further down. `sharpest`: whether the layer was chosen because its attention is.
    """
    symbols, words = screen.symbols, over_words(grid, screen.symbols)
    width = max(5, min(max(map(cell_len, words.target)), screen.width // 4, 16))
    room = screen.width - width - 1
    cells = [max(_NUMBER, cell_len(word) + 1) for word in words.source]
    numbered = sum(cells) > room
    headings = [str(number) for number in range(1, len(cells) + 1)] if numbered else words.source
    if numbered:
        cells = [_NUMBER] * len(cells)

    def column(at: int) -> Column[int]:
        return Column(headings[at], cells[at], lambda row: share_cell(words.weights[row][at], cells[at], symbols))

    target = Column[int]("", width + 1, words.target.__getitem__, left=True, gap=1)
    yield from blocks([target, *map(column, range(len(cells)))], range(len(words.target)), screen)
    if numbered:
        named = zip(headings, words.source, strict=True)
        yield screen.caption(
            *(f"{number}\u00a0{fit(word, screen.width - 9, symbols).rstrip()}" for number, word in named)
        )
    yield _caption(grid, screen, sharpest=sharpest)


def _caption(grid: AlignmentGrid, screen: Screen, *, sharpest: bool) -> Text:
    which = f"layer {grid.layer}, " + (f"head {grid.head}" if grid.head is not None else "mean of its heads")
    joined = max(*grid.source_words, *grid.target_words) > 1
    rate = _rate_note(grid.alignment_error_rate)
    return screen.caption(
        which,
        "the layer whose rows have the lowest entropy" if sharpest else "",
        "a row is what a word of the target attends to as it is written, and adds up to 100 %",
        "whole words: shares of a source word's tokens are summed, rows of a target word's averaged" if joined else "",
        f"{rate}, against the true links of words" if rate else "",
    )


def alignment_section(
    title: str, grids: Sequence[AlignmentGrid], chosen: tuple[int, int | None] | None = None
) -> Section:
    """The section of a page for `grids` (one or more) of one pair, over whole words.

    `chosen`: layer and head of the grid that it shows first.
    """
    words = [over_words(grid) for grid in grids]
    data = {
        "tokens": words[0].target,
        "looked": words[0].source,
        "chosen": chosen or (grids[0].layer, grids[0].head),
        "grids": [
            head_data(grid, each.weights) | {"note": _rate_note(grid.alignment_error_rate)}
            for grid, each in zip(grids, words, strict=True)
        ],
    }
    return Section("alignment", title, data, ("arcs.js", "attention.js"))


def _rate_note(rate: float | None) -> str:
    return "" if rate is None else f"alignment error rate {percent(rate, 1)}"


FACES = (
    Face(
        view=alignment.VIEW,
        table=each(
            lambda grid, answer, screen: alignment_table(grid, screen, sharpest=answer.facts.get("sharpest", False))
        ),
        csv=lambda answer, file: write_alignment(next(iter(answer.records)), file),
        section=lambda title, answer: alignment_section(title, tuple(answer.records), answer.facts.get("chosen")),
    ),
)
