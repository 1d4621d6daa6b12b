"""Tables of how surprising each token of a text was, and of whole files of texts or of pairs, with their totals."""

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from minigpt.render.cells import cell_len
from minigpt.render.face import Face
from minigpt.render.heat import SCALES
from minigpt.render.machine import write_csv
from minigpt.render.style import (
    STICKY,
    Screen,
    Symbols,
    fit_end,
    following,
    or_dash,
    percent,
    quantity,
    quoted,
    safe_text,
    token_label,
    visible,
)
from minigpt.render.table import Column, Listing, Table
from minigpt.render.text_page import text_section
from minigpt.sampling.records import BeamTarget, FileScore, LabelScore, PairScore, SampleEnd, StepRecord, TextScore
from minigpt.text.records import Token
from minigpt.views import probs
from minigpt.views.view import Answer

SHORTEST_NAME = 14  # cells for the name of a file


def every_token_table(records: Iterable[StepRecord], tokens: Iterable[Token], screen: Screen) -> Iterator[Text]:
    """A heading, then a line for each token of a text: surprisal, rank, entropy, and likelier tokens.

    Lines are yielded as the records arrive. `tokens`: those that will come, for the width of their column.
    """
    return Listing(
        columns=_columns(tokens, screen),
        rows=records,
        screen=screen,
        caption="Each token of the text",
        note=lambda record: "" if record.chosen else "no context: not predicted",
    ).lines()


def lists_likelier(tokens: Iterable[Token], screen: Screen) -> bool:
    """Whether the screen has room for the last column of `every_token_table`."""
    columns = _columns(tokens, screen)
    return len(Table(columns, screen).columns) == len(columns)


