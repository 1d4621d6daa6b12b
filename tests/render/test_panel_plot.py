"""Panels in the terminal: as agreed, no wider than the screen, with round numbers along the axes."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from minigpt.contest.records import Comparison
from minigpt.render.panels import Panel, panels, x_label
from minigpt.render.plot import panel_plots
from minigpt.render.screen import Screen
from minigpt.render.style import ASCII, UNICODE


def shown(comparison: Comparison, width: int, *, ascii: bool = False) -> str:
    texts = panel_plots(panels(comparison), Screen(width, ASCII if ascii else UNICODE))
    return "\n".join(text.plain for text in texts)


@pytest.mark.parametrize("width", [40, 80])
def test_it_looks_as_agreed(comparison: Comparison, golden: Callable[[str, str], None], width: int) -> None:
    golden(f"panels_{width}", shown(comparison, width))


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("ascii", [True, False])
def test_no_line_is_wider_than_the_screen(comparison: Comparison, width: int, ascii: bool) -> None:
    text = shown(comparison, width, ascii=ascii)
    assert max(map(cell_len, text.splitlines())) <= width
    assert text.isascii() == ascii


def test_without_panels_there_is_nothing() -> None:
    assert list(panel_plots([], Screen(80))) == []


def panel(*points: tuple[float, float], log_x: bool = True, percent: bool = False, log_y: bool = False) -> Panel:
    return Panel("name", "title", "x", (("GPT", points),), log_x=log_x, log_y=log_y, percent=percent)


def test_a_single_point_is_drawn() -> None:
    texts = list(panel_plots([panel((4.0, 2.0))], Screen(60)))
    assert any("●" in text.plain for text in texts)


@pytest.mark.parametrize(
    ("low", "high", "log", "most", "expected"),
    [
        (1, 256, True, 9, [1, 2, 4, 8, 16, 32, 64, 128, 256]),
        (1, 256, True, 4, [1, 8, 64]),
        (3, 255, True, 9, [4, 8, 16, 32, 64, 128]),
        (1000, 47_000, False, 5, [10_000, 20_000, 30_000, 40_000]),
        (0.4, 3.7, False, 4, [1, 2, 3]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, log: bool, most: int, expected: list[float]) -> None:
    assert panel((low, 1.0), (high, 2.0), log_x=log).x_ticks(most) == pytest.approx(expected)


def test_labels_are_short() -> None:
    assert [x_label(x) for x in (0.5743, 4, 256, 47_000)] == ["0.574", "4", "256", "47 k"]
    assert panel(percent=True).y_label(0.5) == "50%"
    assert panel(log_y=True).y_label(1e-12) == "1e-12"
    assert [panel().y_label(y) for y in (3.0567, 11_557.4)] == ["3.06", "11,557"]
