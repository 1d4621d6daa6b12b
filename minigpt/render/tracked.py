"""What the layers of a model, and the snapshots of a training, predicted: tables, and the section of a page."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.face import Face
from minigpt.render.html import Section, text_before
from minigpt.render.style import Screen, Symbols, fit, following, or_dash, percent, quantity, token_label
from minigpt.render.table import Column, Course, Listing, Part
from minigpt.views import history
from minigpt.views.history import HistoryRow, LayerHistoryRow, LensRow

Row = TypeVar("Row", HistoryRow, LensRow)

_STEP, _LAYER = 8, 7  # cells
_SHORTEST_TOKEN, _LONGEST_TOKEN = 9, 20


def tracked_columns(rows: Sequence[Row], symbols: Symbols) -> list[Column[Row]]:
    """For each tracked token a column with its probability and rank."""
    ranks = [max(len(f"#{row.tracked[i].rank}") for row in rows) for i in range(len(rows[0].tracked))]

    def text(row: Row, i: int) -> str:
        return f"{percent(row.tracked[i].raw_prob)} {f'#{row.tracked[i].rank}'.ljust(ranks[i])}"

    cells = max((len(text(row, i)) for row in rows for i in range(len(ranks))), default=0) + 2

    def column(i: int) -> Column[Row]:
        label = token_label(rows[0].tracked[i], symbols)
        return Column(
            fit(label, min(cell_len(label), cells - 2), symbols), cells, lambda row: text(row, i), title=label
        )

    return list(map(column, range(len(ranks))))


def tracked_lines(rows: Sequence[HistoryRow] | Sequence[LensRow], screen: Screen) -> Listing[int]:
    """The course of each tracked token, scaled to its own largest probability."""
    labels = [token_label(token, screen.symbols) for token in rows[0].tracked]
    width = min(max(map(cell_len, labels)), screen.width // 4)
    courses = [[row.tracked[i].raw_prob for row in rows] for i in range(len(labels))]

    def drawn(i: int) -> Course:
        return Course(courses[i], max(courses[i]), screen.symbols, list(map(percent, courses[i])))

    columns = [
        Column[int]("token", 1 + width, lambda i: labels[i], left=True, gap=1),
        Column("course", 2 + len(rows), drawn, left=True, style="cyan"),
        Column("", 0, lambda i: f"largest {percent(max(courses[i]))}", left=True, style="dim"),
    ]
    rows_of = range(len(labels))
    return Listing(columns=columns, rows=rows_of, screen=screen, caption="The course of each token", headed=False)


def lens_table(rows: Sequence[LensRow], after: str, screen: Screen) -> Iterator[Part]:
    """A row for each layer, with its most likely token, and a column for each tracked one; then the course of each.

    Each course goes from layer to layer. `after`: the preceding text.
    """
    symbols, last = screen.symbols, rows[-1]
    labels = [token_label(row.candidates[0], symbols) for row in rows]
    widest = max(_SHORTEST_TOKEN, min(max(map(cell_len, labels)), screen.width // 5, _LONGEST_TOKEN))

    def top(row: LensRow) -> Callable[[int], str]:
        label = token_label(row.candidates[0], symbols)
        return lambda room: fit(label, min(room, cell_len(label)), symbols)

    columns = [
        Column[LensRow]("layer", _LAYER, lambda row: str(row.layer), style=lambda row: "bold" if row is last else ""),
        Column("top token", widest + 2, top),
        Column("raw", 10, lambda row: percent(row.candidates[0].raw_prob)),
        Column("entropy", 9, lambda row: f"{row.entropy_bits:.2f}"),
        Column("divergence", 12, lambda row: f"{row.divergence_bits:.2f}"),
        *tracked_columns(rows, symbols),
    ]
    caption = "What each layer would predict"
    yield Listing(columns=columns, rows=rows, screen=screen, caption=caption, repeats=True)
    yield Text()
    yield tracked_lines(rows, screen)
    yield screen.caption(
        following(after, screen.width - 10, symbols),
        f"raw softmax over {quantity(len(last.candidates) + last.other.count, 'token')}",
        "#1 is the top rank",
        "entropy and divergence in bits",
    )
    yield screen.caption(
        f"layer 0: the embeddings; layer {last.layer}: the model's output",
        "divergence: what the output's tokens cost more when coded by this layer",
    )
    yield screen.caption(
        "the logit lens: the final norm and the output table, applied to each layer, although only the last was "
        "trained to be read this way"
    )


def history_table(rows: Sequence[HistoryRow], after: str, screen: Screen) -> Iterator[Part]:
    """A row for each model, a column for each token, in as many blocks as necessary; then the course of each token.

    `after`: the preceding text.
    """
    columns = [
        Column[HistoryRow]("step", _STEP, _step, style=lambda row: "bold" if row.final else ""),
        Column[HistoryRow]("bits/byte", 11, lambda row: or_dash(row.validation_bits_per_byte, "{:.3f}".format)),
        Column("entropy", 9, lambda row: f"{row.entropy_bits:.3f}"),
        Column("divergence", 12, lambda row: f"{row.divergence_bits:.3f}"),
        *tracked_columns(rows, screen.symbols),
    ]
    caption = "What the model of each step predicted"
    yield Listing(columns=columns, rows=rows, screen=screen, caption=caption, repeats=True)
    yield Text()
    yield tracked_lines(rows, screen)
    yield screen.caption(following(after, screen.width - 10, screen.symbols), "raw softmax", "#1 is the top rank")
    yield screen.caption(
        _which_is_final(rows),
        "bits/byte: its validation loss",
        "entropy and divergence in bits",
        "divergence: what the final model's tokens cost more when coded by this one",
    )


def _step(row: HistoryRow | LayerHistoryRow) -> str:
    return "final" if row.final else f"{row.step:,}"


def layer_table(rows: Sequence[LayerHistoryRow], after: str, screen: Screen) -> Iterator[Part]:
    """One token by layer and step: a row for each layer, the model's output last, and a column for each step."""
    last = len(rows[0].layers) - 1

    def column(row: LayerHistoryRow) -> Column[int]:
        def text(layer: int) -> str:
            return f"{percent(row.layers[layer].raw_prob)}{'*' if row.layers[layer].rank == 1 else ' '}"

        return Column(_step(row), 11, text, title=_step(row) if row.final else f"step {_step(row)}")

    first = Column[int]("layer", _STEP, str, style=lambda layer: "bold" if layer == last else "")
    token = token_label(rows[0].layers[0], screen.symbols)
    columns = [first, *map(column, rows)]
    caption = f"The probability of {token} by layer and step"
    yield Listing(columns=columns, rows=range(last + 1), screen=screen, caption=caption, repeats=True)
    yield screen.caption(
        f"{token} {following(after, screen.width - 30, screen.symbols)}".rstrip(),
        "raw softmax",
        "a column a step",
        _which_is_final(rows),
        "* the top rank there",
    )
    yield screen.caption(
        f"layer 0: the embeddings; layer {last}: the model's output; no other was trained to be read this way"
    )


