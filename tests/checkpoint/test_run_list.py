"""What is in a folder of runs: whole ones, other models, running ones, damaged ones."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.listing import list_runs
from minigpt.checkpoint.records import RunSummary
from minigpt.errors import CheckpointError

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
INFO = {
    "date": (NOW - timedelta(hours=3)).isoformat(),
    "status": "finished",
    "choices": {"tokenizer": "bpe"},
    "model": {"model": "gpt", "vocab_size": 320, "layers": 2, "width": 16},
    "parameters": 12_345,
    "corpus": {
        "sources": [
            {"name": name, "sha256": "aa", "size": 9, "documents": 1} for name in ("a/notes.txt", "b.txt", "c.txt")
        ]
    },
    "saved": {"step": 20, "validation_loss_nats": 3.5, "validation_bits_per_byte": 2.25},
    "steps_taken": 30,
}


@pytest.fixture
def make_run(checkpoint_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A run of a name below tmp_path/runs, whose run.json has changes."""

    def make(name: str, **changes: Any) -> Path:
        folder = tmp_path / "runs" / name
        shutil.copytree(checkpoint_folder, folder)
        (folder / "run.json").write_text(json.dumps({**INFO, **changes}))
        return folder

    return make


def listed(folder: Path, now: datetime = NOW) -> list[RunSummary]:
    return list_runs(folder.parent, now)


def test_a_run_says_what_it_is(make_run: Callable[..., Path]) -> None:
    folder = make_run("notes")
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert listed(folder) == [
        RunSummary(
            name="notes", path=str(folder), date=str(INFO["date"]), age_seconds=10_800.0, status="finished",
            model="gpt", layers=2, width=16, parameters=12_345, tokenizer="bpe", vocab_size=320,
            text="a/notes.txt and 2 more", steps=30, saved_step=20,
            validation_loss_nats=3.5, validation_bits_per_byte=2.25, bytes=size,
        )
    ]  # fmt: skip


def test_the_newest_is_the_first(make_run: Callable[..., Path]) -> None:
    for name, hours in (("old", 50), ("new", 1), ("middle", 9)):
        folder = make_run(name, date=(NOW - timedelta(hours=hours)).isoformat())
    assert [run.name for run in listed(folder)] == ["new", "middle", "old"]


def test_all_ages_are_counted_from_one_time(make_run: Callable[..., Path]) -> None:
    for name in ("one", "two", "three"):
        folder = make_run(name)
    assert len({run.age_seconds for run in list_runs(folder.parent)}) == 1


def test_what_holds_no_model_is_left_out(make_run: Callable[..., Path]) -> None:
    folder = make_run("notes")
    (folder.parent / "README.md").write_text("x")
    (folder.parent / "empty").mkdir()
    shutil.copytree(folder, folder.parent / ".tokens-1")
    assert [run.name for run in listed(folder)] == ["notes"]


def test_a_model_without_a_run_is_listed_by_its_files(make_run: Callable[..., Path]) -> None:
    folder = make_run("hf")
    (folder / "run.json").unlink()
    os.utime(folder / "model.safetensors", (0, NOW.timestamp() + 60))
    [run] = listed(folder, datetime.fromtimestamp(folder.stat().st_mtime + 7200, UTC))
    assert (run.status, run.model, run.layers, run.width, run.vocab_size) == ("model", "gpt", 2, 16, 320)
    assert run.text is None
    assert run.parameters == 320 * 16 + 16 * 16 + 2 * (12 * 256 + 13 * 16) + 2 * 16
    assert 7000 < run.age_seconds <= 7200


def test_a_run_that_goes_on_tells_its_last_step(make_run: Callable[..., Path]) -> None:
    folder = make_run("notes", status="running", steps_taken=None, saved={"step": 0})
    lines = [json.dumps({"step": step}) for step in range(5_000)]
    (folder / "train.jsonl").write_text("\n".join(lines) + '\n{"step": 5')
    written = datetime.fromtimestamp((folder / "train.jsonl").stat().st_mtime, UTC)
    [run] = listed(folder, written + timedelta(minutes=59))
    assert (run.status, run.steps, run.saved_step, run.validation_bits_per_byte) == ("running", 4_999, 0, None)
    [run] = listed(folder, written + timedelta(minutes=61))
    assert run.status == "unfinished"


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "run.json": (lambda f: (f / "run.json").write_text("{"), "run.json is not JSON"),
    "a list": (lambda f: (f / "run.json").write_text("[]"), "run.json does not contain a JSON object"),
    "config.json": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "weights cut off": (lambda f: cut(f / "model.safetensors", 9_000), "model.safetensors cannot be read, or is damag"),
    "weights of nothing": (lambda f: cut(f / "model.safetensors", 0), "model.safetensors cannot be read, or is damag"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_run_is_listed_with_what_is_wrong(
    make_run: Callable[..., Path], damage: Callable[[Path], object], message: str
) -> None:
    folder = make_run("notes")
    make_run("whole")
    damage(folder)
    runs = {run.name: run for run in listed(folder)}
    assert runs["notes"].status == "damaged"
    assert runs["notes"].problem is not None
    assert runs["notes"].problem.startswith(message)
    assert runs["whole"].problem is None


EVIL = {"tokenizer": [], "layers": 0, "sources": [7], "step": "x"}


@pytest.mark.parametrize("name", INFO)
@pytest.mark.parametrize("value", [7.5, [], EVIL, float("nan"), 10**400])
def test_no_value_in_a_run_json_breaks_the_list(make_run: Callable[..., Path], name: str, value: Any) -> None:
    make_run("whole")
    folder = make_run("notes", **{name: value})
    runs = {run.name: run for run in listed(folder)}
    assert runs["whole"] == replace(runs["whole"], status="finished", saved_step=20, problem=None)
    assert runs["notes"].status == "damaged"
    assert (runs["notes"].problem or "").startswith("run.json ")


def test_a_folder_that_cannot_be_read_is_a_line_of_the_list(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("locked")
    make_run("whole")
    is_there = Path.exists

    def exists(path: Path) -> bool:
        if path.parent == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return is_there(path)

    monkeypatch.setattr(Path, "exists", exists)
    runs = {run.name: run for run in listed(folder)}
    assert (runs["locked"].status, runs["locked"].problem) == ("damaged", "it cannot be read: Permission denied")
    assert runs["whole"].problem is None


@pytest.mark.parametrize("seconds", [-(10**6), 10**13])
def test_a_clock_that_was_wrong_breaks_no_list(make_run: Callable[..., Path], seconds: int) -> None:
    folder = make_run("notes", date=None)
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "date": None}))
    for path in (folder / "run.json", folder / "model.safetensors", folder):
        os.utime(path, (seconds, seconds))
    assert [run.problem for run in listed(folder)] == [None]


def test_a_pipe_in_place_of_the_weights_is_not_waited_for(make_run: Callable[..., Path]) -> None:
    folder = make_run("pipe")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    (run,) = listed(folder)
    assert run.status == "damaged"
    assert run.problem == "model.safetensors cannot be read: it is a folder or a special file"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no folder .*nowhere.\nminigpt runs --dir FOLDER"):
        list_runs(tmp_path / "nowhere")
