"""What the snapshots of a training predicted after a text: a table, and the section of a page."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from minigpt.render.blocks import Column, Row, blocks, tracked_columns, tracked_lines
from minigpt.render.face import Face
from minigpt.render.html import Section, text_before
from minigpt.render.screen import Screen
from minigpt.render.style import following, percent, token_label
from minigpt.sampling.records import Candidate
from minigpt.views import history
from minigpt.views.history import HistoryRow, LayerHistoryRow
from minigpt.views.view import Answer

_STEP = 8  # cells with a gap
_NUMBERS = (("bits/byte", 11), ("entropy", 9), ("divergence", 12))  # name, cells with a gap


def history_table(rows: Sequence[HistoryRow], after: str, screen: Screen) -> Iterator[Text]:
    """A row for each model, a column for each token, in as many blocks as necessary; then the course of each token.

    Each course is a line scaled to the token's own largest probability. `after`: the preceding text.
    """
    symbols, tracked = screen.symbols, [row.tracked for row in rows]
    numbers = [[row.validation_bits_per_byte, row.entropy_bits, row.divergence_bits] for row in rows]
    texts = [["-" if n is None else f"{n:.3f}" for n in column] for column in zip(*numbers, strict=True)]
    columns = [Column(*heading, text) for heading, text in zip(_NUMBERS, texts, strict=True)]
    names = [Row("final" if row.final else f"{row.step:,}", bold=row.final) for row in rows]
    yield from blocks("step", _STEP, names, [*columns, *tracked_columns(tracked, symbols)], screen)
    yield Text()
    yield from tracked_lines(tracked, screen)
    yield screen.caption(following(after, screen.width - 10, symbols), "raw softmax", "#1 is the top rank")
    yield screen.caption(
        _which_is_final(rows),
        "bits/byte: its validation loss",
        "entropy and divergence in bits",
        "divergence: what the final model's tokens cost more when coded by this one",
    )


def layer_table(rows: Sequence[LayerHistoryRow], after: str, screen: Screen) -> Iterator[Text]:
    """One token by layer and step: a row for each layer, the model's output last, and a column for each step."""
    symbols, token = screen.symbols, rows[0].layers[0]
    depth = len(rows[0].layers)
    names = [Row(str(layer), bold=layer == depth - 1) for layer in range(depth)]
    columns = [Column("final" if row.final else f"{row.step:,}", 11, list(map(_marked, row.layers))) for row in rows]
    yield from blocks("layer", _STEP, names, columns, screen)
    yield screen.caption(
        f"{token_label(token, symbols)} {following(after, screen.width - 30, symbols)}".rstrip(),
        "raw softmax",
        "a column a step",
        _which_is_final(rows),
        "* the top rank there",
    )
    yield screen.caption(
        f"layer 0: the embeddings; layer {depth - 1}: the model's output; no other was trained to be read so"
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


def _marked(candidate: Candidate) -> str:
    return f"{percent(candidate.raw_prob)}{'*' if candidate.rank == 1 else ' '}"


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return history_table(tuple(answer.records), answer.text, screen)


def _layer_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return layer_table(tuple(answer.records), answer.text, screen)


def _section(title: str, answer: Answer) -> Section:
    return history_section(title, tuple(answer.records), answer.text)


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


FACES = (Face(view=history.VIEW, table=_table, section=_section), Face(view=history.BY_LAYER, table=_layer_table))
