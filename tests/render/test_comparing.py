"""How far a comparison is: a plain line a piece in a pipe, a bar and the table as it fills in a terminal."""

from dataclasses import replace

from rich.console import Console

from minigpt.contest.records import Comparison
from minigpt.render.compare import ComparingDisplay


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(comparison: Comparison, console: Console) -> None:
    clock = Clock()
    with ComparingDisplay(console, 40, 30.0, clock) as display:
        clock.now = 90.0
        display.begin(1, "gpt", "equal_tokens", comparison)
        display.advance(5, 20, 2.5)
        clock.now = 100.0
        display.begin(2, "lstm", "0.003", comparison)


def test_each_piece_is_a_line_in_a_pipe(comparison: Comparison) -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured:
        run(replace(comparison, spent_seconds=0.0), console)
    assert captured.get().splitlines() == [
        "1:30/30:00  1 of 40  GPT: training, with as many tokens as the others",
        "1:40/30:00  2 of 40  LSTM: trying the learning rate 0.003",
    ]


def test_what_was_spent_before_counts(comparison: Comparison) -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured:
        run(replace(comparison, spent_seconds=600.0), console)
    assert captured.get().startswith("11:30/30:00  1 of 40")


def test_a_terminal_shows_a_bar_and_the_table(comparison: Comparison) -> None:
    console = Console(width=80, height=24, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    with console.capture() as captured:
        run(replace(comparison, spent_seconds=0.0), console)
    text = captured.get()
    assert "dense window" in text
    assert "LSTM: trying the learning rate 0.003" in text


def test_nothing_is_left_over_when_it_began_no_piece() -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as captured, ComparingDisplay(console, 40, 30.0):
        pass
    assert captured.get() == ""
