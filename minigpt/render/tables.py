"""A record in; a table of it for a terminal out, as rich Text of a given width."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from minigpt.records import Candidate, FileScore, Other, SampleEnd, Stage, StepRecord, TextScore, Token
from minigpt.render.style import (
    UNICODE,
    Symbols,
    bar,
    fit,
    fit_end,
    percent,
    quantity,
    quoted,
    symbols_for,
    token_label,
)

WIDEST = 100  # columns; longer bars say no more
_SHORTEST_BAR = 4
_PERCENT = 9  # cells for `100.00 %` and a gap
_STICKY = "\u00a0"  # keeps what stands on both sides on one line
_DRAWN = 14  # cells for `cut by min-p` and a gap
_SHORTEST_NAME = 14  # cells for the name of a file


@dataclass(frozen=True)
class Screen:
    """How wide a table may be and with which signs it is drawn."""

    width: int = 80
    symbols: Symbols = UNICODE

    @classmethod
    def of(cls, console: Console) -> "Screen":
        return cls(min(console.width, WIDEST), symbols_for(console.encoding))

    def caption(self, *parts: str) -> Text:
        """Parts with dots between them, a space before each line, broken between words."""
        rows = [""]
        joined = f"{_STICKY}{self.symbols.dot} ".join(part for part in parts if part)
        for word in re.sub(r"(?<=\d) (?=[%kMG])", _STICKY, joined).split(" "):
            if rows[-1] and cell_len(f" {rows[-1]} {word}") > self.width:
                rows.append(word)
            else:
                rows[-1] = f"{rows[-1]} {word}" if rows[-1] else word
        return Text("\n".join(f" {row}" for row in rows).replace(_STICKY, " "), "dim")


@dataclass(frozen=True)
class _Columns:
    """Cells of `mark rank  token  bar  numbers`. The bar takes what is left, and goes where that is under 4."""

    token: int
    bar: int

    @classmethod
    def fitting(cls, labels: Iterable[str], screen: Screen, numbers: int) -> "_Columns":
        room = screen.width - 7 - numbers  # mark and rank take 5, the gap behind them 2
        token = max(5, min(max(map(cell_len, labels), default=5), max(screen.width // 4, 8), room))
        rest = room - token - 2
        return cls(token, rest) if rest >= _SHORTEST_BAR else cls(max(5, room), 0)

    @property
    def both(self) -> int:
        """Token and bar together, the room of the `other` row's words."""
        return self.token + (self.bar + 2 if self.bar else 0)


def next_token_table(record: StepRecord, after: str, screen: Screen) -> Text:
    """What may come next, down to the `other` row. `after`: the text that stands before."""
    symbols = screen.symbols
    labels = [token_label(candidate, symbols) for candidate in record.candidates]
    columns = _Columns.fitting(labels, screen, _PERCENT)
    lines = [_heading(columns, "probability".rjust(_PERCENT + 1))]
    for candidate, label in zip(record.candidates, labels, strict=True):
        line = _row(record, candidate, label, columns, symbols)
        lines.append(line.append(percent(candidate.raw_prob).rjust(_PERCENT)))
    other = record.other.raw_prob if record.other else 0.0
    lines += _other_row(record, columns, symbols, percent(other).rjust(_PERCENT))
    return Text("\n").join(
        [
            *lines,
            screen.caption(f"next token after {quoted(after, screen.width - 20, symbols)}", "raw softmax"),
            screen.caption(_vocabulary(record), _entropy(record), _sum("shown", _raw_shown(record), other)),
        ]
    )


def step_table(record: StepRecord, screen: Screen) -> Text:
    """One step of sampling: the raw probability, the one that the token was drawn from, and what cut the others."""
    symbols = screen.symbols
    labels = [token_label(candidate, symbols) for candidate in record.candidates]
    columns = _Columns.fitting(labels, screen, _PERCENT + _DRAWN)
    lines = [_heading(columns, "raw".rjust(_PERCENT), "drawn from".rjust(_DRAWN))]
    for candidate, label in zip(record.candidates, labels, strict=True):
        line = _row(record, candidate, label, columns, symbols)
        style = "dim" if candidate.cut_by else ""
        line.append(percent(candidate.raw_prob).rjust(_PERCENT), style)
        lines.append(line.append(_drawn(candidate).rjust(_DRAWN), style))
    raw, prob = (record.other.raw_prob, record.other.prob) if record.other else (0.0, 0.0)
    drawn = percent(prob) if prob else "all cut"
    lines += _other_row(record, columns, symbols, percent(raw).rjust(_PERCENT) + drawn.rjust(_DRAWN))
    return Text("\n").join(
        [
            *lines,
            screen.caption(_stages(record.stages, symbols)),
            screen.caption(
                _sum("raw softmax: shown", _raw_shown(record), raw),
                _sum("drawn from: shown", math.fsum(c.prob for c in record.candidates), prob),
                _entropy(record),
            ),
        ]
    )


