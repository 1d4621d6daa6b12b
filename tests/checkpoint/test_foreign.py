"""Weights in other forms are refused with what converts them, which the test for pickles does."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.folder import load
from minigpt.errors import CheckpointError
from minigpt.text.tokenizer import Tokenizer


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


def test_the_command_for_a_pickle_converts_it(bpe: Tokenizer, tmp_path: Path) -> None:
    shape = {"n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 1}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=bpe.vocab_size, **shape))
    model.config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(bpe.to_json(), "utf-8")
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    told, command = load_error(tmp_path).split("\n")
    assert told.startswith(f"{tmp_path / 'pytorch_model.bin'} is a pickle, which can run any program, and is not read.")
    python, *arguments = shlex.split(command)
    assert python == "python"
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    loaded = load(tmp_path).model
    assert torch.equal(loaded.wte.weight, model.transformer.wte.weight)


@pytest.mark.parametrize("name", ["pytorch_model-00001-of-00002.bin", "model.pt", "model.pth", "weights.pkl", "x.ckpt"])
def test_pickles_are_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    assert f"{tmp_path / name} is a pickle" in load_error(tmp_path)
    assert not Path("harm").exists()


@pytest.mark.parametrize("name", ["model.ckpt.index", "model.ckpt.meta", "model.ckpt.data-00000-of-00001"])
def test_tensorflow_checkpoints_have_a_line_that_converts_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "hparams.json").write_text("{}")
    told = load_error(tmp_path)
    assert told.startswith(f"{tmp_path / name} is of a TensorFlow checkpoint, which is not read.")
    assert "-c openai-community/gpt2" in told
    assert f"--gpt2_checkpoint_path {tmp_path} --pytorch_dump_folder_path OUT && python -c" in told.splitlines()[-1]


def test_beside_safetensors_they_do_not_matter(checkpoint_folder: Path) -> None:
    for name in ("pytorch_model.bin", "model.ckpt.index"):
        (checkpoint_folder / name).write_bytes(b"x")
    assert load(checkpoint_folder).path == checkpoint_folder


def test_an_adapter_is_named_with_its_model(tmp_path: Path) -> None:
    values = {"peft_type": "LORA", "base_model_name_or_path": "openai-community/gpt2", "r": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(values))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    message = load_error(tmp_path)
    assert message.startswith(f"{tmp_path} is a LoRA adapter of openai-community/gpt2, not a model.")
    assert "merge_and_unload" in message


def test_learned_prompts_are_not_said_to_merge(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "P_TUNING", "base_model_name_or_path": "gpt2"}')
    assert load_error(tmp_path).endswith("stand before every text, and cannot be merged into the model.")


@pytest.mark.parametrize("name", ["vocab.txt", "spiece.model"])
def test_another_vocabulary_has_a_line_that_converts_it(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / "tokenizer.json").unlink()
    (checkpoint_folder / name).write_text("x")
    message, command = load_error(checkpoint_folder).split("\n")
    assert f"has no tokenizer.json, only {name}," in message
    assert shlex.split(command)[:2] == ["python", "-c"]
    compile(shlex.split(command)[2], "command", "exec")


def rename_tensors(folder: Path, rename: Callable[[str], str | None]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({new: tensors[name] for name in tensors if (new := rename(name))}, path)


def test_names_of_compiled_models_are_named(checkpoint_folder: Path) -> None:
    rename_tensors(checkpoint_folder, lambda name: "_orig_mod." + name)
    assert "these are torch.compile's names (_orig_mod.)" in load_error(checkpoint_folder)


def test_weights_without_biases_are_nanogpts(checkpoint_folder: Path) -> None:
    rename_tensors(checkpoint_folder, lambda name: None if name.endswith(".bias") else name)
    assert "has no biases, as a nanoGPT with bias=False" in load_error(checkpoint_folder)
