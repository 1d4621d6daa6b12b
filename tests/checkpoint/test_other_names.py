"""Names and number types under which transformers 5.23 reads a GPT-2: each loads with its logits, or is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.activations import ACT2FN

from minigpt.checkpoint.folder import load
from minigpt.checkpoint.hf_gpt2 import ACTIVATION_NAMES
from minigpt.errors import CheckpointError
from minigpt.models.gpt import ACTIVATIONS
from minigpt.text.tokenizer import Tokenizer

SHAPE: dict[str, Any] = {"n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
IDS = torch.tensor([[5, 40, 41, 42, 7, 99]])


@pytest.fixture
def theirs(bpe: Tokenizer, tmp_path: Path) -> Path:
    """A GPT-2 that transformers saved, with weights so large that no option could go unnoticed."""
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=bpe.vocab_size, **SHAPE))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "tokenizer.json").write_text(bpe.to_json(), "utf-8")
    return tmp_path / "theirs"


def change(folder: Path, leave_out: tuple[str, ...] = (), **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    kept = {name: value for name, value in {**config, **values}.items() if name not in leave_out}
    (folder / "config.json").write_text(json.dumps(kept), "utf-8")


def assert_same_logits(folder: Path) -> None:
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(load(folder).model(IDS), model(IDS).logits, atol=1e-4, rtol=1e-4)


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted({*ACT2FN, *ACTIVATION_NAMES}))
def test_every_activation_of_transformers_loads_or_is_named(name: str, theirs: Path) -> None:
    change(theirs, activation_function=name)
    if name in ACTIVATION_NAMES:
        assert_same_logits(theirs)
        return
    told = load_error(theirs)
    assert f"activation_function is '{name}'; these can be loaded: {', '.join(ACTIVATION_NAMES)}." in told


@pytest.mark.parametrize("name", sorted({*ACT2FN} - {"prelu", "xielu"}))  # which have weights of their own
def test_none_is_refused_that_equals_one_that_loads(name: str) -> None:
    x = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    with torch.no_grad():
        differences = {ours: float((ACT2FN[name](x) - ACTIVATIONS[ours](x)).abs().max()) for ours in ACTIVATIONS}
    nearest = min(differences, key=lambda ours: differences[ours])
    assert (ACTIVATION_NAMES.get(name) == nearest) is (differences[nearest] < 1e-6)


NAMES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}


def test_the_other_names_are_all_that_transformers_has() -> None:
    assert transformers.GPT2Config.attribute_map == NAMES


def test_a_config_of_other_names_alone(theirs: Path) -> None:
    change(theirs, tuple(NAMES.values()), **{name: SHAPE[usual] for name, usual in NAMES.items()})
    assert_same_logits(theirs)


@pytest.mark.parametrize("name", NAMES)
def test_of_two_names_the_other_one_counts(name: str, theirs: Path) -> None:
    """GPT2Config sets n_embd from the field of that name first, and then from hidden_size."""
    right = SHAPE[NAMES[name]]
    change(theirs, **{NAMES[name]: right * 2, name: right})
    assert getattr(transformers.GPT2Config.from_pretrained(theirs), NAMES[name]) == right
    assert_same_logits(theirs)
    change(theirs, **{name: "many"})
    assert re.search(rf"{name} is 'many'; it must be a whole number", load_error(theirs))


def test_the_number_of_heads_is_that_of_transformers(theirs: Path) -> None:
    """No weight has a shape that would tell."""
    change(theirs, n_head=2, num_attention_heads=4)
    assert load(theirs).model.config.heads == 4
    assert_same_logits(theirs)


def test_dropout_that_is_left_out_is_that_of_transformers(theirs: Path) -> None:
    change(theirs, ("resid_pdrop",))
    assert load(theirs).model.config.dropout == transformers.GPT2Config.from_pretrained(theirs).resid_pdrop == 0.1


# Numbers of eight bits


def cast(folder: Path, dtype: torch.dtype, choose: Callable[[str], bool]) -> None:
    path = folder / "model.safetensors"
    tensors = {name: t.to(dtype) if choose(name) else t for name, t in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})


EIGHT_BITS = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
@pytest.mark.parametrize("part", ["", "c_attn"])
def test_float8_weights_are_read_exactly(dtype: torch.dtype, part: str, theirs: Path) -> None:
    cast(theirs, dtype, lambda name: part in name)
    stored = load_file(theirs / "model.safetensors")
    loaded = load(theirs).model.state_dict()
    for name, tensor in stored.items():
        assert torch.equal(loaded[name.removeprefix("transformer.")], tensor.to(torch.float32))
    assert_same_logits(theirs)


@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
def test_every_float8_number(dtype: torch.dtype, tmp_path: Path, theirs: Path) -> None:
    """As float32 holds each exactly, the same number comes back."""
    numbers = torch.arange(256, dtype=torch.uint8).view(dtype)
    path = theirs / "model.safetensors"
    tensors = load_file(path)
    tensors["transformer.h.0.mlp.c_fc.bias"] = numbers[:128].clone()
    tensors["transformer.h.1.mlp.c_fc.bias"] = numbers[128:].clone()
    save_file(tensors, path, {"format": "pt"})
    model = load(theirs).model
    read = torch.cat([block.mlp.c_fc.bias.detach() for block in model.blocks])
    finite = read.isfinite()
    assert finite.sum() > 240
    assert torch.equal(read[finite].to(dtype).view(torch.uint8), torch.arange(256, dtype=torch.uint8)[finite])


def test_a_float8_copy_of_the_tied_head_is_compared(theirs: Path) -> None:
    path = theirs / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "lm_head.weight": tensors["transformer.wte.weight"].to(torch.float8_e4m3fn)}, path)
    load(theirs)
    other = torch.zeros_like(tensors["transformer.wte.weight"]).to(torch.float8_e4m3fn)
    save_file({**tensors, "lm_head.weight": other}, path)
    assert "lm_head.weight differs from wte.weight" in load_error(theirs)


def test_scales_of_quantized_weights_are_named(theirs: Path) -> None:
    """With them, the stored numbers are not yet the weights (quantization_config of fine-grained float8)."""
    cast(theirs, torch.float8_e4m3fn, lambda name: name.endswith("c_fc.weight"))
    path = theirs / "model.safetensors"
    save_file({**load_file(path), "transformer.h.0.mlp.c_fc.weight_scale_inv": torch.ones(1, 1)}, path)
    assert "holds 'h.0.mlp.c_fc.weight_scale_inv', which a GPT-2 does not have" in load_error(theirs)


def test_eight_bits_of_another_kind_are_named(theirs: Path) -> None:
    cast(theirs, torch.float8_e8m0fnu, lambda name: name.endswith("ln_f.weight"))
    assert "ln_f.weight holds F8_E8M0, which cannot be loaded" in load_error(theirs)
