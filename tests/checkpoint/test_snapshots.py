"""Snapshots know their step; one that was moved or is not of the run is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.checkpoint.listing import snapshots
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import Tokenizer


@pytest.fixture
def run(tmp_path: Path, make_model: Callable[..., GPT], bpe: Tokenizer) -> Path:
    """Snapshots of the steps 0, 7 and 1,000,000, and a final model of step 40."""
    folder = tmp_path / "run"
    for step in (0, 7, 1_000_000, None):
        path = folder / "snapshots" / f"step-{step:06}" if step is not None else folder
        path.mkdir(parents=True, exist_ok=True)
        model = make_model(bpe.vocab_size, seed=step or 40)
        values = {"step": str(40 if step is None else step), "validation_loss_nats": "2.5"}
        save_description(path, model.config, bpe, torch.float32)
        save_weights(path, model, metadata=values)
    return folder


def test_they_come_by_step_and_the_final_model_last(run: Path) -> None:
    found = snapshots(run)
    assert [snapshot.step for snapshot in found] == [0, 7, 1_000_000, 40]
    assert found[-1].path == run
    assert {snapshot.validation_loss_nats for snapshot in found} == {2.5}
    assert {snapshot.validation_bits_per_byte for snapshot in found} == {None}


def test_a_run_without_them_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="holds no snapshots"):
            snapshots(folder)


def test_a_moved_one_is_refused(run: Path) -> None:
    shutil.move(run / "snapshots" / "step-000007", run / "snapshots" / "step-000008")
    with pytest.raises(CheckpointError, match="step-000008 holds the model of step 7"):
        snapshots(run)


def test_one_whose_writing_was_cut_off_is_none(run: Path) -> None:
    (run / "snapshots" / "step-000007" / "model.safetensors").unlink()
    assert [snapshot.step for snapshot in snapshots(run)] == [0, 1_000_000, 40]


def test_one_of_another_tokenizer_is_refused(run: Path) -> None:
    path = run / "snapshots" / "step-000007" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "2.0"}))
    with pytest.raises(CheckpointError, match="another tokenizer"):
        snapshots(run)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        snapshots(run)


@pytest.mark.parametrize("damage", [b"", b"not safetensors"])
def test_a_damaged_one_is_named(run: Path, damage: bytes) -> None:
    path = run / "snapshots" / "step-000007" / "model.safetensors"
    path.write_bytes(damage)
    with pytest.raises(CheckpointError, match="step-000007"):
        snapshots(run)


def test_one_that_does_not_say_its_step_is_refused(run: Path, make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    save_weights(run / "snapshots" / "step-000007", make_model(bpe.vocab_size))
    with pytest.raises(CheckpointError, match="does not say which step"):
        snapshots(run)
