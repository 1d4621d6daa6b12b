"""Memory that training takes, from a process of its own; a larger model takes more of it."""

import subprocess
from dataclasses import replace

import pytest
import torch

from minigpt.contest import measures
from minigpt.contest.measures import peak_bytes
from minigpt.settings import ModelConfig, TrainConfig

CONFIG = ModelConfig(vocab_size=50, context=64, layers=2, heads=1, width=256)
SETTINGS = TrainConfig(batch_size=2, optimizer="adamw", precision="float32")


def test_it_is_at_least_what_must_be_there() -> None:
    taken = peak_bytes(CONFIG, SETTINGS, torch.device("cpu"))
    assert taken > 3 * 4 * CONFIG.parameter_count()  # weights, two moments
    assert taken < 50 * 4 * CONFIG.parameter_count()


def test_where_it_cannot_be_told_it_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="no module")
    monkeypatch.setattr(measures.subprocess, "run", lambda *arguments, **options: failed)
    assert peak_bytes(replace(CONFIG, width=8), SETTINGS, torch.device("cpu")) == 0