def fewer_candidates(record: StepRecord, count: int) -> StepRecord:
    """`record` with its `count` best candidates and the chosen token; the rest is added to `other`."""
    chosen = record.token.id if record.token else None
    kept = tuple(c for i, c in enumerate(record.candidates) if i < count or c.id == chosen)
    dropped = [c for c in record.candidates if c not in kept]
    other = record.other or Other(count=0, raw_prob=0.0, prob=0.0)
    other = Other(
        count=other.count + len(dropped),
        raw_prob=math.fsum([other.raw_prob, *(c.raw_prob for c in dropped)]),
        prob=math.fsum([other.prob, *(c.prob for c in dropped)]),
    )
    return replace(record, candidates=kept, other=other)


def every_token_table(records: Iterable[StepRecord], tokens: Iterable[Token], screen: Screen) -> Iterator[Text]:
    """A heading, then a line for each token of a text: surprisal, rank, the entropy there, and what was likelier.

    Lines come as the records do. `tokens`: those that will come, for the width of their column.
    """
    widest = max((cell_len(token_label(token, screen.symbols)) for token in tokens), default=5)
    token_width = max(5, min(widest, max(screen.width // 5, 8)))
    room = screen.width - token_width - 28
    head = f" {'token':<{token_width}}  surprisal   rank  entropy"
    yield Text(head + ("  most likely here" if room > 17 else ""), "bold")
    for record in records:
        label = token_label(record.token, screen.symbols) if record.token else ""
        line = Text(" ").append(fit(label, token_width, screen.symbols), _heat(record.surprisal_bits))
        chosen = record.chosen
        if chosen is None or record.surprisal_bits is None or record.entropy_bits is None:
            yield line.append("  no context: not predicted", "dim")
            continue
        line.append(f"  {record.surprisal_bits:>9.2f} {chosen.rank:>6,} {record.entropy_bits:>8.2f}")
        yield line.append(_alternatives(record, room, screen.symbols), "dim")


def score_caption(score: TextScore, screen: Screen) -> Text:
    """The totals of a scored text, each with its unit, and which distribution they come from."""
    if score.perplexity is None or score.bits_per_byte is None:
        return screen.caption("a single token is predicted by nothing: there is no total")
    totals = screen.caption(
        f"{score.total_nats:,.2f} nats over {quantity(score.tokens, 'token')} and {quantity(score.bytes, 'byte')}",
        f"{score.bits_per_byte:.4f} bits per byte",
        f"perplexity {score.perplexity:,.2f} per token",
    )
    meaning = screen.caption(
        "surprisal and entropy in bits, of the raw softmax over the whole vocabulary",
        "at each token, shown + other = 100 %",
        "the first token has no context and is left out",
    )
    return Text("\n").join([totals, meaning])


_SCORE_COLUMNS: tuple[tuple[str, int, Callable[[FileScore], str]], ...] = (  # name, cells with a gap, number
    ("tokens", 12, lambda score: f"{score.tokens:,}"),
    ("bytes", 13, lambda score: f"{score.bytes:,}"),
    ("nats/token", 12, lambda score: _number(score.nats_per_token)),
    ("bits/token", 12, lambda score: _number(score.bits_per_token)),
    ("bits/byte", 11, lambda score: _number(score.bits_per_byte)),
    ("perplexity", 12, lambda score: _number(score.perplexity, 2)),
)
_FIRST_TO_GO = ("bytes", "bits/token", "tokens", "nats/token", "perplexity")  # where the screen is too narrow


def score_table(scores: Sequence[FileScore], screen: Screen) -> Iterator[Text]:
    """A heading, then a line for each score; a narrow screen has fewer columns."""
    longest = max([_SHORTEST_NAME, *(cell_len(score.file or "total") for score in scores)])
    columns = list(_SCORE_COLUMNS)
    for gone in _FIRST_TO_GO:
        room = screen.width - 1 - sum(cells for _, cells, _ in columns)
        if room < _SHORTEST_NAME:
            columns = [column for column in columns if column[0] != gone]
    width = min(longest, screen.width - 1 - sum(cells for _, cells, _ in columns))
    yield Text(f" {'file':<{width}}" + "".join(name.rjust(cells) for name, cells, _ in columns), "bold")
    for score in scores:
        label = fit_end(score.file or "total", width, screen.symbols)
        numbers = "".join(number(score).rjust(cells) for _, cells, number in columns)
        yield Text(f" {label}{numbers}", "" if score.file else "bold")


def _number(value: float | None, decimals: int = 4) -> str:
    """`-` where there is none."""
    if value is None:
        return "-"
    return f"{value:,.{decimals}f}" if value < 1e6 else f"{value:.3g}"


def file_score_caption(total: FileScore, screen: Screen) -> Text:
    """What was scored, in which windows, and what the numbers mean."""
    documents = quantity(total.documents, "document")
    counted = f"{quantity(total.tokens, 'token')} and {quantity(total.bytes, 'byte')} scored in {documents}"
    alone = "without sight of each other" if total.stride == total.context else f"moving on by {total.stride:,}"
    return Text("\n").join(
        [
            screen.caption(counted, f"windows of {quantity(total.context, 'token')}, {alone}"),
            screen.caption(
                "perplexity is exp(nats per token)",
                "the first token of each document has no context and is left out",
            ),
        ]
    )


def sample_caption(end: SampleEnd, screen: Screen) -> Text:
    """How a sample went, and how to make it again."""
    return screen.caption(
        f"{quantity(end.tokens, 'token')}, {end.tokens_per_second:,.0f} a second",
        f"{end.bits_per_token:.2f} bits of surprise per token",
        f"the top token was drawn {percent(end.top_token_share, 0)} of the time",
        f"stopped by {end.stopped_by}",
        f"again: --seed {end.seed}",
    )


def _heading(columns: _Columns, *numbers: str) -> Text:
    """The numbers' names stand over their right edge; a name may reach into the bar's room."""
    line, width = " rank  token", 7 + columns.both + sum(_CELLS[name.strip()] for name in numbers)
    right = "".join(numbers)
    return Text(line + right.rjust(max(width - len(line), len(right) + 1)), "bold")


_CELLS = {"probability": _PERCENT, "raw": _PERCENT, "drawn from": _DRAWN}


def _row(record: StepRecord, candidate: Candidate, label: str, columns: _Columns, symbols: Symbols) -> Text:
    """Mark, rank, token and bar of one candidate."""
    chosen = record.token is not None and candidate.id == record.token.id
    cut = candidate.cut_by is not None
    rank = f"{candidate.rank:>4,}" if candidate.rank < 10_000 else f"{candidate.rank:>4}"
    line = Text(symbols.chosen if chosen else " ", "bold green")
    line.append(f"{rank}  ", "dim" if cut else "")
    line.append(fit(label, columns.token, symbols), "bold green" if chosen else "dim" if cut else "")
    if columns.bar:
        share = candidate.raw_prob / record.candidates[0].raw_prob
        line.append("  " + bar(share, columns.bar, symbols, hollow=cut), "dim" if cut else "cyan")
    return line


def _other_row(record: StepRecord, columns: _Columns, symbols: Symbols, numbers: str) -> list[Text]:
    """The row of everything that is not listed; left out only where everything is."""
    if record.other is None or record.other.count == 0:
        return []
    label = f"other ({quantity(record.other.count, 'token')})"
    indent = 7
    if len(label) > columns.both:  # it has no rank, so it may begin there
        label, indent = f"other {record.other.count:,}", 2
    return [Text(" " * indent + fit(label, 7 - indent + columns.both, symbols) + numbers, "dim")]


def _drawn(candidate: Candidate) -> str:
    return f"cut by {_SHORT.get(candidate.cut_by, candidate.cut_by)}" if candidate.cut_by else percent(candidate.prob)


_SHORT = {"temperature": "temp."}


def _stages(stages: Sequence[Stage], symbols: Symbols) -> str:
    if not stages:
        return "drawn from the raw softmax: no temperature, nothing cut"
    return f" {symbols.arrow} ".join(map(_stage, stages))


def _stage(stage: Stage) -> str:
    cuts = stage.name in ("top-k", "top-p", "min-p") or (stage.name == "temperature" and stage.value == 0)
    left = f": {stage.kept:,} left, {percent(stage.mass)} of the raw mass" if cuts else ""
    return f"{stage.name} {stage.value:g}{left}"


def _vocabulary(record: StepRecord) -> str:
    return f"vocabulary {len(record.candidates) + (record.other.count if record.other else 0):,}"


def _entropy(record: StepRecord) -> str:
    return "" if record.entropy_bits is None else f"entropy {record.entropy_bits:.2f} bits"


def _raw_shown(record: StepRecord) -> float:
    return math.fsum(candidate.raw_prob for candidate in record.candidates)


def _sum(name: str, shown: float, other: float) -> str:
    """`shown` is added up from the rows, so that the total is a result and not a promise."""
    return f"{name} {percent(shown)} + other {percent(other)} = {100 * (shown + other):.8g} %"


def _alternatives(record: StepRecord, room: int, symbols: Symbols) -> str:
    """As many of the best candidates as fit, each with its share."""
    text = ""
    for candidate in record.candidates:
        label = token_label(candidate, symbols)
        item = f"  {label} {re.sub(' %$', '%', percent(candidate.raw_prob, 1))}"
        if cell_len(text + item) > room:
            break
        text += item
    return text


def _heat(surprisal_bits: float | None) -> str:
    """Green for what was expected, red for what was not."""
    if surprisal_bits is None:
        return "dim"
    steps = ((1.0, "green"), (3.0, "cyan"), (6.0, "yellow"), (9.0, "magenta"))
    return next((style for limit, style in steps if surprisal_bits < limit), "red")
