"""The funnel of a sampling step, line by line; whole ones in tests/golden."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from minigpt.render.candidates import fewer_candidates, step_table
from minigpt.render.style import ASCII, Screen
from minigpt.sampling.records import Candidate, Other, StepRecord

Golden = Callable[[str, str], None]
Make = Callable[..., Candidate]
WIDTHS = (40, 80, 160)


def lines(text: object) -> list[str]:
    return str(text).split("\n")


def screen_of(width: int) -> Screen:
    return Screen.of(Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=width))


@pytest.mark.parametrize("width", WIDTHS)
def test_golden_step_table(step: StepRecord, width: int, golden: Golden) -> None:
    golden(f"step_table_{width}", str(step_table(step, screen_of(width))))


def test_golden_step_table_in_ascii(step: StepRecord, golden: Golden) -> None:
    golden("step_table_80_ascii", str(step_table(step, Screen(80, ASCII))))


def test_a_narrow_screen_tells_the_stages_in_words(step: StepRecord) -> None:
    caption = " ".join(str(step_table(step, Screen(40))).split())
    assert "temperature 0.8 → top-k 6: 6 left, 56.91 % of the raw mass → top-p 0.9: 4 left, 49.78 %" in caption
    rows = lines(step_table(step, Screen(40)))
    assert rows[5].endswith("cut by top-p")
    assert rows[7].endswith("cut by top-k")


def test_a_narrow_screen_has_room_for_the_longest_name_of_a_filter(step: StepRecord) -> None:
    stages = tuple(replace(stage, name="top-n-sigma") if stage.name == "top-k" else stage for stage in step.stages)
    candidates = tuple(replace(c, cut_by="top-n-sigma" if c.cut_by == "top-k" else c.cut_by) for c in step.candidates)
    rows = lines(step_table(replace(step, stages=stages, candidates=candidates), Screen(40)))
    assert rows[7].endswith("  cut by n-sigma")
    assert max(map(cell_len, rows)) <= 40


def test_a_bias_says_how_many_tokens_have_one(step: StepRecord) -> None:
    for count, told in ((1, "bias 1 token"), (2, "bias 2 tokens")):
        biased = replace(step, stages=(replace(step.stages[0], name="bias", value=count), *step.stages[1:]))
        assert told in str(step_table(biased, Screen(160)))
        assert f"{told} → top-k 6" in " ".join(str(step_table(biased, Screen(40))).split())


def test_every_stage_has_a_column_and_says_what_it_left(step: StepRecord) -> None:
    heading, *rows = lines(step_table(step, Screen(80)))
    assert headed(step, 80) == ["rank", "token", "logit", "raw", "temp.", "0.8", "top-k", "6", "top-p", "0.9"]
    assert rows[0].split()[-9:] == ["-1.00", *["21.40", "%", "28.10", "%", "42.57", "%", "47.82", "%"]]
    assert rows[4].split()[-8:] == ["-5.00", *["4.01", "%", "3.77", "%", "5.71", "%", "cut"]]
    assert rows[6].split()[-7:] == ["-7.00", *["1.08", "%", "0.68", "%", "cut", "·"]]
    assert rows[7].split()[-7:] == ["42.01", "%", "33.31", "%", "all", "cut", "·"]
    assert rows[8].split() == ["tokens", "left", "4,096", "4,096", "6", "4"]
    assert rows[9].split() == ["raw", "mass", "left", *["100.00", "%", "100.00", "%", "56.91", "%", "49.78", "%"]]
    assert len({cell_len(row) for row in [heading, *rows[:10]]}) == 1


def test_where_there_is_no_room_the_logits_go_first(step: StepRecord) -> None:
    headings = {width: headed(step, width) for width in range(40, 80)}
    assert headings[40][2:] == ["raw", "drawn", "from"]
    assert [width for width in headings if headings[width][2] == "logit"] == list(range(63, 80))
    assert [width for width in headings if headings[width][2:4] == ["raw", "temp."]] == list(range(55, 63))


def test_the_chosen_token_is_marked_and_cut_ones_are_hollow(step: StepRecord, candidate: Make) -> None:
    rows = lines(step_table(step, Screen(80)))
    assert [line for line in rows if line.startswith("▸")] == [rows[2]]
    assert "▯" in rows[5]
    assert "▯" not in rows[4]
    one, two = candidate(1, "a", 0.5, 1.0), candidate(2, "b", 0.4, 0.0, cut_by="temperature")
    greedy = replace(step, candidates=(one, two), stages=step.stages[:1])
    assert lines(step_table(greedy, Screen(80)))[2].endswith(" cut")
    assert "cut by temp." in str(step_table(greedy, Screen(32)))


def test_only_the_chosen_token_is_green(step: StepRecord) -> None:
    table = step_table(step, Screen(80))
    green = [table.plain[span.start : span.end] for span in table.spans if "green" in str(span.style)]
    assert [part.strip() for part in green if part.strip()] == ["▸", "␣floor"]


def test_a_token_that_is_markup_is_printed_as_it_is(step: StepRecord, candidate: Make) -> None:
    hostile = (candidate(1, "[/INST]", 0.5, 0.5), candidate(2, ":smile:", 0.4, 0.4))
    table = str(step_table(replace(step, candidates=hostile, stages=step.stages[:1]), Screen(80)))
    assert "[/INST]" in table
    assert ":smile:" in table


def test_no_stage_is_said(candidate: Make) -> None:
    record = StepRecord(
        sample=0, position=1, token=None, candidates=(candidate(1, "a", 0.5),),
        other=Other(count=1, raw_prob=0.5, prob=0.5), entropy_bits=1.0, surprisal_bits=None, stages=(),
    )  # fmt: skip
    assert "drawn from the raw softmax: no temperature, nothing cut" in str(step_table(record, Screen(80)))


def test_what_is_not_shown_is_added_to_other(step: StepRecord) -> None:
    fewer = fewer_candidates(step, 1)
    assert [c.rank for c in fewer.candidates] == [1, 2]  # the chosen one stays
    assert fewer.other is not None
    assert fewer.other.count == 4089 + 5
    assert fewer.other.raw_prob == pytest.approx(1 - 0.2140 - 0.1242)
    assert fewer.other.after == pytest.approx((1 - 0.2810 - 0.1424, 0.1453 + 0.1036 + 0.0571 + 0.0526, 0.1631 + 0.1164))
    assert fewer.other.prob == pytest.approx(0.1631 + 0.1164)


def headed(step: StepRecord, width: int) -> list[str]:
    """The names of the columns of text and numbers."""
    return lines(step_table(step, Screen(width)))[0].replace("bar: raw", "").split()


@pytest.mark.parametrize(("width", "named"), [(40, False), (80, True), (100, True)])
def test_the_bars_say_what_they_show_where_there_are_any(step: StepRecord, width: int, named: bool) -> None:
    """The raw share of a row in the top one's, whatever the stages make of it."""
    head, first, second, *_ = step_table(step, Screen(width)).plain.split("\n")
    assert ("bar: raw" in head) == named == ("█" in first)
    if named:
        at = head.index("bar: raw")
        assert first[at] == "█"
        whole, part = (line[at : at + 60].split(" ")[0] for line in (first, second))
        raw = [candidate.raw_prob for candidate in step.candidates]
        assert len(part) == pytest.approx(len(whole) * raw[1] / raw[0], abs=1)
