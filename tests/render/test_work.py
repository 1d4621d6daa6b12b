"""Short work is silent; long work is a bar in a terminal, and one line elsewhere."""

import pytest
from rich.console import Console

from minigpt.render.progress import WorkDisplay


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(*, terminal: bool, seconds: float, total: int | None = 3_000_000) -> str:
    console = Console(width=80, force_terminal=terminal, color_system=None, _environ={"TERM": "xterm"})
    clock = Clock()
    with console.capture() as captured, WorkDisplay(console, clock) as work:
        advance = work.begin("tokenizing", total)
        for _ in range(3):
            clock.now += seconds
            advance(1_000_000)
    return captured.get()


@pytest.mark.parametrize("terminal", [True, False])
def test_short_work_is_silent(terminal: bool) -> None:
    assert shown(terminal=terminal, seconds=0.3) == ""


def test_long_work_is_one_line_in_a_pipe() -> None:
    assert shown(terminal=False, seconds=2) == "tokenizing 3.0 M characters\n"
    assert shown(terminal=False, seconds=2, total=None) == "tokenizing\n"


def test_long_work_is_a_bar_in_a_terminal() -> None:
    text = shown(terminal=True, seconds=2)
    assert "tokenizing" in text
    assert "100%" in text
