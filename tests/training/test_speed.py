"""How many shapes are measured in the time there is, and that the first is not measured cold."""

import time

import pytest
import torch

from minigpt.config import TrainConfig
from minigpt.training import speed as speed_module
from minigpt.training.speed import MEASURED, measure_speed


@pytest.mark.parametrize(
    ("seconds", "costs", "measured"),
    [
        (2.0, (0.1, 0.4, 1.6, 6.4, 25.6), 2),  # with the first twice: 0.6 so far, and 1.6 more would be too much
        (6.0, (0.1, 0.4, 1.6, 6.4, 25.6), 3),
        (1e9, (0.1, 0.4, 1.6, 6.4, 25.6), 5),
        (0.1, (1.0, 4.0, 16.0, 64.0, 256.0), 1),
    ],
)
def test_shapes_are_measured_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, costs: tuple[float, ...], measured: int
) -> None:
    now, trained = [0.0], []

    def train(device: torch.device, settings: TrainConfig, layers: int, width: int) -> float:
        now[0] += costs[MEASURED.index((layers, width))]
        trained.append(width)
        return 1e9 * len(trained)

    monkeypatch.setattr(speed_module, "_flops_per_second", train)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    speed = measure_speed(torch.device("cpu"), TrainConfig(), seconds)
    widths = [width for _, width in MEASURED[:measured]]
    assert trained == [widths[0], *widths]
    assert speed.points == tuple((width, 1e9 * (i + 2)) for i, width in enumerate(widths))
