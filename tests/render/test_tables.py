"""Tables line by line. The golden files in tests/golden hold whole ones; `MINIGPT_UPDATE_GOLDEN=1 scripts/test` (or
pytest) rewrites them, and their diff is the review."""

import io
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from minigpt.render.candidates import next_token_table, step_table
from minigpt.render.scores import (
    every_token_table,
    file_score_caption,
    lists_likelier,
    sample_caption,
    score_caption,
    score_table,
)
from minigpt.render.style import ASCII, UNICODE, Screen, Symbols
from minigpt.sampling.records import BareToken, Candidate, FileScore, Other, SampleEnd, StepRecord, TextScore

Golden = Callable[[str, str], None]
Make = Callable[..., Candidate]
WIDTHS = (40, 80, 160)
PROMPT = "To date, the cleverest thinker of all time was"

HOSTILE = [
    "[/INST]",
    "[bold]",
    ":smile:",
    "\x1b[31m",
    "\x00",
    "\u202e",
    "\n\n\n",
    "\u0301",
    "速い茶色の狐",
    "👩\u200d👧",
    None,
]


@pytest.fixture
def text_records(step: StepRecord, candidate: Make) -> list[StepRecord]:
    """A first token, an expected one, a surprising one, half a character and hostile ones."""
    first = BareToken(id=9, text="The", bytes="546865")
    records = [replace(step, position=0, token=first, candidates=(), other=None, entropy_bits=None,
                       surprisal_bits=None, stages=())]  # fmt: skip
    for position, (text, rank, bits) in enumerate(
        [
            (" mat", 1, 0.42),
            ("\x1b[31m", 2903, 17.5),
            (None, 12, 6.3),
            (" 速い", 7, 4.9),
            (" incomprehensibilities", 3, 2.0),
        ],
        1,
    ):
        chosen = replace(candidate(rank, text, 2**-bits), id=100 + position)
        records.append(replace(step, position=position, token=chosen, surprisal_bits=bits, stages=()))
    return records


def lines(text: object) -> list[str]:
    return str(text).split("\n")


def next_table(record: StepRecord, after: str, screen: Screen) -> str:
    return "\n".join(map(str, next_token_table(record, after, screen)))


def screen_of(width: int) -> Screen:
    return Screen.of(Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=width))


# Golden files


@pytest.mark.parametrize("width", WIDTHS)
def test_golden_next_token_table(lecture: StepRecord, width: int, golden: Golden) -> None:
    golden(f"next_token_table_{width}", next_table(lecture, PROMPT, screen_of(width)))


def every_token(records: list[StepRecord], screen: Screen) -> Text:
    return Text("\n").join(every_token_table(records, [record.token for record in records if record.token], screen))


@pytest.mark.parametrize("width", [40, 80])
def test_golden_every_token_table(text_records: list[StepRecord], width: int, golden: Golden) -> None:
    score = TextScore(tokens=5, bytes=43, total_nats=21.572, bits_per_byte=0.7238, perplexity=74.79)
    screen = Screen(width)
    lists = lists_likelier([record.token for record in text_records if record.token], screen)
    caption = score_caption(score, screen, lists=lists)
    golden(f"every_token_table_{width}", f"{every_token(text_records, screen)}\n{caption}")


@pytest.mark.parametrize("width", range(36, 60))
def test_a_sum_is_told_where_its_numbers_are_shown(width: int, text_records: list[StepRecord]) -> None:
    tokens, screen = [record.token for record in text_records if record.token], screen_of(width)
    assert lists_likelier(tokens, screen) == ("other" in str(every_token(text_records, screen)))


END = SampleEnd(
    sample=0, prompt="", text="", tokens=200, seconds=0.5, tokens_per_second=2412.3, bits_per_token=3.254,
    entropy_bits_per_token=4.1, top_token_share=0.41, stopped_by="max-tokens", seed=12345,
)  # fmt: skip


@pytest.mark.parametrize("width", [40, 80])
def test_golden_sample_caption(width: int, golden: Golden) -> None:
    golden(f"sample_caption_{width}", str(sample_caption(END, Screen(width))))


def test_what_is_typed_to_repeat_a_sample_is_not_broken() -> None:
    trace = Path("traces of the first week/of the demo.jsonl")
    assert str(sample_caption(END, Screen(40), trace)).splitlines()[-1] == f" --replay '{trace}'"


