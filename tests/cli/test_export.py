"""`minigpt export`: a run, or one of its snapshots, in; a file or a folder for other programs out."""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

Run = Callable[..., Any]


def test_a_gguf_file(minigpt: Run, trained: Path) -> None:
    result = minigpt("export", str(trained), "a.gguf", "--dtype", "q8_0")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("a.gguf: 1 layer × 32, 23 k parameters in q8_0, ")
    assert 'llama_cpp.Llama("a.gguf", n_ctx=0)' in result.stdout
    assert result.stderr == ""
    assert gguf.GGUFReader("a.gguf").fields["general.name"].contents() == "run"
    assert os.listdir() == ["a.gguf"]


def test_a_folder_that_samples_the_same(minigpt: Run, trained: Path) -> None:
    result = minigpt("export", str(trained), "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("out: 1 layer × 32")
    assert "minigpt sample -c out" in result.stdout
    assert not {"run.json", "train.jsonl", "snapshots", "resume"} & set(os.listdir("out"))
    flags = ["sample", "The cat", "-n", "8", "--seed", "1", "-q"]
    assert minigpt(*flags, "-c", "out").stdout == minigpt(*flags, "-c", str(trained)).stdout


@pytest.mark.parametrize("target", ["a.gguf", "out"])
def test_a_snapshot_goes_out_too_and_json_says_what_was_written(minigpt: Run, trained: Path, target: str) -> None:
    snapshot = sorted((trained / "snapshots").iterdir())[0]
    result = minigpt("export", str(snapshot), target, "--dtype", "float16", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert list(record) == ["path", "format", "dtype", "parameters", "bytes", "checkpoint", "version"]
    assert (record["path"], record["dtype"]) == (target, "float16")
    assert record["format"] == ("gguf" if target == "a.gguf" else "huggingface")
    files = [Path(target)] if target == "a.gguf" else list(Path(target).iterdir())
    assert record["bytes"] == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("target", ["a.gguf", "out"])
def test_an_earlier_export_is_replaced_only_when_asked(minigpt: Run, trained: Path, target: str) -> None:
    assert minigpt("export", str(trained), target).exit_code == 0
    again = minigpt("export", str(trained), target)
    assert again.exit_code == 1
    assert again.stderr.startswith(f"minigpt export: {target} exists already.")
    assert minigpt("export", str(trained), target, "--overwrite", "--dtype", "float16").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.gguf", "--dtype", "bfloat16"], "--dtype must be float32, float16 or q8_0 in a .gguf file, not bfloat16."),
        (["out", "--dtype", "q8_0"], "--dtype must be float32, bfloat16 or float16 in a folder, not q8_0."),
        (["a.pt"], "a.pt: an export is a .gguf file, a page (.html), or a folder"),
        (["no/a.gguf"], "no/a.gguf: there is no folder no."),
    ],
)
def test_mistakes_are_one_clear_line(minigpt: Run, trained: Path, arguments: list[str], message: str) -> None:
    result = minigpt("export", str(trained), *arguments)
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith(f"minigpt export: {message}")
    assert result.stdout == ""
    assert os.listdir() == []


def test_a_name_need_not_be_utf8(minigpt: Run, trained: Path) -> None:
    result = minigpt("export", str(trained), "b\udcff")
    assert result.exit_code == 0, result.stderr
    assert 'from_pretrained("b\\udcff")' in result.stdout
    assert "# b" in (Path("b\udcff") / "README.md").read_text("utf-8")


def test_a_run_is_never_replaced(minigpt: Run, trained: Path) -> None:
    result = minigpt("export", str(trained), str(trained), "--overwrite")
    assert result.exit_code == 1
    assert "is a run, which an export must not replace" in result.stderr


def test_without_the_library_one_line_says_what_to_install(
    minigpt: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    result = minigpt("export", str(trained), "a.gguf")
    assert result.exit_code == 1
    assert "pip install -e '.[gguf]'" in result.stderr


@pytest.mark.parametrize(("target", "file"), [("a.gguf", "a.gguf"), ("out", "out/model.safetensors")])
def test_a_file_that_may_not_grow_leaves_nothing_behind(start: Run, trained: Path, target: str, file: str) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    process = start("export", str(trained), target, "-q", preexec_fn=limit)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (1, b"")
    assert f"{file} cannot be written" in err.decode()
    assert err.count(b"\n") == 1
    assert os.listdir() == []
