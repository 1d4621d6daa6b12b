"""The cost of generated tokens, of every kind of model, by their number."""

import pytest
import torch

from minigpt.contest import measures
from minigpt.contest.measures import step_costs
from minigpt.models.kinds import equal_shape
from minigpt.settings import ModelConfig

GPT = ModelConfig(vocab_size=20, context=4, layers=1, heads=1, width=32)


@pytest.mark.parametrize("model", ["gpt", "lstm", "rnn", "window"])
def test_every_number_that_is_asked_has_a_cost(model: str) -> None:
    found = step_costs(equal_shape(GPT, model), torch.device("cpu"), (1, 8, 20))
    assert [number for number, _ in found] == [1, 8, 20]
    assert all(cost > 0 for _, cost in found)


def test_it_is_the_median_of_the_steps_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([*[1.0] * 7, 900.0, *[3.0] * 100])  # one of which another program has disturbed
    monkeypatch.setattr(measures, "_timed", lambda step: next(times))
    monkeypatch.setattr(measures, "_AROUND", 3)
    found = step_costs(GPT, torch.device("cpu"), (1, 6, 10))
    assert found == ((1, 1000.0), (6, 1000.0), (10, 3000.0))
