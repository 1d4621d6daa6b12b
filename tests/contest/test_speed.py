"""Rates by context: always as many tokens in a step, and the nearest one where none was measured."""

import pytest
import torch

from minigpt.contest import measures
from minigpt.contest.measures import rate_at, training_rates
from minigpt.settings import ModelConfig, TrainConfig

CONFIG = ModelConfig(vocab_size=20, context=8, layers=1, heads=1, width=8)


def test_a_longer_context_has_fewer_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def measure(config: ModelConfig, device: torch.device, settings: TrainConfig, batch: int) -> float:
        asked.append((config.context, batch))
        return 100.0

    monkeypatch.setattr(measures, "measure_rate", measure)
    found = training_rates(CONFIG, TrainConfig(batch_size=8), torch.device("cpu"), (8, 32, 128))
    assert asked == [(8, 8), (32, 2), (128, 1)]
    assert found == ((8, 100.0), (32, 100.0), (128, 100.0))


def test_it_is_measured() -> None:
    settings = TrainConfig(batch_size=2, optimizer="adamw", precision="float32")
    ((context, rate),) = training_rates(CONFIG, settings, torch.device("cpu"), (8,))
    assert context == 8
    assert rate > 0


@pytest.mark.parametrize(("context", "expected"), [(1, 5.0), (32, 5.0), (100, 7.0), (10_000, 7.0)])
def test_the_nearest_context_counts(context: int, expected: float) -> None:
    assert rate_at(((32.0, 5.0), (128.0, 7.0)), context) == expected
