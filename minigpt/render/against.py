"""Two models side by side: what each predicts next, or what a text costs each of them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.columns import PERCENT
from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, bar, fit, fit_end, following, percent, quantity, safe_text, token_label
from minigpt.text.records import Token
from minigpt.views import against
from minigpt.views.against import ComparedNext, ComparedSpan, ComparedTally, ComparedText, ComparedToken
from minigpt.views.view import Answer

_SHORTEST_BAR = 4
_SHORTEST_OTHER = 12  # cells for `other 50,257`
_WITH_DIVERGENCE = 54  # columns


def compared_next_table(record: ComparedNext, after: str, names: tuple[str, str], screen: Screen) -> Text:
    """Both models' probabilities of the most likely tokens of either. `names`: of the two models."""
    symbols = screen.symbols
    labels = [token_label(token, symbols) for token in record.tokens]
    width = max(5, min(max(map(cell_len, labels), default=5), screen.width // 5))
    side = (screen.width - width - 1) // 2
    ranks = max(len(_rank(rank)) for token in record.tokens for rank in (token.rank, token.other_rank)) + 1
    if side < PERCENT + ranks or width + side < PERCENT + ranks + _SHORTEST_OTHER:
        ranks = 0  # there is no room for them
    most = max((max(t.raw_prob, t.other_raw_prob) for t in record.tokens), default=1.0) or 1.0
    heads = [fit_end(name, min(cell_len(name), side - 2), symbols) for name in names]
    lines = [Text(f" {'token':<{width}}" + "".join(" " * (side - cell_len(head)) + head for head in heads), "bold")]
    for token, label in zip(record.tokens, labels, strict=True):
        line = Text(f" {fit(label, width, symbols)}")
        for share, rank in ((token.raw_prob, token.rank), (token.other_raw_prob, token.other_rank)):
            line.append_text(_side(share, _rank(rank).rjust(ranks) if ranks else "", share / most, side, symbols))
        lines.append(line)
    if record.rest:
        first, second = (f"{percent(p)}{' ' * ranks}" for p in (record.rest_raw_prob, record.rest_other_raw_prob))
        room = width + side - len(first)
        long = f"other ({quantity(record.rest, 'token')})"
        label = fit(long if len(long) < room else f"other {record.rest:,}", room, symbols)
        lines.append(Text(f" {label}{first}{second.rjust(side)}".rstrip(), "dim"))
    return Text("\n").join([*lines, *_next_captions(record, after, names, screen)])


def _side(share: float, rank: str, height: float, cells: int, symbols: Symbols) -> Text:
    room = cells - PERCENT - len(rank) - 2
    drawn = bar(height, room, symbols) if room >= _SHORTEST_BAR else ""
    text = Text("  ").append(drawn, "cyan") if drawn else Text()
    return text.append(f"{percent(share).rjust(PERCENT)}{rank}".rjust(cells - cell_len(text.plain)))


def _rank(rank: int) -> str:
    return f"#{rank}"


def _next_captions(record: ComparedNext, after: str, names: tuple[str, str], screen: Screen) -> list[Text]:
    sums = []
    for name, shares, rest in (
        (names[0], [token.raw_prob for token in record.tokens], record.rest_raw_prob),
        (names[1], [token.other_raw_prob for token in record.tokens], record.rest_other_raw_prob),
    ):
        sums.append(
            f"{name}: shown {percent(sum(shares))} + other {percent(rest)} = {100 * (sum(shares) + rest):.8g} %"
        )
    apart = [token for token in record.moved if token.raw_prob != token.other_raw_prob]
    moved = ", ".join(_moved(token, screen.symbols) for token in apart)
    return [
        screen.caption(
            f"next token {following(after, screen.width - 20, screen.symbols)}".rstrip(), "raw softmax", *sums
        ),
        screen.caption(
            f"entropy {record.entropy_bits:.2f} and {record.other_entropy_bits:.2f} bits",
            f"divergence {record.divergence_bits:.3f} bits of the second from the first, "
            f"{record.other_divergence_bits:.3f} of the first from the second",
        ),
        screen.caption(f"moved most: {moved}{_others(len(record.tokens) + record.rest - len(apart))}")
        if moved
        else Text(),
    ]


def _others(count: int) -> str:
    return f"; {quantity(count, 'other token')} by less" if count else ""


def _moved(token: ComparedToken, symbols: Symbols) -> str:
    label = token_label(token, symbols)
    return f"{label} {percent(token.raw_prob)} {symbols.arrow} {percent(token.other_raw_prob)}"


def compared_text_table(
    spans: Iterable[ComparedSpan], names: tuple[str, str], screen: Screen, *, label_width: int = 20
) -> Iterator[Text]:
    """A heading, then a line for each stretch: its surprisal in each model, and the difference.

    Lines are yielded as their records arrive.
    """
    wide = screen.width >= _WITH_DIVERGENCE
    width = max(7, min(label_width, screen.width - (42 if wide else 33)))
    heads = "".join(fit_end(name, min(cell_len(name), 9), screen.symbols).rjust(11) for name in names)
    yield Text(f" {'text':<{width}}{heads}{'second':>10}{'diverg.' if wide else '':>{9 * wide}}", "bold")
    for span in spans:
        line = Text(f" {fit(_label(span.tokens, screen.symbols), width, screen.symbols)}")
        if span.surprisal_bits is None or span.other_surprisal_bits is None:
            yield line.append("  no context: not predicted", "dim")
            continue
        change = span.other_surprisal_bits - span.surprisal_bits
        line.append(f"{span.surprisal_bits:11.2f}{span.other_surprisal_bits:11.2f}")
        line.append(f"{change:+10.2f}", "red" if change > 1 else "green" if change < -1 else "")
        divergence = "-" if span.divergence_bits is None else f"{span.divergence_bits:.2f}"
        yield line.append(divergence.rjust(9) if wide else "", "dim")


def _label(tokens: Sequence[Token], symbols: Symbols) -> str:
    return "|".join(token_label(token, symbols) for token in tokens)


def compared_text_caption(total: ComparedText, names: tuple[str, str], screen: Screen) -> Text:
    """The loss of both models on the whole text."""
    if total.bits_per_byte is None or total.other_bits_per_byte is None:
        return screen.caption("nothing in this text has a context in both models: there is no total")
    first, second = f"{total.bits_per_byte:.4f}", f"{total.other_bits_per_byte:.4f}"
    better = names[0] if total.bits_per_byte < total.other_bits_per_byte else names[1]
    mean = total.divergence_bits_per_token
    return Text("\n").join(
        [
            screen.caption(
                f"{names[0]}: {first} bits per byte, in {quantity(total.tokens, 'token')}",
                f"{names[1]}: {second}, in {quantity(total.other_tokens, 'token')}",
                f"over the same {quantity(total.bytes, 'byte')}",
                "the two are level" if first == second else f"{better} is better",
            ),
            screen.caption(
                "surprisal in bits, of the raw softmax",
                "second: what the second costs more",
                f"divergence of the second from the first, {mean:.3f} bits on average" if mean is not None else
                "different vocabularies: compared where both end a token, so their distributions are not",
            ),
        ]
    )  # fmt: skip


def _next_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return (compared_next_table(record, answer.text, _names(answer), screen) for record in answer.records)


def _text_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    tally, names = ComparedTally(), _names(answer)
    yield from compared_text_table(tally.watch(answer.records), names, screen)
    yield compared_text_caption(tally.totals(), names, screen)


def _names(answer: Answer) -> tuple[str, str]:
    """The names of the checkpoints, as a table shows them."""
    if "paths" not in answer.facts:
        return "first", "second"
    short = [safe_text(_name(path.resolve())) for path in answer.facts["paths"]]
    if short[0] == short[1]:
        short = [f"{name} ({number})" for number, name in enumerate(short, 1)]
    return short[0], short[1]


def _name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name}" if path.parent.name == "snapshots" else path.name


FACES = (Face(view=against.NEXT, table=_next_table), Face(view=against.EVERY, table=_text_table))
