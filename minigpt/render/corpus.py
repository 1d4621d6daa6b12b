"""What a corpus says about a text: a table beside the model's list, or the text with its verbatim spans."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from rich.text import Text

from minigpt.render.candidates import (
    PERCENT,
    adds_up,
    candidate_columns,
    counted,
    entropy,
    other_names,
    question,
    raw_shown,
)
from minigpt.render.cells import cell_len
from minigpt.render.face import Face, each
from minigpt.render.style import (
    Screen,
    Symbols,
    fit,
    fit_end,
    or_dash,
    percent,
    quantity,
    quoted,
    safe_text,
    token_label,
    visible,
)
from minigpt.render.table import Column, Listing, Part, Table, bar_column
from minigpt.text.records import CorpusText
from minigpt.views import corpus
from minigpt.views.corpus import CorpusCandidate, CorpusStep, CorpusSuffix, VerbatimReport, VerbatimSpan

VERBATIM = "underline"  # how a verbatim span looks
_SUFFIXES = 8  # rows of the list of suffixes; the middle of a longer one is left out


def corpus_table(record: CorpusStep, after: str, screen: Screen) -> Iterator[Part]:
    """The model's list beside the corpus's shares and counts, then how both change as the suffix grows."""
    yield _candidates(record, screen)
    whole = adds_up("model: shown", raw_shown(record), record.other.raw_prob)
    yield screen.caption(question(after, screen), f"vocabulary {counted(record):,}", entropy(record), whole)
    yield _corpus_caption(record, screen)
    if record.suffixes:
        yield Text()
        yield from _suffixes(record, screen)


# --- the list of candidates


def _candidates(record: CorpusStep, screen: Screen) -> Listing[Any]:
    other = record.other
    most = max([other.corpus_count, *(candidate.corpus_count for candidate in record.candidates)])
    longest = max(max(candidate.raw_prob, candidate.corpus_share or 0.0) for candidate in record.candidates)
    other_share = or_dash(other.corpus_share, percent)
    columns = [
        *candidate_columns(record, screen, longest=longest),
        Column[Any]("model", PERCENT, lambda c: percent(c.raw_prob), feet=(percent(other.raw_prob),)),
        bar_column(screen, lambda c: (c.corpus_share or 0.0) / longest, cells=8, style="magenta"),
        Column("corpus", PERCENT, lambda c: or_dash(c.corpus_share, percent), style=_faint, feet=(other_share,)),
        Column(
            "times",
            max(7, 2 + len(f"{most:,}")),
            lambda c: f"{c.corpus_count:,}",
            style=_faint,
            feet=(f"{other.corpus_count:,}",),
        ),
    ]
    return Listing(
        columns=columns,
        rows=record.candidates,
        screen=screen,
        caption="What the model expects, and what follows in the corpus",
        feet=(other_names(other.count),),
    )


def _faint(candidate: CorpusCandidate) -> str:
    return "" if candidate.corpus_count else "dim"


def _corpus_caption(record: CorpusStep, screen: Screen) -> Text:
    where, suffix = corpus_name(record.corpus), record.suffix
    if suffix is None:
        missing = "nothing follows the last token" if record.suffixes else "the last token does not occur"
        return screen.caption(f"corpus: {missing} in {where}: nothing to compare with")
    shown = math.fsum(candidate.corpus_share or 0.0 for candidate in record.candidates)
    end = f"its end {_quoted(suffix, screen)}, {quantity(suffix.tokens, 'token')}, occurs {_times(suffix.occurrences)}"
    follow = "follows" if suffix.next_tokens == 1 else "follow"
    return screen.caption(
        f"corpus: {end} in {where}",
        f"{quantity(suffix.next_tokens, 'different token')} {follow}",
        adds_up("shown", shown, record.other.corpus_share or 0.0),
    )


def corpus_name(corpus: CorpusText) -> str:
    """`the training text of checkpoints/demo (188,675 tokens, validation left out)`."""
    left_out = ", validation left out" if corpus.part == "training text" else ""
    return f"the {corpus.part} of {corpus.name} ({quantity(corpus.tokens, 'token')}{left_out})"


def _times(count: int) -> str:
    """`once`, `25 times`."""
    return "once" if count == 1 else f"{count:,} times"


def _quoted(suffix: CorpusSuffix | VerbatimSpan, screen: Screen) -> str:
    return quoted(_characters(suffix), max(12, screen.width // 2), screen.symbols)


def _characters(suffix: CorpusSuffix | VerbatimSpan) -> str:
    r"""Its text; bytes that are not whole characters, such as half of one at the start, as \xe2."""
    return suffix.text if suffix.text is not None else bytes.fromhex(suffix.bytes).decode("utf-8", "backslashreplace")


# --- the list of suffixes


def _suffixes(record: CorpusStep, screen: Screen) -> Iterator[Part]:
    """A line for each suffix, with what follows it most often."""
    symbols = screen.symbols

    def mark(suffix: CorpusSuffix | None) -> str:
        return symbols.chosen if suffix and suffix is record.suffix else " "

    def style(suffix: CorpusSuffix | None) -> str:
        return "bold green" if suffix and suffix is record.suffix else ""

    def end(suffix: CorpusSuffix) -> partial[str]:
        return partial(fit_end, visible(_characters(suffix), symbols), symbols=symbols)

    columns = [
        Column[CorpusSuffix]("", 1, mark, style=style),
        Column("last tokens", screen.width, end, left=True, least=12, style=style, gap=1),
        Column("times", 12, lambda suffix: f"{suffix.occurrences:,}"),
        Column("followed by", 14, lambda suffix: quantity(suffix.next_tokens, "token"), drop=1),
        Column("KL bits", 12, lambda suffix: or_dash(suffix.divergence_bits, "{:.2f}".format), drop=2),
        Column(
            "most often",
            max(13, min(26, (screen.width - 40) // 2)),
            lambda suffix: partial(_likeliest, suffix, symbols=symbols),
            left=True,
            style="dim",
        ),
    ]
    table = Table(columns, screen)
    explained = any(column.heading == "KL bits" for column in table.columns)
    meaning = "KL bits: divergence of the corpus's shares from the model's raw softmax, D(corpus || model), per token"
    yield Listing(
        columns=columns,
        rows=_chosen(record.suffixes),
        screen=screen,
        caption="The last tokens of the text in the corpus",
        note=lambda suffix: "" if suffix else symbols.ellipsis,
    )
    yield screen.caption(
        meaning if explained else "", "matched token by token, within documents", "few occurrences say little"
    )


def _chosen(suffixes: Sequence[CorpusSuffix]) -> list[CorpusSuffix | None]:
    """All, or the shortest and the longest with None between them."""
    if len(suffixes) <= _SUFFIXES:
        return list(suffixes)
    half = _SUFFIXES // 2
    return [*suffixes[:half], None, *suffixes[-half:]]


def _likeliest(suffix: CorpusSuffix, width: int, symbols: Symbols) -> str:
    """`␣the 36.6 %`, in at most `width` cells."""
    if suffix.likeliest is None or suffix.likeliest_share is None:
        return "the end"
    share = percent(suffix.likeliest_share, 0)
    label = token_label(suffix.likeliest, symbols)
    return f"{fit(label, max(1, min(cell_len(label), width - len(share) - 1)), symbols)} {share}"


# --- what occurs there verbatim


def verbatim_text(report: VerbatimReport) -> Text:
    """The sampled text with its verbatim spans underlined, below a legend."""
    legend = Text(" ").append("underlined", f"dim {VERBATIM}")
    legend.append(f": verbatim, {quantity(report.at_least, 'token')} or more\n", "dim")
    for piece in report.pieces:
        legend.append(safe_text(piece.text), VERBATIM if piece.verbatim else "")
    return legend


def verbatim_caption(report: VerbatimReport, screen: Screen) -> Text:
    """How much of the sample occurs in the corpus, and the longest span that does."""
    where = f"occur verbatim in {corpus_name(report.corpus)}"
    least = f"of {quantity(report.at_least, 'token')} or more"
    sampled, longest = quantity(report.sampled_tokens, "sampled token"), report.longest
    if longest is None:
        return screen.caption(f"none of the {sampled} {where}, in spans {least}")
    share = percent(report.verbatim_tokens / report.sampled_tokens, 0)
    return screen.caption(
        f"{share} of the {sampled} {where}, in {quantity(len(report.spans), 'span')} {least}",
        f"the longest has {quantity(longest.tokens, 'token')} and occurs there {_times(longest.occurrences)}: "
        f"{_quoted(longest, screen)}",
    )


FACES = (Face(view=corpus.VIEW, table=each(lambda record, answer, screen: corpus_table(record, answer.text, screen))),)
