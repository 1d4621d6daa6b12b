"""`minigpt train --resume`: what a run remembers, and what one can do that was killed at its start."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load
from minigpt.training import run as run_module

Run = Callable[..., Any]


class Killed(BaseException):
    """As good as SIGKILL: nobody catches it."""


def info(run: str = "run") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(run, "run.json").read_text())
    return loaded


@pytest.fixture
def killed_before_its_first_state(minigpt: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command that trains, and ends between run.json and the state that the first step begins with."""

    def kill(*_: object) -> None:
        raise Killed

    def run(*arguments: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(run_module, "save_state", kill)
            with pytest.raises(Killed):
                minigpt(*arguments)

    return run


@pytest.mark.parametrize("flags", [(), ("--freeze", "1"), ("--context", "16", "--dropout", "0.1")], ids=" ".join)
def test_a_given_model_whose_training_was_killed_at_its_start_starts_again(
    minigpt: Run, notes: str, trained: Path, killed_before_its_first_state: Run, flags: tuple[str, ...]
) -> None:
    command = ["train", notes, "--from", str(trained), "--steps", "4", "--threads", "1", *flags]
    assert minigpt(*command, "--out", "whole").exit_code == 0
    killed_before_its_first_state(*command, "--out", "run")
    assert info()["status"] == "running"
    again = minigpt(*command, "--out", "run")
    assert again.exit_code != 0
    assert "--out run already holds a run." in again.stderr
    resumed = minigpt("train", "--resume", "run")
    assert resumed.exit_code == 0, resumed.stderr
    whole, run = (load(name).model.state_dict() for name in ("whole", "run"))
    assert all(tensor.equal(run[name]) for name, tensor in whole.items())
    assert info()["saved"] == info("whole")["saved"]


def test_a_new_model_whose_training_was_killed_at_its_start_starts_again(
    minigpt: Run, notes: str, tiny: list[str], killed_before_its_first_state: Run
) -> None:
    command = ["train", notes, *tiny, "--steps", "4", "--threads", "1"]
    assert minigpt(*command, "--out", "whole").exit_code == 0
    killed_before_its_first_state(*command, "--out", "run")
    assert minigpt("train", "--resume", "run").exit_code == 0
    assert info()["saved"] == info("whole")["saved"]


def test_a_given_model_whose_state_was_lost_later_does_not_start_again(minigpt: Run, notes: str, trained: Path) -> None:
    assert minigpt("train", notes, "--from", str(trained), "--steps", "4", "--out", "run").exit_code == 0
    Path("run/resume/state.safetensors").unlink()
    Path("run/train.jsonl").unlink()
    refused = minigpt("train", "--resume", "run")
    assert refused.exit_code != 0
    assert "its state is gone from run/resume. Start it again." in refused.stderr


def test_overwriting_a_killed_start_leaves_none_of_its_temporary_files(
    minigpt: Run, notes: str, tiny: list[str], killed_before_its_first_state: Run
) -> None:
    command = ["train", notes, *tiny, "--steps", "2", "--out", "run"]
    killed_before_its_first_state(*command)
    Path("run/.model.safetensors.123.tmp").write_text("half")
    Path("run/.tmpA1b2C3").write_text("half")
    Path("run/mine.txt").write_text("precious")
    Path("run/run.json").unlink()  # killed even before that
    assert minigpt(*command).exit_code == 0
    assert [path.name for path in Path("run").iterdir() if path.name.startswith(".")] == []
    assert Path("run/mine.txt").exists()


def test_how_often_to_save_is_remembered_until_another_number_is_given(
    minigpt: Run, notes: str, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int | None] = []

    class Keeper(run_module._StateKeeper):
        def __init__(self, trainer: Any, folder: Any, every: int | None) -> None:
            used.append(every)
            super().__init__(trainer, folder, every)

    monkeypatch.setattr(run_module, "_StateKeeper", Keeper)
    first = ("train", notes, *tiny, "--steps", "2", "--out", "run", "-q")
    resumed = ("train", "--resume", "run", "-q", "--steps")
    for command in (
        (*first, "--save-every", "7"),
        (*resumed, "3"),
        (*resumed, "4", "--save-every", "9"),
        (*resumed, "5"),
    ):
        assert minigpt(*command).exit_code == 0
    assert minigpt(*first, "--overwrite").exit_code == 0
    assert used == [7, 7, 9, 9, None]


def test_a_run_that_wrote_for_tensorboard_goes_on_doing_so(minigpt: Run, notes: str, tiny: list[str]) -> None:
    assert minigpt("train", notes, *tiny, "--steps", "2", "--out", "run", "-q", "--tensorboard").exit_code == 0
    assert minigpt("train", "--resume", "run", "-q", "--steps", "3").exit_code == 0
    assert len(list(Path("run/tensorboard").iterdir())) == 2
    assert minigpt("train", notes, *tiny, "--steps", "2", "--out", "run", "-q", "--overwrite").exit_code == 0
    assert not Path("run/tensorboard").exists()


@pytest.mark.parametrize("value", [0, -1, 1.5, "7", True, []])
def test_a_damaged_number_of_steps_between_saves_is_told(
    minigpt: Run, notes: str, tiny: list[str], value: object
) -> None:
    assert minigpt("train", notes, *tiny, "--steps", "1", "--out", "run", "-q").exit_code == 0
    Path("run/run.json").write_text(json.dumps(info() | {"save_every": value}))
    result = minigpt("train", "--resume", "run", "--steps", "2")
    assert result.exit_code == 1
    assert "is damaged, or is not of this version of minigpt: save_every is" in result.stderr


def test_steps_are_the_total(minigpt: Run, notes: str, tiny: list[str]) -> None:
    assert minigpt("train", notes, *tiny, "--steps", "6", "--out", "run", "-q").exit_code == 0
    result = minigpt("train", "--resume", "run", "--steps", "5")
    assert result.exit_code != 0
    assert "--steps 5 is the total, of which this run has 6 behind it: give more than that." in result.stderr