def file_score(
    name: str | None, tokens: int = 1, nats: float = 0.0, byte_count: int = 1, **changes: object
) -> FileScore:
    values: dict[str, object] = {
        "file": name, "documents": 1, "tokens": tokens, "bytes": byte_count, "total_nats": nats,
        "nats_per_token": nats / tokens, "bits_per_token": nats / tokens / math.log(2),
        "bits_per_byte": nats / byte_count / math.log(2), "perplexity": math.exp(nats / tokens), "context": 128,
        "stride": 64,
    }  # fmt: skip
    return FileScore(**{**values, **changes})  # type: ignore[arg-type]


SCORES = [
    file_score("notes.txt", 13_078, 47_901.2, 37_393),
    file_score("a/very/long/path/to/a/folder/somewhere/tales of 速い.txt", 1_234_567, 5_000_000.0, 4_000_000),
    replace(
        file_score("x"),
        tokens=0,
        bytes=0,
        nats_per_token=None,
        bits_per_token=None,
        bits_per_byte=None,
        perplexity=None,
    ),
    file_score(None, 1_247_645, 5_047_901.2, 4_037_394, documents=3),
]


@pytest.mark.parametrize("width", WIDTHS)
def test_golden_score_table(width: int, golden: Golden) -> None:
    screen = screen_of(width)
    table = Text("\n").join([*score_table(SCORES, screen), file_score_caption(SCORES[-1], screen)])
    golden(f"score_table_{width}", str(table))


@pytest.mark.parametrize("width", WIDTHS)
def test_golden_rolling_caption(width: int, golden: Golden) -> None:
    golden(
        f"rolling_caption_{width}",
        str(file_score_caption(replace(SCORES[-1], rolling=True, stride=128), screen_of(width))),
    )


# Properties


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", [*range(36, 60), 80, 100, 160])
def test_no_line_is_wider_than_the_screen(
    candidate: Make, lecture: StepRecord, step: StepRecord, text_records: list[StepRecord], width: int, symbols: Symbols
) -> None:
    screen = Screen(width, symbols)
    hostile = tuple(candidate(i, text, 0.05, 0.05, 0.05, 0.05) for i, text in enumerate(HOSTILE, 1))
    tables = [
        next_table(lecture, PROMPT, screen),
        next_table(replace(lecture, candidates=hostile), "\x1b[31m速い\n" * 40, screen),
        step_table(step, screen),
        step_table(replace(step, candidates=hostile), screen),
        every_token(text_records, screen),
        Text("\n").join([*score_table(SCORES, screen), file_score_caption(SCORES[-1], screen)]),
    ]
    for table in tables:
        for line in lines(table):
            assert cell_len(line) <= width, line
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", line)


def test_ascii_tables_hold_nothing_else(lecture: StepRecord, step: StepRecord) -> None:
    screen = Screen(80, ASCII)
    assert next_table(lecture, PROMPT, screen).isascii()
    assert str(step_table(step, screen)).isascii()


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_are_aligned_and_other_has_a_row(lecture: StepRecord, width: int) -> None:
    heading, *rest = lines(next_table(lecture, PROMPT, Screen(width)))
    rows = [line for line in rest if line.endswith("%") and "=" not in line]
    assert len(rows) == 9
    assert rows[-1].split() == ["other", "(50,249", "tokens)", "67.26", "%"]
    assert {cell_len(line) for line in [heading, *rows]} == {cell_len(heading)}
    assert {line.rindex(".") - len(line) for line in rows} == {-len(".82 %")}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_caption_says_which_distribution_and_adds_up(lecture: StepRecord, step: StepRecord, width: int) -> None:
    caption = " ".join(next_table(lecture, PROMPT, Screen(width)).split())
    assert "of all time was” · raw softmax" in caption
    assert "vocabulary 50,257 · entropy 8.31 bits · shown 32.74 % + other 67.26 % = 100 %" in caption
    caption = " ".join(str(step_table(step, Screen(width))).split())
    assert "raw softmax: shown 57.99 % + other 42.01 % = 100 %" in caption
    assert re.search(r"drawn from( the last column)?: shown 100.00 % \+ other 0.00 % = 100 %", caption)


