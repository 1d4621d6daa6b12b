"""The model beside a corpus, and a sample with its verbatim spans, line by line; whole ones in tests/golden."""

import io
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from minigpt.render.corpus import corpus_table, verbatim_caption, verbatim_text
from minigpt.render.style import ASCII, Screen
from minigpt.sampling.records import BareToken, Candidate, StepRecord
from minigpt.text.records import CorpusText
from minigpt.views.corpus import (
    CorpusCandidate,
    CorpusOther,
    CorpusStep,
    CorpusSuffix,
    VerbatimPiece,
    VerbatimReport,
    VerbatimSpan,
)

Golden = Callable[[str, str], None]
WIDTHS = (40, 80, 160)
AFTER = "To date, the cleverest thinker of all time was"
CORPUS = CorpusText(name="checkpoints/lectures", part="training text", tokens=21_402_113)


def values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def suffix(
    tokens: int, text: str | None, occurrences: int, followed: int, different: int, share: float
) -> CorpusSuffix:
    return CorpusSuffix(
        tokens=tokens,
        text=text,
        bytes=b"\x80 was".hex() if text is None else text.encode().hex(),
        occurrences=occurrences,
        followed=followed,
        next_tokens=different,
        likeliest=BareToken(id=1, text=" the", bytes=b" the".hex()) if followed else None,
        likeliest_share=share if followed else None,
        divergence_bits=8 / occurrences if followed else None,
    )


@pytest.fixture
def record(lecture: StepRecord, candidate: Callable[..., Candidate]) -> CorpusStep:
    """The lecture's list, of a model whose corpus says `the` far more often, and something the model hardly expects."""
    counts = [5, 0, 1, 0, 2, 0, 0, 0, 3]
    assert lecture.other is not None
    listed = [*lecture.candidates, candidate(1204, " Leibniz", 0.0001)]
    suffixes = (
        suffix(1, " was", 41_234, 41_234, 3_012, 0.0712),
        suffix(3, " all time was", 12, 12, 5, 5 / 12),
        suffix(9, None, 1, 0, 0, 0.0),
    )
    return CorpusStep(
        **{
            **values(lecture),
            "candidates": tuple(
                CorpusCandidate(**values(each), corpus_count=count, corpus_share=count / 12)
                for each, count in zip(listed, counts, strict=True)
            ),
            "other": CorpusOther(
                **{**values(lecture.other), "count": 50_248, "raw_prob": lecture.other.raw_prob - 0.0001},
                corpus_count=1,
                corpus_share=1 / 12,
            ),
        },
        corpus=CORPUS,
        suffixes=suffixes,
        suffix=suffixes[1],
    )


def span(position: int, text: str, occurrences: int) -> VerbatimSpan:
    return VerbatimSpan(
        position=position, tokens=len(text), text=text, bytes=text.encode().hex(), occurrences=occurrences
    )


@pytest.fixture
def report() -> VerbatimReport:
    spans = (span(3, "the cleverest thinker", 1), span(40, "of all time", 1_204))
    return VerbatimReport(
        sample=0,
        corpus=CORPUS,
        at_least=8,
        sampled_tokens=64,
        verbatim_tokens=32,
        longest=spans[0],
        spans=spans,
        pieces=(
            VerbatimPiece(text="was ", verbatim=False),
            VerbatimPiece(text="the cleverest thinker", verbatim=True),
            VerbatimPiece(text="\x1b[31m,\n", verbatim=False),
            VerbatimPiece(text="of all time", verbatim=True),
        ),
    )


def screen_of(width: int) -> Screen:
    return Screen.of(Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=width))


def table(record: CorpusStep, screen: Screen) -> str:
    return "\n".join(map(str, corpus_table(record, AFTER, screen)))


