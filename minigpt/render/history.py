"""What the models of a training expected after a text in; a table with a row for each of them out."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.records import HistoryRow
from minigpt.render.screen import Screen
from minigpt.render.style import fit, percent, quoted, sparkline, token_label

_STEP = 8  # cells with a gap
_NUMBERS = (("bits/byte", 11), ("entropy", 9), ("divergence", 12))  # name, cells with a gap


def history_table(rows: Sequence[HistoryRow], after: str, screen: Screen) -> Iterator[Text]:
    """A row for each model, a column for each token, in as many blocks as the width asks for; then how each token went,
    as a line that is scaled to its own largest probability. `after`: the text that stands before.
    """
    symbols, tracked = screen.symbols, [row.tracked for row in rows]
    labels = [token_label(token, symbols) for token in tracked[0]]
    ranks = [max(len(f"#{tokens[i].rank}") for tokens in tracked) for i in range(len(labels))]
    shares = [[f"{percent(c.raw_prob)} {f'#{c.rank}'.ljust(ranks[i])}" for i, c in enumerate(t)] for t in tracked]
    cells = max(len(share) for row in shares for share in row) + 2
    columns = [fit(label, min(cell_len(label), cells - 2), symbols) for label in labels]
    first = max(0, (screen.width - _STEP - sum(width for _, width in _NUMBERS)) // cells)
    starts = [0, *range(first, len(labels), max(1, (screen.width - _STEP) // cells))]
    for block, (start, end) in enumerate(zip(starts, [*starts[1:], len(labels)], strict=True)):
        yield _heading(columns[start:end], cells, numbers=block == 0)
        for row, texts in zip(rows, shares, strict=True):
            yield _line(row, texts[start:end], cells, numbers=block == 0)
        yield Text()
    yield from _lines(rows, labels, screen)
    yield screen.caption(f"after {quoted(after, screen.width - 10, symbols)}", "raw softmax", "#1 is the top rank")
    yield screen.caption(
        f"final is the model of step {rows[-1].step:,}",
        "bits/byte: its validation loss",
        "entropy and divergence in bits",
        "divergence: what the final model's tokens cost more when coded by this one",
    )


def _heading(columns: Sequence[str], cells: int, *, numbers: bool) -> Text:
    names = "".join(name.rjust(width) for name, width in _NUMBERS if numbers)
    return Text("step".rjust(_STEP) + names + "".join(" " * (cells - cell_len(c)) + c for c in columns), "bold")


def _line(row: HistoryRow, shares: Sequence[str], cells: int, *, numbers: bool) -> Text:
    line = Text(("final" if row.final else f"{row.step:,}").rjust(_STEP), "bold" if row.final else "")
    values = (row.validation_bits_per_byte, row.entropy_bits, row.divergence_bits) if numbers else ()
    for value, (_, width) in zip(values, _NUMBERS, strict=False):
        line.append(("-" if value is None else f"{value:.3f}").rjust(width))
    line.append("".join(share.rjust(cells) for share in shares))
    line.rstrip()
    return line


def _lines(rows: Sequence[HistoryRow], labels: Sequence[str], screen: Screen) -> Iterator[Text]:
    width = max(map(cell_len, labels))
    for i, label in enumerate(labels):
        shares = [row.tracked[i].raw_prob for row in rows]
        line = Text(f" {fit(label, min(width, screen.width // 4), screen.symbols)}  ")
        line.append(sparkline(shares, screen.symbols), "cyan")
        yield line.append(f"  largest {percent(max(shares))}", "dim")