def test_other_has_no_row_where_all_is_listed(candidate: Make, lecture: StepRecord) -> None:
    whole = replace(
        lecture,
        candidates=(candidate(1, "a", 0.75), candidate(2, "b", 0.25)),
        other=Other(count=0, raw_prob=0.0, prob=0.0),
    )
    table = next_table(whole, "x", Screen(80))
    assert "other (" not in table
    assert "shown 100.00 % + other 0.00 % = 100 %" in table
    assert "vocabulary 2 " in table


def test_probabilities_that_underflow_leave_a_table(candidate: Make, lecture: StepRecord) -> None:
    extreme = replace(
        lecture,
        candidates=(candidate(1, "a", 1.0), candidate(2, "b", 0.0)),
        other=Other(count=5, raw_prob=0.0, prob=0.0),
    )
    rows = lines(next_table(extreme, "x", Screen(80)))
    assert rows[1].endswith("100.00 %")
    assert rows[2].endswith(" 0.00 %")


def test_the_first_token_is_said_not_to_be_predicted(text_records: list[StepRecord]) -> None:
    table = lines(every_token(text_records, Screen(80)))
    assert "no context: not predicted" in table[1]
    assert len(table) == 1 + len(text_records)


def test_a_score_without_numbers_invents_none() -> None:
    none = TextScore(tokens=0, bytes=0, total_nats=0.0, bits_per_byte=None, perplexity=None)
    assert "there is no total" in str(score_caption(none, Screen(80)))


def test_a_total_leaves_out_only_the_number_that_there_is_not() -> None:
    """A perplexity overflows after a diverged training; the end-of-text alone has no bytes."""
    score = TextScore(tokens=2, bytes=8, total_nats=2000.0, bits_per_byte=360.6738, perplexity=None)
    caption = " ".join(str(score_caption(score, Screen(80))).split())
    assert caption.startswith("2,000.00 nats over 2 tokens and 8 bytes · 360.6738 bits per byte surprisal")
    alone = TextScore(tokens=1, bytes=0, total_nats=1.0, bits_per_byte=None, perplexity=2.71828)
    caption = " ".join(str(score_caption(alone, Screen(80))).split())
    assert caption.startswith("1.00 nats over 1 token and 0 bytes · perplexity 2.72 per token surprisal")


def test_a_narrow_screen_keeps_the_numbers_that_compare() -> None:
    def heading(width: int) -> list[str]:
        return str(next(score_table(SCORES, Screen(width)))).split()

    assert heading(36) == ["file", "bits/byte"]
    assert heading(40) == ["file", "bits/byte", "perplexity"]
    assert heading(80)[1:] == ["tokens", "nats/token", "bits/token", "bits/byte", "perplexity"]
    assert heading(100)[1:] == ["tokens", "bytes", "nats/token", "bits/token", "bits/byte", "perplexity"]


def test_a_path_that_is_too_long_keeps_its_end() -> None:
    rows = [str(row) for row in score_table(SCORES, Screen(80))]
    assert re.match(r" …\S*tales of 速い\.txt  ", rows[2])
    assert rows[1].startswith(" notes.txt  ")


def test_numbers_that_are_not_there_or_huge_stay_in_their_columns() -> None:
    huge = file_score("a", 10, 300.0, 10, perplexity=float("nan"), bits_per_byte=1e300)
    rows = [str(row) for row in score_table([*SCORES, huge], Screen(80))]
    assert rows[3].split() == ["x", "0", "-", "-", "-", "-"]
    assert rows[-1].split()[-2:] == ["1e+300", "nan"]
    assert len({cell_len(row) for row in rows}) == 1


def test_large_numbers_keep_their_distance() -> None:
    large = replace(
        SCORES[0],
        tokens=10**10,
        bytes=10**11,
        nats_per_token=573_286.0433,
        bits_per_token=827_077.2,
        bits_per_byte=105_729.4113,
        perplexity=None,
    )
    numbers = ["10,000,000,000", "100,000,000,000", "573,286.0433", "827,077.2000", "105,729.4113", "-"]
    row = str([*score_table([large], Screen(120))][-1])
    assert row.split() == ["notes.txt", *numbers]
    row = str([*score_table([large], Screen(40))][-1])
    assert row.split() == ["notes.txt", "105,729.4113"]


def test_disjoint_windows_are_called_so() -> None:
    caption = " ".join(str(file_score_caption(file_score("a", stride=128), Screen(80))).split())
    assert caption.startswith("1 token and 1 byte scored in 1 document · windows of 128 tokens, scored separately")
