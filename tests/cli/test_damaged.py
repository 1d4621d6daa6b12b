"""Whatever becomes of a file of ours, a command ends well or with a sentence about it: never with another exception."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minigpt.contest.records import Comparison, Contender, ContenderRun
from minigpt.records import to_plain
from minigpt.training import run as run_module

Run = Callable[..., Any]
Edit = Callable[[bytes, random.Random], bytes]
SEEDS = range(15)  # of every file and command, for every change; some thousands find what is rarer
DEEP = "@deep@"
EVIL = [
    None, True, False, 0, -1, 1, 1.5, 7, 10**19, 10**400, 1e-320, 1e308, -1e308, float("nan"), float("inf"),
    "", "x", "gpt", "\ud800", "\0", "a" * 3000, "../..", "2026-02-30", "0001-01-01T00:00:00+14:00", DEEP,
    [], [[]], [None], [1, 2, 3], {}, {"x": {}}, [{}],
]  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(Object or list, name or number) of all that it holds."""
    for name in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, name
        yield from places(value[name])


def edited_json(data: bytes, source: random.Random) -> bytes:
    """With one value or two of another kind, gone, new or given twice; or cut off, or with other bytes."""
    kind = source.random()
    if kind < 0.1:
        return data[: source.randrange(len(data))]
    if kind < 0.2:
        at = source.randrange(len(data))
        return data[:at] + source.randbytes(source.randint(0, 3)) + data[at + source.randint(0, 3) :]
    values = json.loads(data)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        found = list(places(values))
        if not found:
            values = {"x": deepcopy(source.choice(EVIL))}
            continue
        inside, name = source.choice(found)
        how = source.random()
        if how < 0.1:
            del inside[name]
        elif how < 0.2 and isinstance(inside[name], int | float):
            inside[name] = inside[name] * source.choice((-1, 0, 10, 1000, 0.5))
        else:
            inside[name] = deepcopy(source.choice(EVIL))
    text = json.dumps(values).replace(json.dumps(DEEP), "[" * 50_000)
    if kind < 0.25 and isinstance(values, dict) and values:
        text = text.replace("{", f"{{{json.dumps(source.choice(list(values)))}: 1, ", 1)
    return text.encode() + b"\n"


def edited_line(data: bytes, source: random.Random) -> bytes:
    """One line of many."""
    lines = data.splitlines(keepends=True)
    at = source.randrange(len(lines))
    return b"".join([*lines[:at], edited_json(lines[at], source), *lines[at + 1 :]])


