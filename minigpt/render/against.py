"""Two models side by side: what each predicts next, or what a text costs each of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.text import Text

from minigpt.render.candidates import Side, adds_up, question, side_by_side
from minigpt.render.cells import cell_len
from minigpt.render.face import Face, each
from minigpt.render.style import Screen, Symbols, fit_end, or_dash, percent, quantity, safe_text, token_label
from minigpt.render.table import Column, Listing, Part
from minigpt.text.records import Token
from minigpt.views import against
from minigpt.views.against import ComparedNext, ComparedSpan, ComparedTally, ComparedText
from minigpt.views.view import Answer


def compared_next_table(record: ComparedNext, after: str, names: tuple[str, str], screen: Screen) -> Iterator[Part]:
    """Both models' probabilities of the most likely tokens of either. `names`: of the two models."""
    sides = Side(names[0], "", record.rest_raw_prob), Side(names[1], "other_", record.rest_other_raw_prob)
    caption = "The likeliest next tokens of either model"
    yield side_by_side(record.tokens, sides, record.rest, screen, caption=caption)
    yield from _next_captions(record, after, names, screen)


def _next_captions(record: ComparedNext, after: str, names: tuple[str, str], screen: Screen) -> Iterator[Text]:
    symbols, shown = screen.symbols, math.fsum(token.raw_prob for token in record.tokens)
    other_shown = math.fsum(token.other_raw_prob for token in record.tokens)
    apart = [token for token in record.moved if token.raw_prob != token.other_raw_prob]
    moved = ", ".join(
        f"{token_label(token, symbols)} {percent(token.raw_prob)} {symbols.arrow} {percent(token.other_raw_prob)}"
        for token in apart
    )
    others = len(record.tokens) + record.rest - len(apart)
    less = f"; {quantity(others, 'other token')} by less" if others else ""
    yield screen.caption(
        question(after, screen),
        "raw softmax",
        adds_up(f"{names[0]}: shown", shown, record.rest_raw_prob),
        adds_up(f"{names[1]}: shown", other_shown, record.rest_other_raw_prob),
    )
    yield screen.caption(
        f"entropy {record.entropy_bits:.2f} and {record.other_entropy_bits:.2f} bits",
        f"divergence {record.divergence_bits:.3f} bits of the second from the first, "
        f"{record.other_divergence_bits:.3f} of the first from the second",
    )
    if moved:
        yield screen.caption(f"moved most: {moved}{less}")


def compared_text_table(spans: Iterable[ComparedSpan], names: tuple[str, str], screen: Screen) -> Listing[ComparedSpan]:
    """A row for each stretch, as its record arrives: its surprisal in each model, and the difference."""
    symbols = screen.symbols
    first, second = (fit_end(name, min(cell_len(name), 9), symbols) for name in names)
    columns = [
        Column[ComparedSpan]("text", 21, lambda span: _label(span.tokens, symbols), left=True, least=13, gap=1),
        Column(first, 11, lambda span: f"{span.surprisal_bits:.2f}", title=f"{names[0]}, bits"),
        Column(second, 11, lambda span: f"{span.other_surprisal_bits:.2f}", title=f"{names[1]}, bits"),
        Column("second", 10, lambda span: f"{_change(span):+.2f}", style=_change_style, title="second costs more"),
        Column(
            "diverg.",
            9,
            lambda span: or_dash(span.divergence_bits, "{:.2f}".format),
            style="dim",
            drop=1,
            title="divergence",
        ),
    ]
    return Listing(
        columns=columns, rows=spans, screen=screen, caption="Each stretch of the text, and what it costs", note=_note
    )


def _note(span: ComparedSpan) -> str:
    unknown = span.surprisal_bits is None or span.other_surprisal_bits is None
    return "no context: not predicted" if unknown else ""


def _change(span: ComparedSpan) -> float:
    return (span.other_surprisal_bits or 0.0) - (span.surprisal_bits or 0.0)


def _change_style(span: ComparedSpan) -> str:
    change = _change(span)
    return "red" if change > 1 else "green" if change < -1 else ""


def _label(tokens: Sequence[Token], symbols: Symbols) -> str:
    return "|".join(token_label(token, symbols) for token in tokens)


def compared_text_caption(total: ComparedText, names: tuple[str, str], screen: Screen) -> Iterator[Text]:
    """The loss of both models on the whole text."""
    if total.bits_per_byte is None or total.other_bits_per_byte is None:
        yield screen.caption("nothing in this text has a context in both models: there is no total")
        return
    first, second = f"{total.bits_per_byte:.4f}", f"{total.other_bits_per_byte:.4f}"
    better = names[0] if total.bits_per_byte < total.other_bits_per_byte else names[1]
    mean = total.divergence_bits_per_token
    yield screen.caption(
        f"{names[0]}: {first} bits per byte, in {quantity(total.tokens, 'token')}",
        f"{names[1]}: {second}, in {quantity(total.other_tokens, 'token')}",
        f"over the same {quantity(total.bytes, 'byte')}",
        "the two are level" if first == second else f"{better} is better",
    )
    yield screen.caption(
        "surprisal in bits, of the raw softmax",
        "second: what the second costs more",
        "different vocabularies: compared where both end a token, so their distributions are not"
        if mean is None
        else f"divergence of the second from the first, {mean:.3f} bits on average",
    )


def _text_table(answer: Answer, screen: Screen) -> Iterator[Part]:
    tally, names = ComparedTally(), _names(answer)
    yield compared_text_table(tally.watch(answer.records), names, screen)
    yield from compared_text_caption(tally.totals(), names, screen)


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


FACES = (
    Face(
        view=against.NEXT,
        table=each(lambda record, answer, screen: compared_next_table(record, answer.text, _names(answer), screen)),
    ),
    Face(view=against.EVERY, table=_text_table),
)
