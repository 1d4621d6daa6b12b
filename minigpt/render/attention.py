"""What attention heads look at, in a text, two texts or a pair: tables of them, and the sections of a page."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.face import Face, each
from minigpt.render.html import Section
from minigpt.render.machine import write_alignment, write_grid, write_rows
from minigpt.render.style import (
    UNICODE,
    Screen,
    Symbols,
    bytes_label,
    fit,
    or_dash,
    percent,
    quantity,
    quoted,
    token_label,
    visible,
)
from minigpt.render.table import Column, Listing, Part, Table, blocks
from minigpt.text.records import Token
from minigpt.views import alignment, attention, shared_word
from minigpt.views.alignment import AlignmentGrid
from minigpt.views.attention import AttentionGrid, HeadSummary
from minigpt.views.shared_word import LookedAtWord, SharedWord, WordInContext, WordLayer
from minigpt.views.view import Answer

_NUMBER = 4  # cells of `100` and a gap
_SCORE = 7  # cells of `-12.34` and a gap


def head_table(heads: Sequence[HeadSummary], screen: Screen) -> Text:
    """A line for each head: the entropy of its attention, and where it goes.

    A kind is named if it takes half of the attention or more.
    """
    narrow = screen.width < 80
    columns = [
        Column[HeadSummary]("layer.head", 11, lambda head: f"{head.layer}.{head.head}", left=True, gap=1),
        Column("bits", 5, lambda head: f"{head.entropy_bits:.2f}"),
    ]
    if not narrow:
        columns = [
            Column("layer", 6, lambda head: f"{head.layer}"),
            Column("head", 5, lambda head: f"{head.head}"),
            Column("entropy", 9, lambda head: f"{head.entropy_bits:.2f}"),
        ]
    show, cells = ("{:.0%}".format, 6) if narrow else (percent, 10)
    columns += [
        Column("prev" if narrow else "previous", cells, lambda head: or_dash(head.previous, show)),
        Column("first", cells, lambda head: or_dash(head.first, show)),
        Column("same", cells, lambda head: or_dash(head.same, show)),
        Column("self" if narrow else "itself", cells, lambda head: or_dash(head.itself, show)),
    ]
    if not narrow:
        columns.append(Column("", 0, lambda head: head.kind or "", left=True, style="green"))
    mean = math.fsum(head.entropy_bits for head in heads) / len(heads)
    shares = {"no token occurs twice": heads[0].same, "there is no third token": heads[0].first}
    reasons = [reason for reason, share in shares.items() if share is None]
    caption = screen.caption(
        f"{quantity(len(heads), 'head')}, on average {mean:.2f} bits of entropy",
        "mean share of a token's attention that goes to the token before it, to the first of the text (from the third "
        "token on), to earlier ones that are the same, and to itself",
        f"- where {' or '.join(reasons)}" if reasons else "",
    )
    return Text("\n").join([*Table(columns, screen, heads).lines(heads), caption])


def grid_table(grid: AttentionGrid, screen: Screen, *, scores: bool = False) -> Iterator[Text]:
    """A row for each token, a column for each one that it attends to: percentages, or raw scores.

    Columns are numbered as the rows are. Without room for numbers, a bar's height is the share; the shares of tokens
    without a column are summed in `older`.
    """
    symbols, count = screen.symbols, len(grid.tokens)
    labels = [token_label(token, symbols) for token in grid.tokens]
    width = max(5, min(max(map(cell_len, labels)), screen.width // 4, 16))
    room = screen.width - width - 6
    cells = _SCORE if scores else _NUMBER if _NUMBER * count <= room else 1
    shown = min(count, room // cells) if count * cells <= room else (room - _NUMBER - 2) // cells
    first, older = count - shown, shown < count
    yield _grid_heading(first, shown, cells, width, older)
    for row, label in enumerate(labels):
        line = Text(f"{row + 1:>4} {fit(label, width, symbols)} ")
        values = (grid.scores if scores else grid.weights)[row]
        if older:
            line.append("" if scores else f"{100 * math.fsum(grid.weights[row][:first]):>{_NUMBER}.0f}  ", "dim")
        for value in values[first:]:
            line.append_text(Text(f"{value:.2f}".rjust(cells)) if scores else share_cell(value, cells, symbols))
        yield line
    yield _grid_caption(grid, first, cells, screen, scores=scores)


def _grid_heading(first: int, shown: int, cells: int, width: int, older: bool) -> Text:
    before = " " * (width + 6) + ("older ".rjust(_NUMBER + 2) if older else "")
    if cells == 1:
        marks = "".join("|" if (first + i + 1) % 10 == 0 else " " for i in range(shown))
        return Text((before + marks).rstrip(), "bold")
    return Text(before + "".join(f"{first + i + 1:>{cells}}" for i in range(shown)), "bold")


def share_cell(value: float, cells: int, symbols: Symbols) -> Text:
    """A share of 1 in percent, or in a single cell as a bar: bold from a half on, dim below a tenth."""
    style = "bold" if value >= 0.5 else "" if value >= 0.1 else "dim"
    if cells == 1:
        sign = symbols.levels[min(7, int(value * 8))] if value >= 0.02 else " "
        return Text(sign, style)
    return Text((f"{100 * value:.0f}" if value >= 0.005 else symbols.dot).rjust(cells), style)


def _grid_caption(grid: AttentionGrid, first: int, cells: int, screen: Screen, *, scores: bool) -> Text:
    which = f"layer {grid.layer}, " + (f"head {grid.head}" if grid.head is not None else "mean of its heads")
    if scores:
        how: tuple[str, ...] = ("query · key / √head width, before the softmax",)
    else:
        signs = f"every tenth column has a mark; {screen.symbols.levels[-1]} is all" if cells == 1 else "in percent"
        sums = "a row adds up to 100 %, before each share is rounded"
        how = ("a row is what its token attends to, itself last", sums, signs)
    hidden = f"the first {quantity(first, 'token')} have no column" if first else ""
    return screen.caption(which, *how, hidden)


def shared_word_table(shared: SharedWord, screen: Screen) -> Iterator[Part]:
    """Both texts, layer by layer: what the word attends to, how far its vector has moved, and how similar both are."""
    for context in (shared.first, shared.second):
        yield from _word_lines(context, screen)
        yield Text()
    cosines = ", ".join(f"{layer}: {cosine:.2f}" for layer, cosine in enumerate(shared.cosines))
    yield screen.caption(f"cosine between the two after each layer, from the embedding on: {cosines}")
    yield screen.caption(
        "moved: the distance from the embedding, in lengths of the embedding",
        "cosine: to the embedding, which is token and position",
        "attends to: whole words, the weights of their tokens added up; mean of the layer's heads, raw softmax",
    )


def _word_lines(context: WordInContext, screen: Screen) -> Iterator[Part]:
    symbols = screen.symbols
    pieces = (
        "" if context.tokens == 1 else f"its {context.tokens} tokens joined: the mean of their vectors and attention"
    )
    last = context.position + 1
    at = f"token {last}" if context.tokens == 1 else f"tokens {last + 1 - context.tokens} to {last}"
    word = visible(context.word, symbols)
    yield screen.caption(quoted(context.text, screen.width - 4, symbols), f"{at}: {word}", pieces)
    if context.first:
        yield screen.caption(
            "nothing comes before it: the model reads from left to right, so here it has nothing to look back to, and "
            "what comes later cannot change it"
        )
    numbers = [
        Column[WordLayer]("layer", 6, lambda layer: f"{layer.layer}"),
        Column("cosine", 8, lambda layer: f"{layer.cosine_to_embedding:.2f}"),
        Column("moved", 7, lambda layer: f"{layer.moved:.2f}"),
    ]
    # Without room for a few words on the line, they get a line of their own.
    beside = screen.width >= 60
    looks = Column[WordLayer](
        "attends to",
        3,
        lambda layer: partial(_looks, layer, symbols),
        left=True,
        style="dim",
        fills=True,
        gap=2 if beside else 9,
    )
    yield Listing(
        columns=[*numbers, looks] if beside else numbers,
        rows=context.layers,
        screen=screen,
        caption=f"{word} in this text, layer by layer",
        below=None if beside else looks,
    )


def _looks(layer: WordLayer, symbols: Symbols, room: int) -> str:
    """As many words as fit, and the weight of all others."""
    for count in range(len(layer.words), -1, -1):
        others = layer.other_words + len(layer.words) - count
        rest = math.fsum([layer.other_weight, *(seen.weight for seen in layer.words[count:])])
        looks = [_share(seen, symbols) for seen in layer.words[:count]]
        names = (f"{others:,} other{'s' if others > 1 else ''}", "rest") if others else ()
        texts = ["  ".join([*looks, f"{name} {100 * rest:.0f}%"]) for name in names] or ["  ".join(looks)]
        if fitting := [text for text in texts if cell_len(text) <= room]:
            return fitting[0]
    return ""


def _share(seen: LookedAtWord, symbols: Symbols) -> str:
    return f"{visible(seen.text, symbols)} {100 * seen.weight:.0f}%"


# --- a pair: the words of its source, for each word of its target

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
        [_word_label([grid.source[at] for at in word], end, symbols) for word in sources],
        [_word_label([grid.target[at] for at in word], end, symbols) for word in targets],
        weights,
    )


def _ranges(counts: Sequence[int]) -> list[range]:
    return [range(start, stop) for start, stop in pairwise(accumulate(counts, initial=0))]


def _word_label(tokens: Sequence[Token], end: int, symbols: Symbols) -> str:
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
    yield _alignment_caption(grid, screen, sharpest=sharpest)


def _alignment_caption(grid: AlignmentGrid, screen: Screen, *, sharpest: bool) -> Text:
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


def _section(title: str, answer: Answer) -> Section:
    return attention_section(title, tuple(answer.records), answer.facts.get("chosen"))


def attention_section(
    title: str, grids: Sequence[AttentionGrid], chosen: tuple[int, int | None] | None = None
) -> Section:
    """The section of a page for `grids` (one or more) of one text: per layer, the mean of the heads and every head.

    `chosen`: layer and head of the grid that it shows first.
    """
    data = {
        "tokens": [token_label(token) for token in grids[0].tokens],
        "chosen": chosen or (grids[0].layer, grids[0].head),
        "grids": [head_data(grid, grid.weights) for grid in grids],
    }
    return Section("attention", title, data, ("arcs.js", "attention.js"))


def head_data(grid: AttentionGrid | AlignmentGrid, weights: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The weights of a grid for a page: thousandths, the precision that it shows."""
    thousandths = [[round(1000 * weight) for weight in row] for row in weights]
    return {"layer": grid.layer, "head": grid.head, "weights": thousandths}


FACES = (
    Face(
        view=attention.HEADS,
        table=lambda answer, screen: [head_table(tuple(answer.records), screen)],
        csv=lambda answer, file: write_rows(HeadSummary, answer.records, file),
        section=_section,
    ),
    Face(
        view=attention.VIEW,
        table=each(lambda grid, answer, screen: grid_table(grid, screen, scores=answer.facts.get("scores", False))),
        csv=lambda answer, file: write_grid(next(iter(answer.records)), file),
        section=_section,
    ),
    Face(view=shared_word.VIEW, table=each(lambda shared, answer, screen: shared_word_table(shared, screen))),
    Face(
        view=alignment.VIEW,
        table=each(
            lambda grid, answer, screen: alignment_table(grid, screen, sharpest=answer.facts.get("sharpest", False))
        ),
        csv=lambda answer, file: write_alignment(next(iter(answer.records)), file),
        section=lambda title, answer: alignment_section(title, tuple(answer.records), answer.facts.get("chosen")),
    ),
)
