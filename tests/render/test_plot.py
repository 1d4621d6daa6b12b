"""The plot in a terminal; whole ones are in tests/golden."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len

from minigpt.errors import PackageError
from minigpt.render.plot import loss_plot, thinned
from minigpt.render.style import ASCII, UNICODE, Screen
from minigpt.training.records import LossCurves

Golden = Callable[[str, str], None]


def curves(name: str = "notes", scale: float = 1.0, steps: int = 1200) -> LossCurves:
    def loss(step: int) -> float:
        return scale * (1.5 + 2.5 * math.exp(-step / 150))

    return LossCurves(
        run=name,
        x="step",
        y="bits_per_byte",
        smoothed_steps=24,
        training=tuple((step, loss(step) - 0.0002 * step) for step in range(1, steps + 1)),
        validation=tuple((step, loss(step)) for step in (0, 1, 3, 10, 30, *range(100, steps + 1, 100))),
    )


TWO = [curves(), curves("tales", 1.3, 600)]


@pytest.mark.parametrize("width", [40, 80])
def test_golden_loss_plot(width: int, golden: Golden) -> None:
    golden(f"loss_plot_{width}", str(loss_plot([curves()], Screen(width), height=width // 4)))


def test_golden_loss_plot_of_two_runs_without_colour(golden: Golden) -> None:
    golden("loss_plot_two_80", str(loss_plot(TWO, Screen(80), height=18, log=False)))


def test_golden_loss_plot_in_ascii(golden: Golden) -> None:
    two = [replace(c, validation=c.validation[1:]) for c in TWO]
    golden("loss_plot_two_80_ascii", str(loss_plot(two, Screen(80, ASCII), height=18, log=True)))


@pytest.mark.parametrize("symbols", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("width", [24, 40, 79, 80, 160, 250])
def test_no_line_is_wider_than_the_screen(width: int, symbols: object) -> None:
    many = [curves(name) for name in ("notes", "速い" * 40, "[bold]", "\x1b[31m", "a b" * 30, "x", "y", "z")]
    lines = str(loss_plot(many, Screen(width, symbols), height=12)).split("\n")  # type: ignore[arg-type]
    assert max(map(cell_len, lines)) <= width
    assert sum(cell_len(line) == width for line in lines) >= 10  # the frame fills it
    assert not any("\x1b" in line for line in lines)


def test_ascii_is_ascii() -> None:
    assert str(loss_plot(TWO, Screen(80, ASCII), height=18)).isascii()


def test_runs_differ_in_colour_or_else_in_signs() -> None:
    plain, coloured = loss_plot(TWO, Screen(80)), loss_plot(TWO, Screen(80, coloured=True))
    assert {"notes: ..", "tales: ::"} <= {line.strip()[:9] for line in plain.plain.split("\n")}
    assert {"notes: ⠒⠒", "tales: ⠒⠒"} <= {line.strip()[:9] for line in coloured.plain.split("\n")}
    colours = {span.style.color.number for span in coloured.spans if getattr(span.style, "color", None)}
    assert colours == {5, 6}


def test_the_legend_says_what_was_smoothed_and_which_was_lowest() -> None:
    assert "notes: ⠒⠒ training, mean of 24 steps · ● validation, lowest 1.501 at step 1,200" in " ".join(
        str(loss_plot([curves()], Screen(80))).split()
    )
    rough = replace(curves(), smoothed_steps=1, validation=())
    assert str(loss_plot([rough], Screen(80))).endswith("notes: ⠒⠒ training")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("x", ["step", "tokens", "seconds"])
@pytest.mark.parametrize(
    "points", [((1.0, 2.0),), ((0.001, 2.0), (0.002, 2.0)), ((3.0, 1e-9), (1e15, 1e9)), ((5, 7),) * 3]
)
def test_a_few_points_anywhere_make_a_plot(points: tuple[tuple[float, float], ...], x: str, log: bool) -> None:
    few = replace(curves(), x=x, training=(), validation=points)
    plot = str(loss_plot([few], Screen(80), log=log))
    assert "●" in plot.split("\n└")[0]
    assert len(plot.split("\n")) >= 20


def test_an_untrained_model_is_a_point_at_zero() -> None:
    plot = str(loss_plot([replace(curves(), training=(), validation=((0, 3.6),))], Screen(40), height=10))
    assert "3.6┤●" in plot


def test_times_are_in_minutes_and_hours() -> None:
    long = replace(curves(), x="seconds", training=tuple((i * 10.0, 3.0 - i / 500) for i in range(1000)))
    axis = next(line for line in str(loss_plot([long], Screen(80))).split("\n") if line.split()[:1] == ["0:00"])
    assert axis.split() == ["0:00", "1:00:00", "2:00:00"]


def test_thinning_keeps_the_ends() -> None:
    points = [(float(i), 0.0) for i in range(1001)]
    kept = thinned(points, 100)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert 90 <= len(kept) <= 102
    assert list(thinned(points[:3], 100)) == points[:3]
    assert list(thinned([], 100)) == []


def test_without_plotext_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    with pytest.raises(PackageError, match=r"pip install -e '\.\[plot\]'"):
        loss_plot(TWO, Screen(80))
