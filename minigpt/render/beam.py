"""The table of the targets that a beam search found."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import quantity, quoted, safe_text
from minigpt.render.table import Column, Table
from minigpt.sampling.records import BeamTarget


def beam_table(targets: Sequence[BeamTarget], source: str, screen: Screen) -> Iterator[Text]:
    """A row for each target, the best first, and what the numbers are."""
    columns = [
        Column[BeamTarget]("rank", 5, lambda each: f"{each.rank}"),
        Column[BeamTarget]("target", 0, lambda each: safe_text(each.text), left=True, least=24, most=screen.width),
        Column[BeamTarget]("ln p", 10, lambda each: f"{each.log_prob_nats:,.3f}"),
        Column[BeamTarget]("per token", 11, lambda each: f"{each.log_prob_nats_per_token:,.4f}", drop=2),
        Column[BeamTarget]("tokens", 8, lambda each: f"{each.tokens:,}", drop=1),
    ]
    yield from Table(columns, screen, targets).lines(targets)
    cut = sum(each.stopped_by == "max-tokens" for each in targets)
    yield screen.caption(
        f"{quantity(len(targets), 'target')} of {quoted(source.strip(), screen.width // 2, screen.symbols)}",
        "ln p: the logarithm of a target's probability, its end included",
        "ordered by ln p per token",
        f"{quantity(cut, 'target')} cut at the most tokens" if cut else "",
    )
