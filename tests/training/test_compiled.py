"""--compile: the same training through torch.compile, and nothing of it in what is kept."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.errors import ConfigError
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.shards import TokenData
from minigpt.training.loop import Trainer
from minigpt.training.step import compiled

IDS = np.random.default_rng(0).integers(0, 16, 500).astype(np.uint16)


def trainer(compile: bool) -> Trainer:
    model = GPT(ModelConfig(vocab_size=16, context=8, layers=1, heads=1, width=8))
    config = TrainConfig(steps=3, batch_size=2, eval_every=3, snapshots=0, compile=compile)
    return Trainer(model.initialise(torch.Generator().manual_seed(1)), TokenData(IDS, IDS[:40]), config, np.ones(16))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile without a compiler of C++: the function is traced, and the trace is run as it is."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compile(function, backend="eager"))


@pytest.mark.usefixtures("quick")
def test_losses_and_names_are_those_of_a_training_that_is_not_compiled() -> None:
    plain, through = trainer(compile=False), trainer(compile=True)
    expected = [(record.loss_nats, record.validation_loss_nats) for record in plain.records()]
    told = [(record.loss_nats, record.validation_loss_nats) for record in through.records()]
    assert np.allclose(np.array(told, float), np.array(expected, float), atol=1e-5, equal_nan=True)
    assert through.state()[0].keys() == plain.state()[0].keys()
    assert through.model.state_dict().keys() == plain.model.state_dict().keys()


def test_what_cannot_be_compiled_is_told_with_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> Callable[..., object]:
        raise RuntimeError("No working C++ compiler found")

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compile(function, backend=broken))
    with pytest.raises(ConfigError, match=r"compile= does not work on this machine: .*\n*.*Leave it out"):
        compiled(lambda x: x * 2)(torch.ones(2))
