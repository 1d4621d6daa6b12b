"""A table of what each layer of a model would predict."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.blocks import Column, Row, blocks, tracked_columns, tracked_lines
from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import fit, following, percent, quantity, token_label
from minigpt.views import lens
from minigpt.views.lens import LensRow
from minigpt.views.view import Answer

_LAYER = 7  # cells
_ENTROPY, _DIVERGENCE, _SHARE = 9, 12, 10  # cells with a gap
_SHORTEST_TOKEN, _LONGEST_TOKEN = 9, 20


def lens_table(rows: Sequence[LensRow], after: str, screen: Screen) -> Iterator[Text]:
    """A row for each layer, with its most likely token, and a column for each tracked one; then the course of each.

    Each course goes from layer to layer, scaled to the token's own largest probability. `after`: the preceding text.
    """
    names = [Row(str(row.layer), bold=row is rows[-1]) for row in rows]
    tracked = [row.tracked for row in rows]
    columns = [*_numbers(rows, screen), *tracked_columns(tracked, screen.symbols)]
    yield from blocks("layer", _LAYER, names, columns, screen)
    yield Text()
    yield from tracked_lines(tracked, screen)
    vocabulary = quantity(len(rows[0].candidates) + rows[0].other.count, "token")
    yield screen.caption(
        following(after, screen.width - 10, screen.symbols),
        f"raw softmax over {vocabulary}",
        "#1 is the top rank",
        "entropy and divergence in bits",
    )
    yield screen.caption(
        f"layer 0: the embeddings; layer {rows[-1].layer}: the model's output",
        "divergence: what the output's tokens cost more when coded by this layer",
    )
    yield screen.caption(
        "a reading (the logit lens): the final norm and the output table, applied to each layer, of which none but the "
        "last was trained to be read so"
    )


def _numbers(rows: Sequence[LensRow], screen: Screen) -> list[Column]:
    labels = [token_label(row.candidates[0], screen.symbols) for row in rows]
    width = max(_SHORTEST_TOKEN, min(max(map(cell_len, labels)), screen.width // 5, _LONGEST_TOKEN))
    tops = [fit(label, min(width, cell_len(label)), screen.symbols) for label in labels]
    return [
        Column("top token", width + 2, tops),
        Column("raw", _SHARE, [percent(row.candidates[0].raw_prob) for row in rows]),
        Column("entropy", _ENTROPY, [f"{row.entropy_bits:.2f}" for row in rows]),
        Column("divergence", _DIVERGENCE, [f"{row.divergence_bits:.2f}" for row in rows]),
    ]


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return lens_table(tuple(answer.records), answer.text, screen)


FACES = (Face(view=lens.VIEW, table=_table),)
