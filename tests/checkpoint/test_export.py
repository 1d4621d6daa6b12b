"""A clean folder: what transformers needs, nothing else, whole or not at all."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from minigpt.checkpoint import export as module
from minigpt.checkpoint.export import check_target, export_folder
from minigpt.checkpoint.folder import Checkpoint, load
from minigpt.errors import CheckpointError, ConfigError, OutputError, concerning
from minigpt.models.gpt import GPT
from minigpt.settings import FOLDER_DTYPES, ModelConfig
from minigpt.text.learning import train_tokenizer

FILES = {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
FILES |= {"tokenizer_config.json"}


@pytest.fixture
def checkpoint(checkpoint_folder: Path) -> Checkpoint:
    return load(checkpoint_folder)


@pytest.mark.parametrize("dtype", FOLDER_DTYPES)
def test_the_folder_holds_the_standard_files_alone(checkpoint: Checkpoint, tmp_path: Path, dtype: str) -> None:
    export_folder(tmp_path / "out", checkpoint, dtype)
    assert set(os.listdir(tmp_path / "out")) == FILES
    kinds = {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()}
    assert kinds == {getattr(torch, dtype)}
    assert f"in {dtype}, exported by minigpt" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_of_the_smallest_model_is_in_the_singular(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("char", ["abc"])
    shape = ModelConfig(vocab_size=tokenizer.vocab_size, context=8, layers=1, heads=1, width=8)
    model = GPT(shape).initialise(torch.Generator().manual_seed(0))
    export_folder(tmp_path / "out", Checkpoint(tmp_path, model, tokenizer), "float32")
    assert "(1 layer x 8, 1 head, context 8, " in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("dtype", FOLDER_DTYPES)
def test_transformers_and_minigpt_read_the_same_model(checkpoint: Checkpoint, tmp_path: Path, dtype: str) -> None:
    export_folder(tmp_path / "out", checkpoint, dtype)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    ids = torch.arange(16)[None]
    with torch.no_grad():
        assert torch.allclose(theirs(ids).logits, load(tmp_path / "out").model(ids), atol=1e-4)
    assert transformers.AutoConfig.from_pretrained(tmp_path / "out").dtype == getattr(torch, dtype)


def test_others_may_read_what_was_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        export_folder(tmp_path / "out", checkpoint, "float32")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o644}


def test_an_export_replaces_its_own_files_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_folder(tmp_path / "out", checkpoint, "float32")
    (tmp_path / "out" / "mine.txt").write_text("mine")
    export_folder(tmp_path / "out", checkpoint, "bfloat16")
    assert set(os.listdir(tmp_path / "out")) == {*FILES, "mine.txt"}
    assert {tensor.dtype for tensor in load_file(tmp_path / "out/model.safetensors").values()} == {torch.bfloat16}


def test_a_full_disk_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OutputError, match=r"new/out/model\.safetensors cannot be written: No space left on device"):
        export_folder(tmp_path / "new" / "out", checkpoint, "float32")
    assert os.listdir(tmp_path / "new") == []


def test_ctrl_c_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_folder(tmp_path / "new" / "out", checkpoint, "float32")
    assert os.listdir(tmp_path / "new") == []


def test_numbers_beyond_float16_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with torch.no_grad():
        checkpoint.model.wte.weight[0, 0] = 1e5
    with pytest.raises(ConfigError, match="beyond float16's range: export with dtype=bfloat16"):
        export_folder(tmp_path / "out", checkpoint, "float16")
    export_folder(tmp_path / "out", checkpoint, "bfloat16")


# Where to


def make_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    (folder / "config.json").write_text("{}")


def make_folder(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("{}")


TARGETS: dict[str, tuple[str, Callable[[Path], object], str, bool]] = {  # name, what is there, message, even to replace
    "a run": ("out", make_run, "is a run, which an export must not replace", True),
    "somebody's folder": ("out", lambda path: make_folder(path, "thesis.tex"), "contains no model", True),
    "an export": ("out", lambda path: make_folder(path, "config.json"), "exists already", False),
    "a file for a folder": ("out", lambda path: path.write_text("x"), "is a file", True),
    "a folder for a file": ("a.gguf", lambda path: path.mkdir(), "is a folder", True),
    "a file": ("a.gguf", lambda path: path.write_text("x"), "replace it with overwrite=", False),
    "a file nowhere": ("no/a.gguf", lambda path: None, "there is no folder", True),
    "inside a file": ("file/out", lambda path: path.parent.write_text("x"), "does not allow it", True),
}


def test_a_file_of_another_format_is_wrong_usage(tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"an export is a \.gguf file, a page \(\.html\), or a folder"):
            check_target(tmp_path / "a.safetensors", overwrite=overwrite)


@pytest.mark.parametrize(("name", "make", "message", "always"), TARGETS.values(), ids=list(TARGETS))
def test_what_must_not_be_written_is_refused_before_the_work(
    tmp_path: Path, name: str, make: Callable[[Path], object], message: str, always: bool
) -> None:
    make(tmp_path / name)
    with pytest.raises(OutputError, match=message):
        check_target(tmp_path / name, overwrite=False)
    if always:
        with pytest.raises(OutputError, match=message):
            check_target(tmp_path / name, overwrite=True)
    else:
        check_target(tmp_path / name, overwrite=True)


def test_a_place_that_allows_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OutputError, match="does not allow it"):
        check_target(tmp_path / "deep" / "out", overwrite=False)
    with pytest.raises(OutputError, match=r"^out cannot be written: the current folder does not allow it"):
        check_target(Path("out"), overwrite=False)


def test_what_cannot_be_written_is_not_blamed_on_the_model_that_is_written() -> None:
    with pytest.raises(OutputError) as full, concerning("run"):
        raise OutputError("The disk is full.")
    assert full.value.settings == ()
    with pytest.raises(CheckpointError) as damaged, concerning("run"):
        raise CheckpointError("It is damaged.")
    assert damaged.value.settings == ("run",)


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.gguf")
    with pytest.raises(OutputError, match="is a pipe or a device"):
        check_target(tmp_path / "a.gguf", overwrite=True)


def test_new_and_empty_places_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "deep/er", "empty", "a.gguf", "v1.0"):
        check_target(tmp_path / name, overwrite=False)
