"""Panels in the terminal: as agreed, no wider than the screen, with round numbers along the axes."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from minigpt.contest.records import Comparison
from minigpt.render.panels import Panel, panels, x_label
from minigpt.render.plot import panel_plots
from minigpt.render.style import ASCII, UNICODE, Screen


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


@pytest.mark.parametrize(
    ("low", "high", "log_y", "expected"),
    [
        (1.1e-4, 1, True, ["0.001", "0.01", "0.1", "1"]),
        (1e-12, 1, True, ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "10⁰"]),
        (0.12, 4, True, ["0.2", "0.5", "1", "2"]),
        (0.8, 1, True, ["0.80", "0.85", "0.90", "0.95", "1.00"]),
        (2, 50_000, True, ["10", "100", "1,000", "10,000"]),
        (2.31, 3.44, False, ["2.5", "3.0"]),
        (3000, 11_557.4, False, ["4,000", "6,000", "8,000", "10,000"]),
        (5, 5, False, ["4.6", "4.8", "5.0", "5.2", "5.4"]),
    ],
)
def test_marks_are_round_and_alike(low: float, high: float, log_y: bool, expected: list[str]) -> None:
    drawn = panel((1.0, low), (2.0, high), log_y=log_y)
    assert [label for _, label in drawn.marks()] == expected
    bottom, top = drawn.ends()
    assert all(bottom - 0.001 <= height <= top + 0.001 for height, _ in drawn.marks())


def test_labels_are_short() -> None:
    assert [x_label(x) for x in (0.5743, 4, 256, 47_000)] == ["0.574", "4", "256", "47 k"]
    assert [label for _, label in panel((1.0, 0.3), percent=True).marks()] == ["0%", "50%", "100%"]
