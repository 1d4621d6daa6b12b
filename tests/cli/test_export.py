"""`minigpt export`: a run, or one of its snapshots, in; a file or a folder for other programs out."""

import json
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from minigpt.app import export_page
from minigpt.app.export_page import packed_size
from minigpt.checkpoint import folder
from minigpt.text.tokenizer import Tokenizer

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


@pytest.mark.parametrize("target", ["a.gguf", "out", "a.html"])
def test_an_earlier_export_is_replaced_only_when_asked(minigpt: Run, trained: Path, target: str) -> None:
    assert minigpt("export", str(trained), target).exit_code == 0
    again = minigpt("export", str(trained), target)
    assert again.exit_code == 1
    assert again.stderr.startswith(f"minigpt export: {target} exists already.")
    assert minigpt("export", str(trained), target, "--overwrite", "--dtype", "float32").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.gguf", "--dtype", "bfloat16"], "--dtype must be float32, float16 or q8_0 in a .gguf file, not bfloat16."),
        (["out", "--dtype", "q8_0"], "--dtype must be float32, bfloat16 or float16 in a folder, not q8_0."),
        (["a.html", "--dtype", "q8_0"], "--dtype must be bfloat16, float32 or int8 in a page, not q8_0."),
        (["a.HTM", "--dtype", "float16"], "--dtype must be bfloat16, float32 or int8 in a page, not float16."),
        (["no/a.html"], "no/a.html: there is no folder no."),
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


@pytest.mark.parametrize("target", ["a.html", "a.gguf", "out"])
def test_a_model_that_does_not_exist_is_told_by_the_arguments_own_name(minigpt: Run, target: str) -> None:
    result = minigpt("export", "nowhere", target)
    assert result.exit_code == 1
    assert result.stderr.startswith("minigpt export: nowhere does not exist; RUN takes a run folder")
    assert "--checkpoint" not in result.stderr


