"""A text in an empty folder, in which runs may be made, and a training whose losses are chosen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minigpt.text.corpus import Corpus, read_corpus


@pytest.fixture
def text(tmp_path: Path, corpus: str, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text(corpus, "utf-8")
    return read_corpus(["notes.txt"])


@pytest.fixture
def fake_losses(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], None]:
    """Let validation find these losses, by step, which so small a model would not have."""
    from minigpt.training import run

    def fake(losses: dict[int, float]) -> None:
        class LyingTrainer(run.Trainer):
            def records(self, *args: Any, **kwargs: Any) -> Any:
                for record in super().records(*args, **kwargs):
                    loss = losses.get(record.step)
                    bits = None if loss is None else loss / 2
                    yield replace(record, validation_loss_nats=loss, validation_bits_per_byte=bits)

        monkeypatch.setattr(run, "Trainer", LyingTrainer)

    return fake
