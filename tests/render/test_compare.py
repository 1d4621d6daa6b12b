"""The table of a comparison at every width, while it fills too, and who is said to be ahead in what."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.contest.records import Comparison
from minigpt.render.compare import comparison_caption, comparison_table
from minigpt.render.style import ASCII, Screen


def lines(comparison: Comparison, width: int) -> list[str]:
    screen = Screen(width)
    texts = [*comparison_table(comparison, screen), *comparison_caption(comparison, screen)]
    return [line for text in texts for line in text.plain.splitlines()]


@pytest.mark.parametrize("width", [40, 80])
def test_it_looks_as_agreed(comparison: Comparison, golden: Callable[[str, str], None], width: int) -> None:
    golden(f"comparison_{width}", "\n".join(lines(comparison, width)))


@pytest.mark.parametrize("width", [40, 56, 72, 80, 160])
def test_no_line_is_wider_than_the_screen(comparison: Comparison, width: int) -> None:
    assert max(map(cell_len, lines(comparison, width))) <= width


def test_the_best_of_a_row_is_bold(comparison: Comparison) -> None:
    rows = {text.plain.split("  ")[0].strip(): text for text in comparison_table(comparison, Screen(80))}
    assert bold(rows["best bits/byte in 47 k tokens"]) == ["3.000"]  # the GPT's
    assert bold(rows["trains tokens/s, context 512"]) == ["9,000"]  # the window's
    assert bold(rows["parameters"]) == []


def bold(text: object) -> list[str]:
    return [text.plain[span.start : span.end] for span in text.spans if span.style == "bold"]  # type: ignore[attr-defined]


def test_who_is_ahead_is_said_of_baselines_too(comparison: Comparison) -> None:
    told = " ".join(" ".join(text.plain.split()) for text in comparison_caption(comparison, Screen(80)))
    assert "dense window is ahead in training speed at context 32, training speed at context 512, cost of" in told
    assert "GPT is ahead in bits per byte at equal tokens" in told
    assert "LSTM is ahead in" not in told


def test_equal_numbers_as_they_are_shown_are_level(comparison: Comparison) -> None:
    rates = {"training_tokens_per_second": ((32.0, 9000.0), (512.0, 9000.0))}
    same = replace(comparison, contenders=tuple(replace(c, **rates) for c in comparison.contenders))
    told = captions(same)
    assert "all are level in training speed at context 32, training speed at context 512" in told
    assert not any(bold(text) for text in comparison_table(same, Screen(80)) if "trains tokens/s" in text.plain)
    *others, lstm, gpt = comparison.contenders
    both = replace(comparison, contenders=(*others, replace(lstm, recall_by_distance=gpt.recall_by_distance), gpt))
    assert "LSTM and GPT are level, ahead of the rest, in recall over 8 tokens" in captions(both)
    assert "level: equal in the digits that are shown" in captions(both)
    rows = {text.plain.split("  ")[0].strip(): text for text in comparison_table(both, Screen(80))}
    assert len(bold(rows["recalls a key 8 back"])) == 2


def test_a_difference_that_is_not_shown_puts_nobody_ahead(comparison: Comparison) -> None:
    *others, lstm, gpt = comparison.contenders
    assert lstm.equal_tokens is not None
    near = replace(gpt, equal_tokens=replace(lstm.equal_tokens, bits_per_byte=0.9564))
    level = replace(lstm, equal_tokens=replace(lstm.equal_tokens, bits_per_byte=0.9557))
    told = captions(replace(comparison, contenders=(*others, level, near)))
    assert "LSTM and GPT are level, ahead of the rest, in bits per byte at equal tokens" in told
    near = replace(gpt, equal_tokens=replace(lstm.equal_tokens, bits_per_byte=0.9566))
    told = captions(replace(comparison, contenders=(*others, level, near)))
    assert "LSTM is ahead in bits per byte at equal tokens" in told


def captions(comparison: Comparison) -> str:
    return " ".join(" ".join(text.plain.split()) for text in comparison_caption(comparison, Screen(160)))


def test_what_is_not_measured_yet_is_left_out(comparison: Comparison, unmeasured: Comparison) -> None:
    assert [line.split("  ")[0].strip() for line in lines(unmeasured, 80)][1:5] == [
        "parameters",
        "layers",
        "width",
        "learning rate",
    ]
    partly = replace(unmeasured, contenders=(comparison.contenders[0], *unmeasured.contenders[1:]))
    assert any("recalls a key 8 back" in line and line.split()[-3:] == ["-", "-", "-"] for line in lines(partly, 80))


def test_a_name_from_outside_cannot_steer_the_terminal(comparison: Comparison) -> None:
    hostile = replace(comparison, name="\x1b[31m[bold]", validation="\x07")
    assert not any("\x1b" in line or "\x07" in line for line in lines(hostile, 80))


def test_a_gradient_that_is_none_is_told_from_a_small_one(comparison: Comparison) -> None:
    cut = replace(comparison.contenders[0], gradient_by_distance=((1.0, 2.0), (16.0, 1e-9), (64.0, 0.0)))
    shown = lines(replace(comparison, contenders=(cut,)), 80)
    assert any(line.split() == ["gradient", "16", "back", "/", "1", "back", "5e-10"] for line in shown)
    assert any(line.split() == ["gradient", "64", "back", "/", "1", "back", "none"] for line in shown)


def test_without_a_sweep_that_is_said(comparison: Comparison) -> None:
    untried = replace(comparison, contenders=tuple(replace(c, tried_rates=()) for c in comparison.contenders))
    told = " ".join(text.plain for text in comparison_caption(untried, Screen(160, ASCII)))
    assert "no sweep: learning rates that did best elsewhere" in told