def _which_is_final(rows: Sequence[HistoryRow] | Sequence[LayerHistoryRow]) -> str:
    """Which row is final, with the reason if the snapshot of the same step has other numbers."""
    *before, final = rows
    note = f"final is the model of step {final.step:,}"
    same = next((row for row in before if row.step == final.step), None)
    if same is None or _numbers(same) == _numbers(final):
        return note
    return f"{note}, whose snapshot is rounded to bfloat16 and so differs in the last digits"


def _numbers(row: HistoryRow | LayerHistoryRow) -> list[float]:
    return [candidate.raw_prob for candidate in (row.tracked if isinstance(row, HistoryRow) else row.layers)]


def history_section(title: str, rows: Sequence[HistoryRow], after: str) -> Section:
    """A frame for each of `rows` (one or more), with the tokens that they track. `after`: the preceding text."""
    data = {
        "after": text_before(after),
        "tokens": [token_label(token) for token in rows[0].tracked],
        "frames": [
            {
                "step": row.step,
                "final": row.final,
                "bitsPerByte": row.validation_bits_per_byte,
                "entropy": row.entropy_bits,
                "divergence": row.divergence_bits,
                "shares": [candidate.raw_prob for candidate in row.tracked],
                "ranks": [candidate.rank for candidate in row.tracked],
            }
            for row in rows
        ],
    }
    return Section("history", title, data, ("history.js",))


FACES = (
    Face(
        view=history.VIEW,
        table=lambda answer, screen: history_table(tuple(answer.records), answer.text, screen),
        section=lambda title, answer: history_section(title, tuple(answer.records), answer.text),
    ),
    Face(view=history.BY_LAYER, table=lambda answer, screen: layer_table(tuple(answer.records), answer.text, screen)),
    Face(view=history.LENS, table=lambda answer, screen: lens_table(tuple(answer.records), answer.text, screen)),
)
