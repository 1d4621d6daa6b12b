"""What a corpus says about a text: a table beside the model's list, or the text with its verbatim spans."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from minigpt.render.columns import (
    PERCENT,
    Columns,
    adds_up,
    counted,
    entropy,
    heading,
    other_row,
    raw_shown,
    row,
)
from minigpt.render.face import Face
from minigpt.render.screen import Screen
from minigpt.render.style import (
    Symbols,
    bar,
    fit,
    fit_end,
    following,
    percent,
    quantity,
    quoted,
    safe_text,
    token_label,
    visible,
)
from minigpt.text.records import CorpusText
from minigpt.views import corpus
from minigpt.views.corpus import CorpusStep, CorpusSuffix
from minigpt.views.verbatim import VerbatimReport, VerbatimSpan
from minigpt.views.view import Answer

VERBATIM = "underline"  # how a verbatim span looks
_SHORTEST_BARS = 12  # cells for two bars side by side and their gap; a single one where there are fewer
_SUFFIXES = 8  # rows of the list of suffixes; the middle of a longer one is left out


def corpus_table(record: CorpusStep, after: str, screen: Screen) -> Text:
    """The model's list beside the corpus's shares and counts, then how both change as the suffix grows."""
    lines = [*_candidates(record, screen), *_captions(record, after, screen)]
    if record.suffixes:
        lines += [Text(), *_suffixes(record, screen)]
    return Text("\n").join(lines)


# --- the list of candidates


def _candidates(record: CorpusStep, screen: Screen) -> list[Text]:
    symbols = screen.symbols
    counts = [*(candidate.corpus_count for candidate in record.candidates), record.other.corpus_count]
    count = max(7, 2 + len(f"{max(counts):,}"))
    labels = [token_label(candidate, symbols) for candidate in record.candidates]
    columns = Columns.fitting(labels, screen, 2 * PERCENT + count)
    second = (columns.bar - 2) // 2 if columns.bar >= _SHORTEST_BARS else 0
    columns = Columns(columns.token, columns.bar - second - 2) if second else columns
    longest = max(max(candidate.raw_prob, candidate.corpus_share or 0.0) for candidate in record.candidates)

    def corpus(share: float | None, times: int, *, with_bar: bool = True) -> Text:
        """The cells of the corpus."""
        cells = Text()
        if second:
            filled = bar(share / longest, second, symbols) if share and with_bar else " " * second
            cells.append("  " + filled, "magenta")
        percentage = f"{'-' if share is None else percent(share):>{PERCENT}}"
        return cells.append(f"{percentage}{times:>{count},}", "" if times else "dim")

    lines = [
        heading(
            columns,
            ("model", PERCENT),
            ("corpus", PERCENT + (second + 2 if second else 0)),
            ("times", count),
            bar="" if second else "bar: model",
        )
    ]
    for candidate, label in zip(record.candidates, labels, strict=True):
        line = row(record, candidate, label, columns, symbols, longest).append(
            percent(candidate.raw_prob).rjust(PERCENT)
        )
        lines.append(line.append_text(corpus(candidate.corpus_share, candidate.corpus_count)))
    other = record.other
    rest = corpus(other.corpus_share, other.corpus_count, with_bar=False)
    return lines + other_row(record, columns, symbols, percent(other.raw_prob).rjust(PERCENT) + rest.plain)


def _captions(record: CorpusStep, after: str, screen: Screen) -> list[Text]:
    whole = adds_up("model: shown", raw_shown(record), record.other.raw_prob)
    question = f"next token {following(after, screen.width - 20, screen.symbols)}".rstrip()
    first = screen.caption(question, f"vocabulary {counted(record):,}", entropy(record), whole)
    return [first, *_corpus_captions(record, screen)]


def _corpus_captions(record: CorpusStep, screen: Screen) -> list[Text]:
    where, suffix = corpus_name(record.corpus), record.suffix
    if suffix is None:
        missing = "nothing follows the last token" if record.suffixes else "the last token does not stand"
        return [screen.caption(f"corpus: {missing} in {where}: nothing to compare with")]
    shown = sum(candidate.corpus_share or 0.0 for candidate in record.candidates)
    end = f"its end {_quoted(suffix, screen)}, {quantity(suffix.tokens, 'token')}, stands {_times(suffix.occurrences)}"
    different = (
        f"{quantity(suffix.next_tokens, 'different token')} {'follows' if suffix.next_tokens == 1 else 'follow'}"
    )
    return [
        screen.caption(
            f"corpus: {end} in {where}", different, adds_up("shown", shown, record.other.corpus_share or 0.0)
        )
    ]


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

_SUFFIX_COLUMNS = (  # name, cells with a gap, at least so many columns of screen
    ("times", 12, 0),
    ("followed by", 14, 64),
    ("KL bits", 12, 52),
)


def _suffixes(record: CorpusStep, screen: Screen) -> list[Text]:
    """A line for each suffix, with what follows it most often."""
    symbols = screen.symbols
    columns = [(name, cells) for name, cells, least in _SUFFIX_COLUMNS if screen.width >= least]
    room = screen.width - 2 - sum(cells for _, cells in columns)
    likeliest = min(26, room - room // 2)
    width = room - likeliest
    head = f"  {'last tokens':<{width}}" + "".join(name.rjust(cells) for name, cells in columns) + "  most often"
    lines = [Text(fit(head, screen.width, symbols).rstrip(), "bold")]
    for suffix in _chosen(record.suffixes):
        if suffix is None:
            lines.append(Text(f"  {symbols.ellipsis}", "dim"))
            continue
        line = Text(symbols.chosen if suffix is record.suffix else " ", "bold green").append(" ")
        line.append(
            fit_end(visible(_characters(suffix), symbols), width, symbols),
            "" if suffix is not record.suffix else "bold green",
        )
        numbers = {
            "times": f"{suffix.occurrences:,}",
            "followed by": quantity(suffix.next_tokens, "token"),
            "KL bits": "-" if suffix.divergence_bits is None else f"{suffix.divergence_bits:.2f}",
        }
        line.append("".join(numbers[name].rjust(cells) for name, cells in columns))
        lines.append(line.append("  " + _likeliest(suffix, likeliest - 2, symbols), "dim"))
    meaning = "KL bits: divergence of the corpus's shares from the model's raw softmax, D(corpus || model), per token"
    seldom = "few occurrences say little"
    return [
        *lines,
        screen.caption(meaning if len(columns) > 2 else "", "matched token by token, within documents", seldom),
    ]


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


# --- what stands there verbatim


def verbatim_text(report: VerbatimReport) -> Text:
    """The sampled text with its verbatim spans underlined, below a legend."""
    legend = Text(" ").append("underlined", f"dim {VERBATIM}")
    legend.append(f": verbatim, {quantity(report.at_least, 'token')} or more\n", "dim")
    for piece in report.pieces:
        legend.append(safe_text(piece.text), VERBATIM if piece.verbatim else "")
    return legend


def verbatim_caption(report: VerbatimReport, screen: Screen) -> Text:
    """How much of the sample occurs in the corpus, and the longest span that does."""
    where = f"stand verbatim in {corpus_name(report.corpus)}"
    least = f"of {quantity(report.at_least, 'token')} or more"
    sampled, longest = quantity(report.sampled_tokens, "sampled token"), report.longest
    if longest is None:
        return screen.caption(f"none of the {sampled} {where}, in spans {least}")
    share = percent(report.verbatim_tokens / report.sampled_tokens, 0)
    return screen.caption(
        f"{share} of the {sampled} {where}, in {quantity(len(report.spans), 'span')} {least}",
        f"the longest has {quantity(longest.tokens, 'token')} and stands there {_times(longest.occurrences)}: "
        f"{_quoted(longest, screen)}",
    )


def _table(answer: Answer, screen: Screen) -> Iterator[Text]:
    return (corpus_table(record, answer.text, screen) for record in answer.records)


FACES = (Face(view=corpus.VIEW, table=_table),)
