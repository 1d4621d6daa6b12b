"""Tables of the next token, of every token of a text, and of the scores of files."""

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.columns import PERCENT, Columns, adds_up, counted, entropy, heading, other_row, raw_shown, row
from minigpt.render.face import Face
from minigpt.render.heat import SCALES
from minigpt.render.html import Section
from minigpt.render.machine import write_csv
from minigpt.render.screen import Screen
from minigpt.render.style import Symbols, fit, fit_end, following, percent, quantity, safe_text, token_label
from minigpt.render.table import Column, fitting, headings, texts, width_of
from minigpt.render.text_page import text_section
from minigpt.sampling.records import FileScore, SampleEnd, StepRecord, TextScore
from minigpt.text.records import Token
from minigpt.views import probs
from minigpt.views.view import Answer

_SHORTEST_NAME = 14  # cells for the name of a file


def next_token_table(record: StepRecord, after: str, screen: Screen) -> Text:
    """The candidates for the next token, down to the `other` row. `after`: the preceding text."""
    symbols = screen.symbols
    labels = [token_label(candidate, symbols) for candidate in record.candidates]
    columns = Columns.fitting(labels, screen, PERCENT)
    lines = [heading(columns, ("probability", PERCENT))]
    for candidate, label in zip(record.candidates, labels, strict=True):
        line = row(record, candidate, label, columns, symbols)
        lines.append(line.append(percent(candidate.raw_prob).rjust(PERCENT)))
    other = record.other.raw_prob if record.other else 0.0
    whole = adds_up("shown", raw_shown(record), other)
    lines += other_row(record, columns, symbols, percent(other).rjust(PERCENT))
    return Text("\n").join(
        [
            *lines,
            screen.caption(f"next token {following(after, screen.width - 20, symbols)}".rstrip(), "raw softmax"),
            screen.caption(f"vocabulary {counted(record):,}", entropy(record), whole),
        ]
    )


