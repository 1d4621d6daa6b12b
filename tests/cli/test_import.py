"""`minigpt import`: a GGUF file in, a GPT-2 folder out; and -c FILE.gguf. nanoGPT: checkpoint/test_nanogpt.py."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import minigpt as minigpt_package

Run = Callable[..., Any]
FILES = {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
FILES |= {"tokenizer_config.json"}


@pytest.fixture
def model(minigpt: Run, trained: Path) -> str:
    assert minigpt("export", str(trained), "a.gguf").exit_code == 0
    return "a.gguf"


def test_a_folder_that_samples_the_same(minigpt: Run, trained: Path, model: str) -> None:
    result = minigpt("import", model, "out")
    assert result.exit_code == 0, result.stderr
    first, second, third = result.stdout.splitlines()
    assert first.startswith("out: 1 layer × 32, 23 k parameters in float32, ")
    assert second == "  tokenizer of a.gguf"
    assert third == "  minigpt sample -c out"
    assert result.stderr == ""
    assert set(os.listdir("out")) == FILES
    flags = ["sample", "The cat", "-n", "8", "--seed", "1", "-q"]
    expected = minigpt(*flags, "-c", str(trained)).stdout
    assert minigpt(*flags, "-c", "out").stdout == expected
    assert minigpt(*flags, "-c", model).stdout == expected


def test_json_says_what_was_written_and_of_what(minigpt: Run, model: str) -> None:
    record = json.loads(minigpt("import", model, "out", "--json").stdout)
    assert list(record) == ["path", "format", "dtype", "parameters", "bytes", "source", "version"]
    assert (record["path"], record["format"], record["dtype"]) == ("out", "huggingface", "float32")
    assert record["bytes"] == sum(file.stat().st_size for file in Path("out").iterdir())
    digest = sha256(Path(model).read_bytes()).hexdigest()
    assert record["source"] == {"path": model, "format": "gguf", "sha256": digest, "tokenizer": model}


def test_an_earlier_import_is_replaced_only_when_asked_and_a_run_never(minigpt: Run, model: str, trained: Path) -> None:
    assert minigpt("import", model, "out").exit_code == 0
    again = minigpt("import", model, "out")
    assert again.exit_code == 1
    assert again.stderr.startswith("minigpt import: out exists already. Choose another name, or replace it with")
    assert minigpt("import", model, "out", "--overwrite").exit_code == 0
    on_run = minigpt("import", model, str(trained), "--overwrite")
    assert on_run.exit_code == 1
    assert "is a run, which an export must not replace" in on_run.stderr


@pytest.mark.parametrize("command", ["inspect-probs", "inspect-attention", "evaluate", "sample"])
def test_a_gguf_file_is_a_checkpoint(minigpt: Run, trained: Path, model: str, command: str) -> None:
    Path("text.txt").write_text("The cat sat on the mat.\n")
    what = {"evaluate": ["text.txt"], "sample": ["The cat", "-n", "3", "--json"]}.get(command, ["The cat", "--json"])
    results = [minigpt(command, *what, "-c", each) for each in (model, str(trained))]
    assert [result.exit_code for result in results] == [0, 0], results[0].stderr
    if command == "evaluate":
        assert results[0].stdout == results[1].stdout


def test_a_trace_of_a_gguf_file_is_replayed_until_the_file_changes(minigpt: Run, trained: Path, model: str) -> None:
    result = minigpt("sample", "The cat", "-n", "3", "-c", model, "--trace", "t.jsonl")
    assert result.exit_code == 0, result.stderr
    assert minigpt("sample", "--replay", "t.jsonl").exit_code == 0
    assert minigpt("export", str(trained), model, "--overwrite", "--dtype", "float16").exit_code == 0
    assert "is no longer what t.jsonl was made with" in minigpt("sample", "--replay", "t.jsonl").stderr


def test_a_link_may_be_named(minigpt: Run, model: str) -> None:
    """Unlike one inside a folder, which its maker chose."""
    Path("link.gguf").symlink_to(model)
    assert minigpt("sample", "The cat", "-n", "2", "-c", "link.gguf").exit_code == 0
    assert minigpt("import", "link.gguf", "out").exit_code == 0


@pytest.mark.parametrize("special", ["loop", "pipe"])
def test_what_is_no_file_is_one_clear_line(minigpt: Run, special: str) -> None:
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    result = minigpt("import", special, "out")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "cannot be read" in result.stderr


def test_python_opens_it_too(trained: Path, model: str) -> None:
    text = "The cat"
    assert minigpt_package.load(model).next(text) == minigpt_package.load(trained).next(text)


def test_a_gguf_file_is_finetuned(minigpt: Run, model: str) -> None:
    Path("text.txt").write_text("The cat sat on the mat.\n" * 40)
    result = minigpt("train", "text.txt", "--from", model, "--steps", "1", "--out", "run", "-q")
    assert result.exit_code == 0, result.stderr
    assert minigpt("sample", "The", "-n", "2", "-c", "run").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.gguf", "out"], 1, "none.gguf cannot be read: No such file or directory."),
        (["a.gguf", "b.gguf"], 2, "b.gguf: an import is a folder, which `minigpt export` then writes as a .gguf file."),
        (["a.gguf", "b.pt"], 2, "b.pt: an export is a .gguf file, a page (.html), or a folder"),
        (["a.gguf", "out", "--meta", "m.pkl"], 2, "--meta goes with a checkpoint of nanoGPT: a GGUF file says it"),
        (["a.gguf", "out", "--activation", "relu"], 2, "--activation must be gelu or gelu_new, not relu."),
        (["text.txt", "out"], 1, "text.txt is neither a GGUF file nor a checkpoint of nanoGPT"),
        (["empty", "out"], 1, "empty is a folder without ckpt.pt. An import reads that, or a .gguf file;"),
    ],
)
def test_mistakes_are_one_clear_line(minigpt: Run, model: str, arguments: list[str], code: int, message: str) -> None:
    Path("text.txt").write_text("no model")
    Path("empty").mkdir()
    result = minigpt("import", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(f"minigpt import: {message}")
    assert sorted(os.listdir()) == ["a.gguf", "empty", "text.txt"]


def test_a_folder_of_a_gguf_file_alone_names_the_file(minigpt: Run, model: str) -> None:
    Path("models").mkdir()
    Path(model).rename("models/toy.gguf")
    told = minigpt("sample", "-c", "models")
    assert told.exit_code == 1
    assert told.stderr == (
        "minigpt sample: models has no config.json. Its toy.gguf can be named: --checkpoint models/toy.gguf.\n"
    )


def test_what_is_no_checkpoint_names_the_import(minigpt: Run) -> None:
    Path("ckpt.pt").write_bytes(b"PK\x03\x04")
    told = minigpt("sample", "-c", "ckpt.pt").stderr
    assert told.endswith("which --checkpoint takes:\n  minigpt import ckpt.pt FOLDER\n")
    assert "ckpt.pt is a checkpoint of nanoGPT" in minigpt("sample", "-c", ".").stderr
