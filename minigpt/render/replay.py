"""The result of a replay, as a sentence or a table."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.text import Text

from minigpt.render.style import Screen, Symbols, quantity, quoted, safe_text, token_label
from minigpt.render.table import Column, Table, token_column
from minigpt.sampling.records import Candidate, Replay, RescoredToken, Rescoring


def replay_caption(replay: Replay, screen: Screen) -> Text:
    """The message of a replay that gives the same text: how many tokens, and how far the numbers differ."""
    how = "drawn again, id for id" if replay.drawn else "scored again"
    parts = [f"the same {quantity(replay.tokens, 'token')}, {how}", _differences(replay)]
    return screen.caption(*parts, _changes(replay))


def replay_finding(name: str, replay: Replay, symbols: Symbols) -> str:
    """The message of a replay that gives another text, with the first token that differs."""
    lines = [f"{name} is not reproduced: {_where(replay, symbols)}"]
    before = f"The {quantity(replay.tokens, 'token')} before {'is' if replay.tokens == 1 else 'are'} the same; "
    if replay.divergence is not None:
        lines.append(f"{before}{_differences(replay)}." if replay.tokens else "It is the first one.")
    changed = _changes(replay)
    lines.append(f"Changed since then: {changed}." if changed else "Versions, machine and device are unchanged.")
    return "\n".join(lines)


def _where(replay: Replay, symbols: Symbols) -> str:
    found = replay.divergence
    if found is None:
        return f"{_differences(replay)}, more than rounding explains."
    return (
        f"step {found.step:,} of sample {found.sample} was {_named(found.expected, symbols)}, "
        f"and now it is {_named(found.drawn, symbols)}."
    )


def _named(token: Candidate | None, symbols: Symbols) -> str:
    if token is None:
        return "the end"
    return f"{symbols.quote(token_label(token, symbols))} ({token.id})"


def _differences(replay: Replay) -> str:
    if replay.same_numbers:
        return "the largest difference in a probability is 0"
    prob, bits = replay.largest_difference, replay.largest_difference_bits
    return f"the largest difference in a probability is {prob:.2g}, in a surprisal or entropy {bits:.2g} bits"


def _changes(replay: Replay) -> str:
    return ", ".join(f"{change.name} {change.then} then and {change.now} now" for change in replay.changes)


def rescoring_table(rescoring: Rescoring, screen: Screen) -> Iterator[Text]:
    """Two heading lines, a line for each token whose surprisals in A (the trace) and B (the other model) differ most,
    and totals.

    A narrow screen omits the text before the token, and a narrower one the ranks too.
    """
    rows, symbols = rescoring.most_different, screen.symbols

    def before(row: RescoredToken) -> str | Callable[[int], str]:
        return partial(quoted, row.before, symbols=symbols) if row.before else "(nothing)"

    columns = [
        *_places(rows),
        Column("after", 12, before, left=True, style="dim", fills=True),
        token_column(screen, least=10, most=max(8, screen.width // 5) + 2, style="bold"),
        Column("A", 8, lambda row: f"{row.surprisal_bits:.2f}"),
        Column("B", 8, lambda row: f"{row.other_surprisal_bits:.2f}"),
        Column("A", 8, lambda row: f"{row.rank:,}", drop=1),
        Column("B", 8, lambda row: f"{row.other_rank:,}", drop=1),
    ]
    table = Table(columns, screen, rows)
    ranked = any(column.drop for column in table.columns)
    groups = f"{'surprisal':>16}{'rank':>16}" if ranked else f"{'surprisal':>16}"
    yield Text(groups.rjust(table.cells), "bold")
    yield from table.lines(rows)
    yield from _totals(rescoring, screen)


def _places(rows: Sequence[RescoredToken]) -> Iterator[Column[RescoredToken]]:
    """The one or two columns that locate a token."""
    node, sample = any(row.node is not None for row in rows), any(row.sample for row in rows)
    for i, name in enumerate(["node", "position"] if node else ["sample", "position"] if sample else ["position"]):
        yield Column(name, 0, partial(_number, name), gap=min(2, 1 + i))


def _number(name: str, row: RescoredToken) -> str:
    return f"{getattr(row, name):,}"


def _totals(rescoring: Rescoring, screen: Screen) -> Iterator[Text]:
    a, b = safe_text(rescoring.checkpoint), safe_text(rescoring.other_checkpoint)
    shown = len(rescoring.most_different)
    if all(row.surprisal_bits == row.other_surprisal_bits for row in rescoring.most_different):
        which = "A and B differ at no token"
    elif shown == rescoring.tokens:
        which = "all tokens, those first at which A and B differ most"
    else:
        which = f"the {shown:,} of {quantity(rescoring.tokens, 'token')} at which A and B differ most"
    yield screen.caption(f"A {a}, from the trace", f"B {b}, on the same tokens")
    yield screen.caption(
        quantity(rescoring.tokens, "token"),
        f"A {rescoring.bits_per_token:.2f} bits per token",
        f"B {rescoring.other_bits_per_token:.2f} bits per token",
    )
    yield screen.caption(which, "surprisal in bits, of the raw softmax")