def every_token_table(records: Iterable[StepRecord], tokens: Iterable[Token], screen: Screen) -> Iterator[Text]:
    """A heading, then a line for each token of a text: surprisal, rank, entropy, and likelier tokens.

    Lines are yielded as the records arrive. `tokens`: those that will come, for the width of their column.
    """
    widest = max((cell_len(token_label(token, screen.symbols)) for token in tokens), default=5)
    token_width = max(5, min(widest, max(screen.width // 5, 8)))
    room = screen.width - token_width - 28
    head = f" {'token':<{token_width}}  surprisal   rank  entropy"
    yield Text(head + ("  most likely here" if room > 17 else ""), "bold")
    for record in records:
        label = token_label(record.token, screen.symbols) if record.token else ""
        line = Text(" ").append(fit(label, token_width, screen.symbols), SCALES["probability"].style(record))
        chosen = record.chosen
        if chosen is None or record.surprisal_bits is None or record.entropy_bits is None:
            yield line.append("  no context: not predicted", "dim")
            continue
        line.append(f"  {record.surprisal_bits:>9.2f} {chosen.rank:>6,} {record.entropy_bits:>8.2f}")
        yield line.append(_alternatives(record, room, screen.symbols), "dim")


def score_caption(score: TextScore, screen: Screen) -> Text:
    """The totals of a scored text, with their units and the distribution that they come from."""
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


_SCORE_COLUMNS = (
    Column[FileScore]("tokens", 12, lambda score: f"{score.tokens:,}", drop=3),
    Column[FileScore]("bytes", 13, lambda score: f"{score.bytes:,}", drop=1),
    Column[FileScore]("nats/token", 12, lambda score: _number(score.nats_per_token), drop=4),
    Column[FileScore]("bits/token", 12, lambda score: _number(score.bits_per_token), drop=2),
    Column[FileScore]("bits/byte", 11, lambda score: _number(score.bits_per_byte)),
    Column[FileScore]("perplexity", 12, lambda score: _number(score.perplexity, 2), drop=5),
)


def score_table(scores: Sequence[FileScore], screen: Screen) -> Iterator[Text]:
    """A heading, then a line for each score; a narrow screen has fewer columns."""
    longest = max([_SHORTEST_NAME, *(cell_len(score.file or "total") for score in scores)])
    columns = fitting(_SCORE_COLUMNS, screen.width - 1 - _SHORTEST_NAME)
    width = min(longest, screen.width - 1 - width_of(columns))
    yield Text(f" {'file':<{width}}{headings(columns)}", "bold")
    for score in scores:
        label = fit_end(score.file or "total", width, screen.symbols)
        yield Text(f" {label}{texts(columns, score)}", "" if score.file else "bold")


def _number(value: float | None, decimals: int = 4) -> str:
    """The number, or `-` if there is none."""
    if value is None:
        return "-"
    return f"{value:,.{decimals}f}" if value < 1e6 else f"{value:.3g}"


def file_score_caption(total: FileScore, screen: Screen) -> Text:
    """What was scored, in which windows, and what the numbers mean."""
    documents = quantity(total.documents, "document")
    counted = f"{quantity(total.tokens, 'token')} and {quantity(total.bytes, 'byte')} scored in {documents}"
    first = "the first token of each document has no context and is left out"
    if total.rolling:
        first = "first tokens follow end-of-text"
    return Text("\n").join(
        [
            screen.caption(counted, _seen_through(total)),
            screen.caption("perplexity is exp(nats per token)", first),
        ]
    )


def _seen_through(total: FileScore) -> str:
    if total.context is None or total.stride is None:
        return "each document read as one stream"
    alone = "without sight of each other" if total.stride == total.context else f"moving on by {total.stride:,}"
    if total.rolling:
        alone = "the last of a document reaching back until it is full"
    return f"windows of {quantity(total.context, 'token')}, {alone}"


def sample_caption(end: SampleEnd, screen: Screen, trace: Path | None = None) -> Text:
    """The totals of a sample, and how to reproduce it: from its `trace`, if there is one."""
    again = f"--seed {end.seed}" if trace is None else f"--replay {safe_text(shlex.quote(str(trace)))}"
    return screen.caption(
        f"{quantity(end.tokens, 'token')}, {end.tokens_per_second:,.0f} a second",
        f"{end.bits_per_token:.2f} bits of surprise per token, {end.entropy_bits_per_token:.2f} of entropy",
        f"the top token was drawn {percent(end.top_token_share, 0)} of the time",
        f"stopped by {end.stopped_by}",
        f"again: {again}",
    )


def _alternatives(record: StepRecord, room: int, symbols: Symbols) -> str:
    """As many of the best candidates as fit, each with its share, and the share of all others."""
    text, rest = "", record.other.raw_prob if record.other else 0.0
    for count in range(len(record.candidates) + 1):
        listed, left = record.candidates[:count], record.candidates[count:]
        items = [(token_label(candidate, symbols), candidate.raw_prob) for candidate in listed]
        others = ("other", math.fsum([rest, *(candidate.raw_prob for candidate in left)]))
        longer = "".join(f"  {label} {re.sub(' %$', '%', percent(share, 1))}" for label, share in [*items, others])
        if cell_len(longer) > room:
            break
        text = longer
    return text


def _next_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return (next_token_table(record, answer.text, screen) for record in answer.records)


def _every_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    tally = probs.TextTally()
    yield from every_token_table(tally.watch(answer.records), answer.facts["tokens"], screen)
    yield score_caption(tally.score(), screen)


def _csv(answer: Answer, file: TextIO) -> None:
    write_csv(answer.records, file)


def _next_section(title: str, answer: Answer) -> Section:
    return text_section(title, answer.records, before=answer.text)


def _every_section(title: str, answer: Answer) -> Section:
    return text_section(title, answer.records)


FACES = (
    Face(view=probs.NEXT, table=_next_table, csv=_csv, section=_next_section),
    Face(view=probs.EVERY, table=_every_table, csv=_csv, section=_every_section),
)
