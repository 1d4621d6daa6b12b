"""The table of the targets that a beam search found."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from minigpt.render.screen import Screen
from minigpt.render.style import quantity, safe_text
from minigpt.render.table import Column, Table
from minigpt.sampling.records import BeamTarget


def beam_table(targets: Sequence[BeamTarget], source: str, screen: Screen) -> Iterator[Text]:
    """A row for each target, the best first, and what the numbers are."""
    columns = [
        Column[BeamTarget]("rank", 5, lambda each: f"{each.rank}"),
        Column[BeamTarget]("target", 0, lambda each: safe_text(each.text), left=True, least=16, most=screen.width),
        Column[BeamTarget]("nats", 10, lambda each: f"{each.log_prob_nats:,.3f}"),
        Column[BeamTarget]("nats/token", 12, lambda each: f"{each.log_prob_nats_per_token:,.4f}"),
        Column[BeamTarget]("tokens", 8, lambda each: f"{each.tokens:,}", drop=1),
    ]
    table = Table(columns, screen, targets)
    yield table.heading()
    yield from map(table.line, targets)
    yield screen.caption(
        f"{quantity(len(targets), 'target')} of {source.strip()!r}",
        "nats: ln of a target's probability, its end included",
        "ordered by nats per token",
    )
