"""Models that are no GPT, from training to every view that can show them; the others refuse them in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Run = Callable[..., Any]
SMALL = ["--layers", "1", "--width", "16", "--context", "32", "--batch-size", "4", "--vocab-size", "300"]


@pytest.fixture
def run(minigpt: Run, notes: str, kind: str) -> str:
    """The folder of a run of three steps."""
    result = minigpt("train", notes, "--model", kind, *SMALL, "--steps", "3", "--quiet")
    assert result.exit_code == 0, result.stderr
    return "checkpoints/notes"


def test_it_is_sampled_and_looked_at_as_any_other(minigpt: Run, run: str, notes: str) -> None:
    sampled = minigpt("sample", "The", "-c", run, "--max-tokens", "40", "--check", "--ignore-end-of-text")
    assert sampled.exit_code == 0, sampled.output
    assert "40 cached steps against full passes" in sampled.stderr
    assert "window moved" not in sampled.stderr
    for arguments in (
        ("sample", "The", "-c", run, "--num-samples", "3", "--max-tokens", "3"),
        ("inspect-probs", "The cat", "-c", run),
        ("inspect-probs", "--all", "--file", notes, "-c", run, "--top", "1"),
        ("inspect-probs", "The cat", "--history", run),
        ("inspect-probs", "The", "--choices", "cat,dog", "-c", run),
        ("inspect-embeddings", "a", "-c", run),
        ("evaluate", notes, "-c", run),
        ("plot", run),
    ):
        result = minigpt(*arguments)
        assert result.exit_code == 0, (arguments, result.output)


def test_a_text_is_one_stream_unless_a_stride_is_given(minigpt: Run, run: str, notes: str) -> None:
    stream = json.loads(minigpt("evaluate", notes, "-c", run, "--json").stdout.splitlines()[-1])
    windows = json.loads(minigpt("evaluate", notes, "-c", run, "--json", "--stride", "32").stdout.splitlines()[-1])
    assert (stream["context"], stream["stride"]) == (None, None)
    assert (windows["context"], windows["stride"]) == (32, 32)
    assert stream["tokens"] == windows["tokens"]
    assert "each document read as one stream" in " ".join(minigpt("evaluate", notes, "-c", run).stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect-attention", "The cat"),
        ("inspect-probs", "The cat", "--by-layer"),
        ("inspect-probs", "The cat", "--attribution"),
        ("inspect-embeddings", "--positions"),
        ("inspect-probs", "The cat", "--without", "layer 1 mlp"),
        ("inspect-probs", "The cat", "--parts"),
        ("sample", "The", "--dtype", "bfloat16"),
    ],
)
def test_what_needs_a_gpt_says_so(minigpt: Run, run: str, arguments: tuple[str, ...]) -> None:
    result = minigpt(*arguments, "-c", run)
    assert result.exit_code == 2
    assert ", which only a GPT has: this model is a" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("flags", "blamed"), [(("--history", "RUN"), "--history"), (("--history", "run"), "--checkpoint")]
)
def test_a_refused_history_by_layer_names_the_flag_that_was_given(
    minigpt: Run, run: str, flags: tuple[str, str], blamed: str
) -> None:
    result = minigpt("inspect-probs", "The", "--by-layer", *(run if flag == "RUN" else flag for flag in flags))
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Name the folder of a GPT with {blamed}.\n")
    assert result.stdout == ""


def test_its_command_repeats_it(minigpt: Run, run: str) -> None:
    command = json.loads((Path(run) / "run.json").read_text("utf-8"))["command"]
    result = minigpt(*command[1:], "--out", "again", "--quiet")
    assert result.exit_code == 0, result.stderr
    one, other = (load_file(Path(folder) / "model.safetensors") for folder in (run, "again"))
    torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_it_goes_on_exactly_where_it_was(minigpt: Run, run: str, notes: str, kind: str) -> None:
    more = minigpt("train", "--resume", run, "--steps", "5", "--quiet")
    assert more.exit_code == 0, more.stderr
    records = [json.loads(line) for line in (Path(run) / "train.jsonl").read_text("utf-8").splitlines()]
    assert [record["step"] for record in records] == [0, 1, 2, 3, 4, 5]
    refused = minigpt("train", "--resume", run, "--steps", "6", "--model", "gpt")
    assert refused.exit_code == 2
    assert f"--model gpt differs from this run's {kind}. Leave it out." in refused.stderr


def test_muon_is_refused(minigpt: Run, notes: str, kind: str) -> None:
    result = minigpt("train", notes, "--model", kind, "--optimizer", "muon", "--steps", "3")
    assert result.exit_code == 2
    assert f"--model {kind} is trained by adamw." in " ".join(result.stderr.split())


def test_the_shape_is_told(minigpt: Run, notes: str) -> None:
    result = minigpt("train", notes, "--model", "lstm", *SMALL, "--steps", "1")
    assert "1 layer × 16, an LSTM, context 32" in " ".join(result.stderr.split())


def test_a_dry_run_with_minutes_shows_its_own_size(minigpt: Run, notes: str) -> None:
    result = minigpt("train", notes, "--model", "lstm", "--minutes", "0.2", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "2 layers × " in result.stdout
    assert "an LSTM, context 128" in " ".join(result.stdout.split())
    assert not Path("checkpoints").exists()