def _columns(tokens: Iterable[Token], screen: Screen) -> list[Column[StepRecord]]:
    symbols = screen.symbols
    widest = max((cell_len(token_label(token, symbols)) for token in tokens), default=5)
    return [
        Column[StepRecord](
            "token",
            max(5, min(widest, max(screen.width // 5, 8))) + 1,
            lambda record: token_label(record.token, symbols) if record.token else "",
            left=True,
            style=SCALES["probability"].style,
            gap=1,
        ),
        Column("surprisal", 11, lambda record: f"{record.surprisal_bits:.2f}"),
        Column("rank", 7, lambda record: f"{record.chosen.rank:,}" if record.chosen else ""),
        Column("entropy", 9, lambda record: f"{record.entropy_bits:.2f}"),
        Column(
            "most likely here",
            2 + len("other 100.0%"),
            lambda record: partial(_alternatives, record, symbols=symbols),
            left=True,
            style="dim",
            fills=True,
        ),
    ]


_FIRST = "the first token has no context and is left out"


def score_caption(score: TextScore, screen: Screen, left_out: str = _FIRST, *, lists: bool = True) -> Text:
    """The totals of a scored text, with their units, the distribution that they come from, and what is left out.

    `lists`: whether likelier tokens are shown.
    """
    if score.tokens == 0:
        return screen.caption("a single token has no context, so there is no total")
    totals = screen.caption(
        f"{score.total_nats:,.2f} nats over {quantity(score.tokens, 'token')} and {quantity(score.bytes, 'byte')}",
        "" if score.bits_per_byte is None else f"{number(score.bits_per_byte)} bits per byte",
        "" if score.perplexity is None else f"perplexity {number(score.perplexity, 2)} per token",
    )
    meaning = screen.caption(
        "surprisal and entropy in bits, of the raw softmax over the whole vocabulary",
        "at each token, shown + other = 100 %" if lists else "",
        left_out,
    )
    return Text("\n").join([totals, meaning])


def score_table(scores: Sequence[FileScore], screen: Screen) -> Iterator[Text]:
    """A heading, then a line for each score; a narrow screen has fewer columns."""
    columns: list[Column[FileScore]] = [
        file_column([score.file for score in scores], screen),
        Column("tokens", 0, lambda score: f"{score.tokens:,}", drop=3),
        Column("bytes", 0, lambda score: f"{score.bytes:,}", drop=1),
        Column("nats/token", 0, lambda score: number(score.nats_per_token), drop=4),
        Column("bits/token", 0, lambda score: number(score.bits_per_token), drop=2),
        Column("bits/byte", 0, lambda score: number(score.bits_per_byte)),
        Column("perplexity", 0, lambda score: number(score.perplexity, 2), drop=5),
    ]
    return Table(columns, screen, scores).lines(scores, style=lambda score: "" if score.file else "bold")


def file_column(files: Sequence[str | None], screen: Screen) -> Column[Any]:
    """The names of files that were measured, or `total` of them all."""
    widest = max([SHORTEST_NAME, *(cell_len(file or "total") for file in files)])
    return Column(
        "file",
        widest + 1,
        lambda score: partial(fit_end, score.file or "total", symbols=screen.symbols),
        left=True,
        least=SHORTEST_NAME + 1,
        gap=1,
    )


def number(value: float | None, decimals: int = 4) -> str:
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
        first = "first tokens follow a bos token or end-of-text"
    captions = screen.caption(counted, _windows(total)), screen.caption("perplexity is exp(nats per token)", first)
    return Text("\n").join(captions)


def _windows(total: FileScore) -> str:
    if total.context is None or total.stride is None:
        return "each document read as one stream"
    order = "scored separately" if total.stride == total.context else f"with a stride of {total.stride:,}"
    if total.rolling:
        order = "the last of each document extended back to full length"
    return f"windows of {quantity(total.context, 'token')}, {order}"


def sample_caption(end: SampleEnd, screen: Screen, trace: Path | None = None) -> Text:
    """The totals of a sample, and how to reproduce it: from its `trace`, if there is one."""
    again = f"--seed {end.seed}" if trace is None else f"--replay {safe_text(shlex.quote(str(trace)))}"
    return screen.caption(
        f"{quantity(end.tokens, 'token')}, {end.tokens_per_second:,.0f} a second",
        f"{end.bits_per_token:.2f} bits of surprise per token, {end.entropy_bits_per_token:.2f} of entropy",
        f"the top token was drawn {percent(end.top_token_share, 0)} of the time",
        f"stopped by {end.stopped_by}",
        "again: " + again.replace(" ", STICKY),
    )


def _alternatives(record: StepRecord, room: int, symbols: Symbols) -> str:
    """As many of the best candidates as fit, each with its share, and the share of all others."""
    text, rest = "", record.other.raw_prob if record.other else 0.0
    for count in range(len(record.candidates) + 1):
        listed, left = record.candidates[:count], record.candidates[count:]
        items = [(token_label(candidate, symbols), candidate.raw_prob) for candidate in listed]
        others = ("other", math.fsum([rest, *(candidate.raw_prob for candidate in left)]))
        longer = "  ".join(f"{label} {percent(share, 1).replace(' %', '%')}" for label, share in [*items, others])
        if cell_len(longer) > room:
            break
        text = longer
    return text


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    tally = answer.tally()
    if not isinstance(tally, probs.TextTally):  # the records alone, in a notebook
        tally = probs.TextTally()
    tokens = answer.facts["tokens"]
    yield from every_token_table(tally.watch(answer.records), tokens, screen)
    yield score_caption(tally.score(), screen, lists=lists_likelier(tokens, screen))


def _target_table(answer: Answer, screen: Screen) -> Iterator[Text]:
    tally = answer.tally()
    tokens = answer.facts["tokens"]
    yield from every_token_table(tally.watch(answer.records), tokens, screen)
    assert isinstance(tally, probs.TextTally)
    yield screen.caption(f"target {following(answer.text, screen.width - 12, screen.symbols)}")
    ends = "end-of-text is scored, and has no bytes"
    yield score_caption(tally.score(), screen, ends, lists=lists_likelier(tokens, screen))


# --- models of pairs

_MOST_LABEL = 24  # cells for a label


def pair_score_lines(rows: Sequence[PairScore], total: PairScore, screen: Screen) -> Iterator[Text]:
    """A heading and a line for each of `rows`, what was measured, and for labels the table of confusions."""
    yield from _pair_table(rows, screen)
    yield _pair_caption(total, screen)
    if total.labels is not None:
        yield Text()
        yield from _confusion(total.labels, screen)


def _pair_table(rows: Sequence[PairScore], screen: Screen) -> Iterator[Text]:
    columns: list[Column[PairScore]] = [
        file_column([score.file for score in rows], screen),
        Column("pairs", 0, lambda score: f"{score.pairs:,}", drop=3),
        Column("tokens", 0, lambda score: f"{score.tokens:,}", drop=1),
        Column("nats/token", 0, lambda score: number(score.nats_per_token), drop=4),
        Column("bits/byte", 0, lambda score: number(score.bits_per_byte), drop=2),
        Column("exact", 10, lambda score: or_dash(score.exact, percent)),
    ]
    if any(score.chrf is not None for score in rows):
        columns += [
            Column("chrF", 7, lambda score: number(score.chrf, 1), drop=5),
            Column("BLEU", 7, lambda score: number(score.bleu, 1), drop=6),
        ]
    if any(score.accuracy is not None for score in rows):
        columns.append(Column("accuracy", 10, lambda score: or_dash(score.accuracy, percent)))
    return Table(columns, screen, rows).lines(rows, style=lambda score: "" if score.file else "bold")


def _pair_caption(total: PairScore, screen: Screen) -> Text:
    scored = f"{quantity(total.tokens, 'token')} and {quantity(total.bytes, 'byte')} of the targets of "
    parts = [f"{scored}{quantity(total.pairs, 'pair')}", "each target's end-of-text is scored, and has no bytes"]
    parts.append("exact: the target as it stands, of greedy decoding")
    if total.chrf is not None:
        parts.append("chrF and BLEU: sacrebleu's, of the whole file, 0 to 100")
    if total.labels is not None:
        known = quantity(len(total.labels.labels), "label")
        parts.append(f"accuracy: the most probable of the {known} of training is the true one")
    return screen.caption(*parts)


def _confusion(score: LabelScore, screen: Screen) -> Iterator[Text]:
    """Rows are true labels, columns the model's answers."""
    names = [visible(label, screen.symbols) for label in score.labels]
    columns = [Column[int]("true", 0, lambda row: names[row], left=True, most=_MOST_LABEL, gap=1)]
    for at, name in enumerate(names):
        heading = name if cell_len(name) <= _MOST_LABEL else f"answer {at + 1}"
        columns.append(Column(heading, max(7, cell_len(heading) + 2), partial(_count, score, at)))
    rows = range(len(names))
    yield from Listing(columns=columns, rows=rows, screen=screen, caption="Confusion", repeats=True).lines()
    yield screen.caption("rows: the true label", "columns: the model's answer")


def _count(score: LabelScore, column: int, row: int) -> str:
    return f"{score.confusion[row][column]:,}"


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


FACES = (
    Face(
        view=probs.EVERY,
        table=_table,
        csv=lambda answer, file: write_csv(answer.records, file),
        section=lambda title, answer: text_section(title, answer.records),
    ),
    Face(
        view=probs.TARGET,
        table=_target_table,
        csv=lambda answer, file: write_csv(answer.records, file),
        section=lambda title, answer: text_section(
            title, answer.records, before=f"{answer.text} \N{RIGHTWARDS ARROW} "
        ),
    ),
)
