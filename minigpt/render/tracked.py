"""The same tokens, as several distributions see them, in; a column for each, and how each went as a line, out."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.blocks import Column
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, fit, percent, sparkline, token_label
from minigpt.sampling.records import Candidate


def tracked_columns(rows: Sequence[Sequence[Candidate]], symbols: Symbols) -> list[Column]:
    """For each token its probability and rank, row by row."""
    ranks = [max(len(f"#{tokens[i].rank}") for tokens in rows) for i in range(len(rows[0]))]
    shares = [[f"{percent(c.raw_prob)} {f'#{c.rank}'.ljust(ranks[i])}" for i, c in enumerate(row)] for row in rows]
    cells = max(len(share) for row in shares for share in row) + 2
    columns = []
    for token, texts in zip(rows[0], zip(*shares, strict=True), strict=True):
        label = token_label(token, symbols)
        columns.append(Column(fit(label, min(cell_len(label), cells - 2), symbols), cells, texts))
    return columns


def tracked_lines(rows: Sequence[Sequence[Candidate]], screen: Screen) -> Iterator[Text]:
    """How each token went, scaled to its own largest probability."""
    labels = [token_label(token, screen.symbols) for token in rows[0]]
    width = max(map(cell_len, labels))
    for i, label in enumerate(labels):
        shares = [row[i].raw_prob for row in rows]
        line = Text(f" {fit(label, min(width, screen.width // 4), screen.symbols)}  ")
        line.append(sparkline(shares, screen.symbols), "cyan")
        yield line.append(f"  largest {percent(max(shares))}", "dim")