def edited_header(data: bytes, source: random.Random) -> bytes:
    """The header of a safetensors file, and in it what is JSON once more."""
    if source.random() < 0.1:
        return data[: source.randrange(len(data))]
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if "state" in header["__metadata__"] and source.random() < 0.5:
        state = edited_json(header["__metadata__"]["state"].encode(), source)
        header["__metadata__"]["state"] = state.decode("utf-8", "replace")
        text = json.dumps(header).encode()
    elif source.random() < 0.4:
        name = source.choice(list(header["__metadata__"]))
        header["__metadata__"][name] = source.choice(["", "x", "nan", "1e999", "-3", "9" * 400, "[]", "\0", "1_0"])
        text = json.dumps(header).encode()
    else:
        text = edited_json(data[8 : 8 + size], source)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def run_and_check(minigpt: Run, path: Path, edit: Edit, arguments: list[str], seeds: range) -> None:
    """Run a command once for each damage that `edit` does to the file; everything around it is put back."""
    files = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    for seed in seeds:
        path.write_bytes(edit(files[path], random.Random(f"{path.name} {seed}")))
        result = minigpt(*arguments)
        told = f"seed {seed}: {result.stderr}"
        assert result.exception is None or isinstance(result.exception, SystemExit), told
        assert result.exit_code in (0, 1, 2), told
        if result.exit_code:
            assert f"minigpt {arguments[0]}: " in result.stderr, told
            assert any(name in result.stderr for name in (*path.parts[1:], "notes.txt", "this run's")), told
            assert len(result.stderr.splitlines()) <= 5, told
        for file in path.parent.rglob("*"):
            if file.is_file() and file not in files:
                file.unlink()
        for file, data in files.items():
            if not file.is_file() or file.stat().st_size != len(data) or file.read_bytes() != data:
                file.write_bytes(data)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go on for no step, and keep no state: it is what comes before that is in question."""
    monkeypatch.setattr(run_module.Trainer, "records", lambda *_, **__: iter(()))
    monkeypatch.setattr(run_module, "save_state", lambda *_: None)
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def checkpoints(trained: Path) -> Path:
    """A run that is to go on, and another one, each with the first and the last of its snapshots."""
    for name in ("notes", "whole"):
        shutil.copytree(trained, Path("checkpoints") / name)
        for step in sorted(Path("checkpoints", name, "snapshots").iterdir())[1:-1]:
            shutil.rmtree(step)
    run = Path("checkpoints/notes/run.json")
    run.write_text(json.dumps({**json.loads(run.read_text()), "status": "stopped"}))
    return Path("checkpoints")


COMMANDS: dict[str, tuple[str, Edit, list[str]]] = {
    "runs": ("run.json", edited_json, ["runs"]),
    "runs --json": ("run.json", edited_json, ["runs", "--json"]),
    "runs, log": ("train.jsonl", edited_line, ["runs"]),
    "runs, config": ("config.json", edited_json, ["runs"]),
    "runs, weights": ("model.safetensors", edited_header, ["runs"]),
    "plot": ("run.json", edited_json, ["plot", "checkpoints/notes", "checkpoints/whole"]),
    "plot, log": ("train.jsonl", edited_line, ["plot", "checkpoints/notes"]),
    "plot --json, log": ("train.jsonl", edited_line, ["plot", "checkpoints/notes", "--json"]),
    "resume": ("run.json", edited_json, ["train", "--resume", "checkpoints/notes"]),
    "longer": ("run.json", edited_json, ["train", "--resume", "checkpoints/whole", "--minutes", "1"]),
    "resume, log": ("train.jsonl", edited_line, ["train", "--resume", "checkpoints/notes"]),
    "resume, state": ("resume/state.safetensors", edited_header, ["train", "--resume", "checkpoints/notes"]),
    "resume, ids": ("resume/tokens/manifest.json", edited_json, ["train", "--resume", "checkpoints/notes"]),
    "resume, config": ("config.json", edited_json, ["train", "--resume", "checkpoints/notes"]),
    "corpus": (
        "resume/tokens/manifest.json",
        edited_json,
        ["inspect-probs", "The", "-c", "checkpoints/notes", "--corpus", "run"],
    ),
    "sample": ("run.json", edited_json, ["sample", "The", "--max-tokens", "2", "-q"]),
    "evaluate": ("run.json", edited_json, ["evaluate", "notes.txt", "-q"]),
}


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_damaged_run(minigpt: Run, checkpoints: Path, name: str) -> None:
    Path("notes.txt").write_text("The cat sat on the mat.\n")
    file, edit, arguments = COMMANDS[name]
    run_and_check(minigpt, checkpoints / ("whole" if name == "longer" else "notes") / file, edit, arguments, SEEDS)


def test_a_damaged_snapshot(minigpt: Run, checkpoints: Path) -> None:
    (step, _) = sorted(Path("checkpoints/notes/snapshots").iterdir())
    command = ["inspect-probs", "The", "--history", "checkpoints/notes"]
    run_and_check(minigpt, step / "model.safetensors", edited_header, command, SEEDS)


def test_a_text_that_is_read_again(minigpt: Run, checkpoints: Path) -> None:
    shutil.rmtree("checkpoints/notes/resume/tokens")
    command = ["inspect-probs", "The", "-c", "checkpoints/notes", "--corpus", "run"]
    run_and_check(minigpt, checkpoints / "notes/run.json", edited_json, command, SEEDS)


def test_a_damaged_trace(minigpt: Run, checkpoints: Path) -> None:
    made = ["sample", "The", "-c", "checkpoints/notes", "--max-tokens", "4", "--top", "2", "--trace", "traces/a.jsonl"]
    Path("traces").mkdir()
    assert minigpt(*made).exit_code == 0
    for command in (["sample", "--replay", "traces/a.jsonl"], ["sample", "--replay", "traces/a.jsonl", "--json"]):
        run_and_check(minigpt, Path("traces/a.jsonl"), edited_line, command, SEEDS)


POINTS = ((32.0, 900.0), (512.0, 500.0))
RUN = ContenderRun(
    folder="x", tokens=900, seconds=3.0, bits_per_byte=2.5, by_tokens=((0.0, 8.0), (900.0, 2.5)), by_seconds=POINTS
)
CONTENDER = Contender(
    model="gpt", layers=1, width=32, window=None, parameters=9_000, learning_rate=0.003, tried_rates=((0.003, 2.5),),
    training_tokens_per_second=POINTS, step_milliseconds=POINTS, peak_bytes=10**6, equal_tokens=RUN, equal_time=RUN,
    loss_nats_by_position=POINTS, gradient_by_distance=POINTS, recall_by_distance=((4.0, 1.0), (8.0, 0.5)),
)  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--json"], ["--html", "page.html"]])
def test_a_damaged_comparison(
    minigpt: Run, checkpoints: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints / "notes"
    comparison = Comparison(
        name="notes", text_bytes=9_000, validation="the last 10 % of the text", context=16, batch_size=4, minutes=1.0,
        vocab_size=json.loads((folder / "config.json").read_text())["vocab_size"], quick=True, seed=1,
        machine="1 CPU core", tokens=900, seconds=9.0, recall_steps=30,
        contenders=(CONTENDER, replace(CONTENDER, model="window", window=4)),
    )  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(to_plain(comparison)))
    monkeypatch.setattr("minigpt.contest.contest.Contest.measurements", lambda _: iter(()))
    monkeypatch.setattr("minigpt.contest.ablation.Ablation.measurements", lambda _: iter(()), raising=False)
    command = ["compare", "--resume", "checkpoints/notes", "--threads", "1", *options]
    run_and_check(minigpt, folder / "comparison.json", edited_json, command, SEEDS)


def test_damaged_settings(minigpt: Run) -> None:
    """TOML that holds the same values."""
    Path("settings").mkdir()
    for value in ("1" + "0" * 5000, "nan", "1e400", "[]", "[[]]", "{}", '"\\u0000"', "2026-02-28", "-1", "0", '""'):
        for name in ("steps", "minutes", "seed", "model", "corpus", "json", "learning-rate"):
            Path("settings/a.toml").write_text(f"{name} = {value}\n")
            result = minigpt("train", "--dry-run", "--config", "settings/a.toml", "none.txt")
            assert isinstance(result.exception, SystemExit), f"{name} = {value}: {result.exception!r}"