def page_data(path: str) -> Any:
    """What a page holds."""
    found = re.search(
        '<script type="application/json" class="data">(.*?)</script>', Path(path).read_text("utf-8"), re.S
    )
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("target", ["a.html", "a.htm", "A.HTML"])
def test_a_page_with_the_history_of_the_run(minigpt: Run, trained: Path, target: str) -> None:
    result = minigpt("export", str(trained), target)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{target}: 1 layer × 32, 23 k parameters in bfloat16, ")
    assert os.listdir() == [target]
    data = page_data(target)
    steps = sorted(int(path.name.removeprefix("step-")) for path in (trained / "snapshots").iterdir())
    last = data["history"][-1]["step"]
    assert [entry["step"] for entry in data["history"]] == [*(step for step in steps if step != last), last]
    assert [entry["weights"] is None for entry in data["history"]] == [False] * (len(data["history"]) - 1) + [True]
    kept = len(data["history"]) - 1
    assert f"open it in a browser; it needs no network; with {kept} snapshot" in result.stdout


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_page_of_a_snapshot_in_each_type_as_json_says(minigpt: Run, trained: Path, dtype: str) -> None:
    snapshot = sorted((trained / "snapshots").iterdir())[0]
    result = minigpt("export", str(snapshot), "a.html", "--dtype", dtype, "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert (record["format"], record["dtype"], record["bytes"]) == ("page", dtype, Path("a.html").stat().st_size)
    data = page_data("a.html")
    assert data["history"] == []
    assert data["weights"]["wte.weight"]["dtype"] == dtype


def test_a_page_of_a_gguf_file(minigpt: Run, trained: Path) -> None:
    assert minigpt("export", str(trained), "a.gguf").exit_code == 0
    for source, target in ((trained, "one.html"), (Path("a.gguf"), "other.html")):
        assert minigpt("export", str(source), target, "--dtype", "float32").exit_code == 0
    one, other = page_data("one.html"), page_data("other.html")
    assert (one["weights"], one["config"], one["tokens"]) == (other["weights"], other["config"], other["tokens"])
    assert other["history"] == []


def test_a_page_of_a_model_on_the_hub_has_its_name(
    minigpt: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "find_folder", lambda path: trained)  # as if it had been downloaded to there
    result = minigpt("export", "someone/model@v1", "a.html")
    assert result.exit_code == 0, result.stderr
    page = Path("a.html").read_text("utf-8")
    assert "<title>minigpt: someone/model@v1</title>" in page
    assert str(trained) not in page


def test_other_models_than_a_gpt_are_refused_in_one_line(
    minigpt: Run, tmp_path: Path, bpe: Tokenizer, make_baseline: Run, kind: str
) -> None:
    model = make_baseline(kind, bpe.vocab_size)
    (tmp_path / "old").mkdir()
    folder.save_description(tmp_path / "old", model.config, bpe, torch.float32)
    folder.save_weights(tmp_path / "old", model)
    result = minigpt("export", str(tmp_path / "old"), "a.html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a page computes with the blocks of a GPT, and no other model.\n" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("a.html").exists()
    for target in ("a.gguf", "out"):
        result = minigpt("export", str(tmp_path / "old"), target)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.endswith("Name the folder of a GPT with RUN.\n")
        assert not Path(target).exists()


def test_a_model_that_is_too_large_is_told_with_all_that_counts(
    minigpt: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert minigpt("export", str(sorted((trained / "snapshots").iterdir())[0]), "a.html").exit_code == 0
    size = Path("a.html").stat().st_size
    for most, dtype, advice in (
        (size - 8000, "bfloat16", "--dtype int8 would fit.\n"),
        (size + 4000, "float32", "--dtype bfloat16 would fit.\n"),
        (1000, "int8", "no type of weights would fit: export it as a folder.\n"),
    ):
        monkeypatch.setattr(export_page, "MOST", most)
        result = minigpt("export", str(trained), "b.html", "--dtype", dtype)
        assert (result.exit_code, result.stdout) == (2, "")
        told = r"would make a page of 0\.\d MB in %s \(weights 0\.\d MB, tokenizer 0\.\d MB, the tokens' texts and "
        assert re.search(told % dtype, result.stderr)
        assert result.stderr.endswith(advice)
        assert result.stderr.count("\n") == 1
    assert os.listdir() == ["a.html"]


def test_as_many_snapshots_as_there_is_room_for_from_the_first_to_the_last(
    minigpt: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert minigpt("export", str(trained), "whole.html").exit_code == 0
    whole, steps = Path("whole.html").stat().st_size, [entry["step"] for entry in page_data("whole.html")["history"]]
    each = packed_size(folder.load(trained).model, "int8")
    for left_out in range(1, len(steps)):
        monkeypatch.setattr(export_page, "MOST", whole - (left_out - 1) * each - each // 2)
        result = minigpt("export", str(trained), "some.html", "--overwrite")
        assert result.exit_code == 0, result.stderr
        found, kept = [entry["step"] for entry in page_data("some.html")["history"]], len(steps) - 1 - left_out
        assert f"there was room for {kept} of {len(steps) - 1} snapshot" in result.stdout
        assert Path("some.html").stat().st_size <= whole - (left_out - 1) * each - each // 2
        assert len(found) == kept + 1
        assert set(found) <= set(steps)
        assert found[-1] == steps[-1]
        assert not kept or found[0] == steps[0]


def test_a_snapshot_of_another_shape_is_refused(minigpt: Run, trained: Path) -> None:
    run = Path("run")
    shutil.copytree(trained, run)
    snapshot = sorted((run / "snapshots").iterdir())[0]
    config = json.loads((snapshot / "config.json").read_text())
    (snapshot / "config.json").write_text(json.dumps({**config, "layer_norm_epsilon": 0.001}))
    result = minigpt("export", "run", "a.html")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is a model of another shape than its run.\n" in result.stderr
    assert os.listdir() == ["run"]


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


@pytest.mark.parametrize(
    ("target", "file"), [("a.gguf", "a.gguf"), ("out", "out/model.safetensors"), ("a.html", "a.html")]
)
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
