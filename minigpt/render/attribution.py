"""A table of how much each token of a prompt contributed to the next one, with bars to both sides."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import fit, percent, quantity, token_label, two_sided_bar
from minigpt.views import attribution
from minigpt.views.attribution import Attribution
from minigpt.views.view import Answer

_POSITION, _NUMBER = 9, 10  # cells; the second with a gap
_SHORTEST_BAR, _LONGEST_TOKEN = 9, 24


def attribution_table(record: Attribution, screen: Screen) -> Iterator[Text]:
    """A row for each token of the prompt, in order; bars to the right for those that made the next token likelier, to
    the left for those that made it less likely.
    """
    symbols = screen.symbols
    labels = [token_label(effect, symbols) for effect in record.effects]
    room = screen.width - _POSITION - _NUMBER - 2
    token = max(5, min(max(map(cell_len, labels)), _LONGEST_TOKEN, room - _SHORTEST_BAR - 2))
    side = (room - token - 3) // 2
    most = max(abs(effect.effect_bits) for effect in record.effects)
    head = f"{'position':>{_POSITION}}  {'token':<{token}}{'bits':>{_NUMBER}}"
    yield Text(f"{head}  {'less likely':>{side}}|{'likelier'}"[: screen.width] if side > 10 else head, "bold")
    for effect, label in zip(record.effects, labels, strict=True):
        line = Text(f"{effect.position:>{_POSITION},}  ", "dim")
        line.append(fit(label, token, symbols), "not dim")
        line.append(f"{_signed(effect.effect_bits):>{_NUMBER}}  ", "not dim")
        share = effect.effect_bits / most if most else 0.0
        line.append(two_sided_bar(share, side, symbols), "not dim cyan" if share > 0 else "not dim magenta")
        line.rstrip()
        yield line
    yield from _captions(record, screen)


def _captions(record: Attribution, screen: Screen) -> Iterator[Text]:
    label = token_label(record.token, screen.symbols)
    unseen = f"{quantity(record.unseen, 'token')} before the model's window have no effect" if record.unseen else ""
    yield screen.caption(
        f"explained: {label}, {percent(record.token.raw_prob)} (raw softmax), rank {record.token.rank:,}",
        "bits: log2 of its probability, less that without the token",
        unseen,
    )
    yield screen.caption(
        "leave-one-out: the tokens behind the one left out move up by a position, which is a part of its effect",
        "effects do not add up to a whole, as tokens act together",
    )


def _signed(bits: float) -> str:
    """`+0.25`; never `-0.00`."""
    return f"{round(bits, 2) + 0.0:+,.2f}"


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    for record in answer.records:
        yield from attribution_table(record, screen)


FACES = (Face(view=attribution.VIEW, table=_table),)
