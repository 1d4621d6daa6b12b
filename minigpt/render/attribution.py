"""A table of how much each token of a prompt contributed to the next one, with bars to both sides."""

from collections.abc import Iterator

from rich.text import Text

from minigpt.render.candidates import explained
from minigpt.render.cells import cell_len
from minigpt.render.face import Face, each
from minigpt.render.style import Screen, quantity, signed_bits, token_label
from minigpt.render.table import Bar, Column, Listing, Part
from minigpt.views import attribution
from minigpt.views.attribution import Attribution, TokenEffect

_LONGEST_TOKEN, _SHORTEST_BAR = 24, 9  # cells


def attribution_table(record: Attribution, screen: Screen) -> Iterator[Part]:
    """A row for each token of the prompt, in order; bars to the right for those that made the next token likelier, to
    the left for those that made it less likely.
    """
    symbols = screen.symbols
    room = screen.width - 23  # for the token and the bar
    widest = max(cell_len(token_label(effect, symbols)) for effect in record.effects)
    token = max(5, min(widest, _LONGEST_TOKEN, room - _SHORTEST_BAR))
    side = (room - token - 1) // 2
    most = max(abs(effect.effect_bits) for effect in record.effects) or 1.0
    columns = [
        Column[TokenEffect]("position", 9, lambda effect: f"{effect.position:,}", style="dim"),
        Column("token", 2 + token, lambda effect: token_label(effect, symbols), left=True),
        Column("bits", 10, lambda effect: signed_bits(effect.effect_bits)),
        Column(
            f"{'less likely':>{side}}|likelier" if side > 10 else "",
            2 * side + 3,
            lambda effect: Bar(effect.effect_bits / most, symbols, from_middle=True),
            left=True,
            style=lambda effect: "cyan" if effect.effect_bits > 0 else "magenta",
            title=f"less likely {symbols.dot} likelier",
        ),
    ]
    yield Listing(
        columns=columns, rows=record.effects, screen=screen, caption="What each token of the prompt contributed"
    )
    yield from _captions(record, screen)


def _captions(record: Attribution, screen: Screen) -> Iterator[Text]:
    yield screen.caption(
        explained(record.token, screen.symbols),
        "bits: log2 of its probability, less that without the token",
        f"{quantity(record.unseen, 'token')} before the model's window have no effect" if record.unseen else "",
    )
    yield screen.caption(
        "leave-one-out: the tokens after the one left out move up by one position, which is part of its effect",
        "effects do not add up to a total, because tokens interact",
    )


FACES = (Face(view=attribution.VIEW, table=each(lambda record, answer, screen: attribution_table(record, screen))),)
