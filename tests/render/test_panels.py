"""Which panels a comparison has, and what is drawn in each."""

from dataclasses import replace

import pytest

from minigpt.contest.records import Comparison
from minigpt.render.panels import by_octaves, octaves, panels, relative


def test_every_claim_has_a_panel_with_a_line_for_each_model(comparison: Comparison) -> None:
    made = panels(comparison)
    assert [panel.name for panel in made] == ["speed", "tokens", "time", "position", "gradient", "recall", "cost"]
    for panel in made:
        assert [name for name, _ in panel.lines] == ["dense window", "RNN", "LSTM", "GPT"]


def test_what_is_not_measured_has_none(comparison: Comparison) -> None:
    some = tuple(replace(c, recall_by_distance=None, equal_time=None) for c in comparison.contenders)
    names = [panel.name for panel in panels(replace(comparison, contenders=some))]
    assert "recall" not in names
    assert "time" not in names


def test_a_vanished_gradient_has_no_place_on_a_logarithmic_axis(comparison: Comparison) -> None:
    (gradient,) = (panel for panel in panels(comparison) if panel.name == "gradient")
    points = dict(gradient.lines)["dense window"]  # a fifth of the one before, each
    assert len(points) == 256
    assert [x for x, _ in gradient.drawn(points)] == list(range(1, 19))  # down to 1e-12


def test_octaves_end_at_powers_of_two() -> None:
    points = tuple((float(i), float(i)) for i in range(1, 11))
    assert [(first, last) for first, last, _ in octaves(points)] == [(1, 1), (2, 2), (3, 4), (5, 8), (9, 10)]
    assert by_octaves(points) == ((1.0, 1.0), (2.0, 2.0), (4.0, 3.5), (8.0, 6.5), (10.0, 9.5))
    assert by_octaves(()) == ()


@pytest.mark.parametrize("points", [(), ((1.0, 0.0), (2.0, 1.0))])
def test_nothing_is_relative_to_nothing(points: tuple[tuple[float, float], ...]) -> None:
    assert relative(points) == points


def test_the_nearest_is_one() -> None:
    assert relative(((1.0, 4.0), (2.0, 1.0))) == ((1.0, 1.0), (2.0, 0.25))
