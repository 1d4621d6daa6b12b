"""MINIGPT_* variables stand for flags that are not given, and are named where they are wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Run = Callable[..., Any]


def top_token(result: Any) -> str:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["steps"][0]["candidates"][0]["text"]


def test_the_checkpoint_is_taken_where_none_is_given(minigpt: Run, trained: Path) -> None:
    flags = ["inspect-probs", "The cat", "--json", "-q"]
    given = top_token(minigpt(*flags, "-c", str(trained)))
    assert top_token(minigpt(*flags, MINIGPT_CHECKPOINT=str(trained))) == given
    assert top_token(minigpt(*flags, "-c", str(trained), MINIGPT_CHECKPOINT="nowhere")) == given
    assert "There is no trained model" in minigpt(*flags, MINIGPT_CHECKPOINT="").stderr


def test_a_variable_does_not_contradict_what_names_its_own_checkpoint(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-probs", "The cat", "--history", str(trained), "-q", MINIGPT_CHECKPOINT=str(trained))
    assert result.exit_code == 0, result.stderr
    assert minigpt("sample", "The", "-n", "2", "--trace", "a.jsonl", "-c", str(trained), "-q").exit_code == 0
    replayed = minigpt("sample", "--replay", "a.jsonl", "-q", MINIGPT_CHECKPOINT="nowhere", MINIGPT_DEVICE="cpu")
    assert replayed.exit_code == 0, replayed.stderr


def test_threads_and_device_are_those_of_the_variables(
    minigpt: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    flags = ["evaluate", str(trained.parent / "notes.txt"), "-c", str(trained), "-q"]
    assert minigpt(*flags, MINIGPT_THREADS="3", MINIGPT_DEVICE="cpu").exit_code == 0
    assert threads[0] == 3
    assert minigpt(*flags, "--threads", "2", MINIGPT_THREADS="3").exit_code == 0
    assert threads[-1] == 2


@pytest.mark.parametrize(
    ("variable", "value", "code", "message"),
    [
        ("MINIGPT_DEVICE", "toaster", 2, "--device 'toaster' is not a device. Use auto, cpu, cuda, mps or cuda:1.\n"),
        ("MINIGPT_CHECKPOINT", "nowhere", 1, "nowhere does not exist"),
        ("MINIGPT_THREADS", "many", 2, "Invalid value for '--threads' (env var: 'MINIGPT_THREADS')"),
        ("MINIGPT_THREADS", "0", 2, "--threads must lie between 1 and 1,024, not 0.\nMINIGPT_THREADS is 0.\n"),
    ],
)
def test_a_bad_value_is_named_as_the_variable(
    minigpt: Run, trained: Path, variable: str, value: str, code: int, message: str
) -> None:
    flags = [] if variable == "MINIGPT_CHECKPOINT" else ["-c", str(trained)]
    result = minigpt("inspect-probs", "The cat", *flags, COLUMNS="200", **{variable: value})
    assert result.exit_code == code
    assert message in result.stderr
    assert code == 2 or result.stderr.endswith(f"\n{variable} is {value}.\n")


def test_a_flag_that_is_wrong_is_not_blamed_on_a_variable(minigpt: Run, trained: Path) -> None:
    result = minigpt("inspect-probs", "x", "-c", str(trained), "--device", "toaster", MINIGPT_DEVICE="cpu")
    assert "MINIGPT_DEVICE" not in result.stderr


def test_the_help_names_them(minigpt: Run) -> None:
    shown = minigpt("sample", "--help", COLUMNS="160").stdout
    for variable in ("MINIGPT_CHECKPOINT", "MINIGPT_DEVICE", "MINIGPT_THREADS"):
        assert f"[env var: {variable}]" in shown