def words(text: object) -> str:
    return " ".join(str(text).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_golden_corpus_table(record: CorpusStep, width: int, golden: Golden) -> None:
    golden(f"corpus_table_{width}", table(record, screen_of(width)))


def test_golden_corpus_table_in_ascii(record: CorpusStep, golden: Golden) -> None:
    golden("corpus_table_80_ascii", table(record, Screen(80, ASCII)))


@pytest.mark.parametrize("width", [40, 80])
def test_golden_verbatim(report: VerbatimReport, width: int, golden: Golden) -> None:
    screen = screen_of(width)
    golden(f"verbatim_{width}", f"{verbatim_text(report)}\n{verbatim_caption(report, screen)}")


@pytest.mark.parametrize("width", range(30, 165, 9))
def test_nothing_is_wider_than_the_screen(record: CorpusStep, report: VerbatimReport, width: int) -> None:
    for text in (table(record, Screen(width)), verbatim_caption(report, Screen(width))):
        assert max(cell_len(line) for line in str(text).split("\n")) <= max(width, 40)


def test_bars_of_both_columns_have_one_scale(record: CorpusStep) -> None:
    row = table(record, Screen(80)).split("\n")[1]
    bars = [part for part in row.split("  ") if set(part.strip()) & set("█▏▎▍▌▋▊▉")]
    model, corpus = (cell_len(part.strip()) for part in bars)
    assert corpus > 4 * model  # 41.67 % and 8.82 %


def test_tokens_that_only_the_corpus_expects_are_rows(record: CorpusStep) -> None:
    rows = table(record, Screen(80)).split("\n")
    assert rows[9].split()[:2] == ["1,204", "␣Leibniz"]
    assert rows[9].split()[-3:] == ["25.00", "%", "3"]
    assert rows[10].split() == ["other", "(50,248", "tokens)", "67.25", "%", "8.33", "%", "1"]


def test_the_caption_says_what_was_counted_and_that_it_adds_up(record: CorpusStep) -> None:
    told = words(table(record, Screen(80)))
    assert "its end “ all time was”, 3 tokens, occurs 12 times in the training text of checkpoints/lectures" in told
    assert "(21,402,113 tokens, validation left out)" in told
    assert "5 different tokens follow · shown 91.67 % + other 8.33 % = 100 %" in told
    whole = replace(record, corpus=CorpusText(name="a.txt", part="whole text", tokens=5))
    assert "in the whole text of a.txt (5 tokens) ·" in words(table(whole, Screen(80)))


def test_the_suffix_that_is_compared_is_marked(record: CorpusStep) -> None:
    lines = table(record, Screen(80)).split("\n")
    assert [line.split()[0] for line in lines if line.startswith("▸")] == ["▸"]
    assert next(line for line in lines if line.startswith("▸")).split()[1] == "␣all␣time␣was"


def test_bytes_that_are_no_character_are_named(record: CorpusStep) -> None:
    lines = table(record, Screen(80)).split("\n")
    assert next(line for line in lines if "\\x80" in line).split() == [
        "\\x80␣was",
        "1",
        "0",
        "tokens",
        "-",
        "the",
        "end",
    ]


def test_a_corpus_without_the_last_token_has_no_shares(record: CorpusStep) -> None:
    nothing = {"corpus_count": 0, "corpus_share": None}
    without = replace(
        record,
        candidates=tuple(replace(each, **nothing) for each in record.candidates),
        other=replace(record.other, **nothing),
        suffixes=(),
        suffix=None,
    )
    told = words(table(without, Screen(80)))
    assert "corpus: the last token does not occur in the training text of checkpoints/lectures" in told
    assert "nothing to compare with" in told
    assert "last tokens" not in told
    ended = words(table(replace(without, suffixes=record.suffixes[2:]), Screen(80)))
    assert "corpus: nothing follows the last token in" in ended


def test_of_many_suffixes_the_middle_is_left_out(record: CorpusStep) -> None:
    many = tuple(suffix(n, "x" * n, 100 - n, 100 - n, 3, 0.5) for n in range(1, 31))
    lines = table(replace(record, suffixes=many, suffix=many[-1]), Screen(80)).split("\n")
    start = next(i for i, line in enumerate(lines) if "last tokens" in line)
    shown = [line.split()[-5] if line.strip() != "…" else "…" for line in lines[start + 1 : start + 10]]
    assert [line.strip() for line in lines].count("…") == 1
    assert len(shown) == 9


def test_what_is_verbatim_is_underlined_and_no_control_gets_through(report: VerbatimReport) -> None:
    text = verbatim_text(report)
    assert "\x1b" not in text.plain
    assert text.plain.endswith("was the cleverest thinker<ESC>[31m,\nof all time")
    underlined = [text.plain[part.start : part.end] for part in text.spans if part.style == "underline"]
    assert underlined == ["the cleverest thinker", "of all time"]


def test_where_nothing_is_verbatim_the_caption_says_so(report: VerbatimReport) -> None:
    nothing = replace(report, spans=(), longest=None, verbatim_tokens=0)
    told = words(verbatim_caption(nothing, Screen(80)))
    assert told.startswith("none of the 64 sampled tokens occur verbatim in the training text of checkpoints/lectures")
    assert told.endswith("in spans of 8 tokens or more")
