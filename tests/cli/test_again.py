"""The command in run.json repeats the run, to the bit, from every choice that it was made with."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minigpt.checkpoint.folder import load

Run = Callable[..., Any]


def info(run: str) -> dict[str, Any]:
    return json.loads(Path(run, "run.json").read_text("utf-8"))


def assert_same_weights(a: str, b: str) -> None:
    left, right = (load(path).model.state_dict() for path in (a, b))
    assert [name for name in left if not left[name].equal(right[name])] == []


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--tokenizer", "char", "--dropout", "0.1", "--learning-rate", "0.00123456789", "--seed", "77"],
        ["--vocab-size", "30000", "--context", "100000", "--accumulation", "2", "--optimizer", "adamw"],  # both shrink
        ["--val", "held out.txt", "--encoding", "latin-1"],
        ["--positions", "sinusoidal"],
        ["--part", "0.25"],
    ],
    ids=["defaults", "char", "shrunk", "val", "positions", "part"],
)
def test_the_command_in_run_json_repeats_the_run_elsewhere(minigpt: Run, notes: str, flags: list[str]) -> None:
    Path("held out.txt").write_text("The cat sat here, not there.")
    shape = ["--layers", "1", "--heads", "1", "--width", "16", "--steps", "3", "--batch-size", "2"]
    assert minigpt("train", notes, *shape, *flags, "--out", "one").exit_code == 0
    program, *arguments = info("one")["command"]
    assert program == "minigpt"
    Path("elsewhere").mkdir()
    Path("elsewhere/held out.txt").write_bytes(Path("held out.txt").read_bytes())
    os.chdir("elsewhere")
    result = minigpt(*arguments, "--out", "two")
    assert result.exit_code == 0, result.stderr
    assert info("two")["command"] == info("../one")["command"]
    assert_same_weights("../one", "two")
    assert_same_weights(*(f"{run}/snapshots/step-000003" for run in ("../one", "two")))


def test_the_card_shows_the_command_as_a_shell_takes_it(minigpt: Run, notes: str, tiny: list[str]) -> None:
    Path("my notes; rm -rf.txt").write_bytes(Path(notes).read_bytes())
    assert minigpt("train", "my notes; rm -rf.txt", *tiny, "--steps", "1", "--out", "run").exit_code == 0
    line = next(line for line in Path("run/README.md").read_text().splitlines() if line.startswith("    minigpt train"))
    assert shlex.split(line) == info("run")["command"]
    assert "my notes; rm -rf.txt" in shlex.split(line)


def test_odd_names_of_texts(minigpt: Run, notes: str, tiny: list[str]) -> None:
    for name in ("-x.txt", os.fsdecode(b"caf\xe9.txt"), "-"):
        if name != "-":
            Path(name).write_bytes(Path(notes).read_bytes())
        result = minigpt("train", *tiny, "--steps", "1", "--out", "run", "--overwrite", "--", name, input=b"a b " * 999)
        assert result.exit_code == 0, result.stderr
        assert info("run")["command"][2] == {"-x.txt": "./-x.txt", "-": "-"}.get(name, "caf\\xe9.txt")
    assert "given the same text on standard input again" in Path("run/README.md").read_text()


def test_a_run_goes_on_with_the_very_flags_it_began_with(minigpt: Run, notes: str, tiny: list[str]) -> None:
    flags = [notes, *tiny, "--steps", "2", "--encoding", "utf-8", "--tokenizer", "bpe", "--out", "run"]
    assert minigpt("train", *flags).exit_code == 0
    assert "finished" in minigpt("train", *flags, "--resume", "run").stdout
    Path("b.txt").write_text("b")
    refused = minigpt("train", "b.txt", "--resume", "run")
    assert refused.exit_code == 2
    assert "CORPUS ['b.txt'] differs from this run's" in refused.stderr
