"""Folders that transformers writes, with every option of a GPT-2: whatever is asked, the answers are transformers'."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from torch import Tensor

from minigpt.checkpoint.files import WEIGHTS, read_json_object
from minigpt.checkpoint.folder import load, read, save_description, save_weights
from minigpt.errors import CheckpointError
from minigpt.models.decoder import CachedDecoder, window_logits
from minigpt.models.forward_library import has_library
from minigpt.models.gpt import GPT
from minigpt.models.inside import layer_logits
from minigpt.models.native import shapes_of
from minigpt.models.precision import stored
from minigpt.settings import ModelConfig
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.attention import attend

OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "inner": {"n_inner": 48},
    "odd inner": {"n_inner": 37},
    "gelu": {"activation_function": "gelu"},
    "gelu_fast": {"activation_function": "gelu_fast"},
    "gelu_pytorch_tanh": {"activation_function": "gelu_pytorch_tanh"},
    "gelu_python_tanh": {"activation_function": "gelu_python_tanh"},
    "quick_gelu": {"activation_function": "quick_gelu"},
    "relu": {"activation_function": "relu"},
    "swish": {"activation_function": "swish"},
    "tanh": {"activation_function": "tanh"},
    "unscaled": {"scale_attn_weights": False},
    "by layer": {"scale_attn_by_inverse_layer_idx": True},
    "upcast": {"reorder_and_upcast_attn": True, "attn_implementation": "eager"},
    "untied": {"tie_word_embeddings": False},
    "epsilon": {"layer_norm_epsilon": 1e-2},
    "all": {
        "n_inner": 80,
        "activation_function": "relu",
        "scale_attn_weights": False,
        "scale_attn_by_inverse_layer_idx": True,
        "tie_word_embeddings": False,
        "layer_norm_epsilon": 1e-3,
    },
}
TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
Theirs = transformers.GPT2LMHeadModel


def make_theirs(vocab_size: int, **options: Any) -> Theirs:
    """Random weights, so large that no option could go unnoticed."""
    shape = {"n_positions": 16, "n_embd": 16, "n_layer": 3, "n_head": 2}
    config = transformers.GPT2Config(vocab_size=vocab_size, **shape, **options)
    model = Theirs(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.4, generator=generator)
    return model.eval()


def save_theirs(model: Theirs, tokenizer: Tokenizer, folder: Path, **how: Any) -> Path:
    model.save_pretrained(folder, **how)
    (folder / "tokenizer.json").write_text(tokenizer.to_json(), "utf-8")
    return folder


def logits_of(model: Theirs) -> Tensor:
    """[T, V]"""
    with torch.no_grad():
        logits: Tensor = model(torch.tensor([TEXT])).logits[0]
    return logits


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.fixture(params=OPTIONS.values(), ids=list(OPTIONS))
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture
def theirs(options: dict[str, Any], bpe: Tokenizer) -> Theirs:
    return make_theirs(bpe.vocab_size, **options)


@pytest.fixture
def ours(theirs: Theirs, bpe: Tokenizer, tmp_path: Path) -> GPT:
    return load(save_theirs(theirs, bpe, tmp_path / "theirs")).model


def test_a_full_pass(ours: GPT, theirs: Theirs) -> None:
    with torch.no_grad():
        assert_close(ours(torch.tensor([TEXT]))[0], logits_of(theirs))


@pytest.mark.skipif(
    not has_library() and shutil.which("cc") is None, reason="forward.c was not compiled, without a C compiler"
)
@pytest.mark.parametrize("how", [{}, {"max_shard_size": "10KB"}], ids=["one file", "shards"])
def test_a_full_pass_in_c(theirs: Theirs, bpe: Tokenizer, tmp_path: Path, how: dict[str, Any]) -> None:
    folder = save_theirs(theirs, bpe, tmp_path / "theirs", **how)
    assert (folder / WEIGHTS).exists() == (not how)
    logits_TV = np.concatenate(list(window_logits(read(folder).in_c("float32", "none").model, TEXT)))
    assert_close(torch.from_numpy(logits_TV), logits_of(theirs))


def test_every_option_changes_the_logits(options: dict[str, Any], theirs: Theirs, bpe: Tokenizer) -> None:
    """So that the tests here would notice one that is not obeyed."""
    same = {
        "activation_function": ("gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh"),
        "reorder_and_upcast_attn": (True,),
    }
    changed = any(value not in same.get(name, ()) for name, value in options.items() if name != "attn_implementation")
    difference = float((logits_of(theirs) - logits_of(make_theirs(bpe.vocab_size))).abs().max())
    assert (difference > 5e-4) if changed else (difference < 1e-4)


def test_cached_steps_far_beyond_a_prefill(ours: GPT, theirs: Theirs) -> None:
    decoder, expected = CachedDecoder(ours), logits_of(theirs)
    assert_close(torch.from_numpy(decoder.prefill(TEXT[:3])[0]), expected[2])
    for position in range(3, len(TEXT)):
        assert_close(torch.from_numpy(decoder.step([TEXT[position]])[0]), expected[position])


def test_several_texts_at_once(ours: GPT, theirs: Theirs) -> None:
    decoder, expected = CachedDecoder(ours, 3), logits_of(theirs)
    assert_close(torch.from_numpy(decoder.prefill(TEXT[:2])), expected[1].expand(3, -1))
    for position in range(2, len(TEXT)):
        assert_close(torch.from_numpy(decoder.step([TEXT[position]] * 3)), expected[position].expand(3, -1))


def test_attention_written_out_and_its_scores(ours: GPT, theirs: Theirs) -> None:
    attention = attend(ours, TEXT)
    with torch.no_grad():
        assert_close(ours(torch.tensor([TEXT]), weights=[])[0], logits_of(theirs))
    assert_close(attention.scores_LHTS.softmax(-1), attention.weights_LHTS)
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        weights = theirs(torch.tensor([TEXT]), output_attentions=True).attentions
    assert_close(attention.weights_LHTS, torch.cat(weights).double())


def test_the_last_row_of_the_lens(ours: GPT, theirs: Theirs) -> None:
    assert_close(layer_logits(ours, TEXT)[-1], logits_of(theirs)[-1])


def test_bfloat16_and_steps_of_it_agree_with_it_in_full(ours: GPT) -> None:
    half = stored(ours, "bfloat16")
    decoder = CachedDecoder(half)
    decoder.prefill(TEXT[:3])
    with torch.no_grad():
        full = half(torch.tensor([TEXT[:4]]))[0, -1]
    assert float((torch.from_numpy(decoder.step([TEXT[3]])[0]) - full).abs().max()) < 0.05 * float(full.abs().max())


def test_what_is_saved_again_is_the_same_for_transformers(
    ours: GPT, theirs: Theirs, bpe: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    folder.mkdir()
    save_description(folder, ours.config, bpe, torch.float32)
    save_weights(folder, ours)
    assert_close(logits_of(Theirs.from_pretrained(folder).eval()), logits_of(theirs))
    again = load(folder).model
    assert again.config == ours.config
    assert ours.parameter_count() == ours.config.parameter_count()
    with torch.no_grad():
        assert torch.equal(again(torch.tensor([TEXT])), ours(torch.tensor([TEXT])))


def test_scales_of_attention_are_in_the_weights_of_what_is_saved(bpe: Tokenizer, tmp_path: Path) -> None:
    """Other programs, such as llama.cpp, know no such scales."""
    theirs = make_theirs(bpe.vocab_size, **OPTIONS["all"])
    ours = load(save_theirs(theirs, bpe, tmp_path / "theirs")).model
    save_description(tmp_path, ours.config, bpe, torch.float32)
    values = read_json_object(tmp_path / "config.json")
    assert (values["scale_attn_weights"], values["scale_attn_by_inverse_layer_idx"]) == (True, False)
    assert (values["n_inner"], values["activation_function"], values["tie_word_embeddings"]) == (80, "relu", False)
    c_attn = {name: t for name, t in theirs.state_dict().items() if name.endswith("h.2.attn.c_attn.weight")}
    (weight,) = c_attn.values()
    expected = weight.clone()
    expected[:, :16] *= 8**0.5 / 3  # the third layer's, not divided by the root of the head width 8
    assert_close(ours.blocks[2].attn.c_attn.weight, expected)


@pytest.mark.parametrize("prefixed", [True, False])
def test_shards_with_an_index(prefixed: bool, bpe: Tokenizer, tmp_path: Path) -> None:
    theirs = make_theirs(bpe.vocab_size)
    saved = theirs if prefixed else theirs.transformer
    save_theirs(saved, bpe, tmp_path, max_shard_size="15KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    with torch.no_grad():
        assert_close(load(tmp_path).model(torch.tensor([TEXT]))[0], logits_of(theirs))


def test_dropout_is_read_for_training_and_changes_no_answer(bpe: Tokenizer, tmp_path: Path) -> None:
    theirs = make_theirs(bpe.vocab_size, resid_pdrop=0.2)
    ours = load(save_theirs(theirs, bpe, tmp_path)).model
    assert ours.config.dropout == 0.2
    with torch.no_grad():
        assert_close(ours(torch.tensor([TEXT]))[0], logits_of(theirs))


def test_int8_needs_rows_that_its_kernel_can_read(bpe: Tokenizer, tmp_path: Path) -> None:
    ours = load(save_theirs(make_theirs(bpe.vocab_size, n_inner=37), bpe, tmp_path / "odd")).model
    with pytest.raises(Exception, match="not this model's 37"):
        stored(ours, quantize="int8")
    untied = load(save_theirs(make_theirs(bpe.vocab_size, tie_word_embeddings=False), bpe, tmp_path / "untied")).model
    whole = stored(untied, quantize="int8")
    with torch.no_grad():
        full, exact = whole(torch.tensor([TEXT]))[0], untied(torch.tensor([TEXT]))[0]
    assert float((full - exact).abs().max()) < 0.1 * float(exact.abs().max())


# Configurations and weights that transformers accepts


def change_config(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")


def same_for_transformers(folder: Path) -> None:
    theirs = Theirs.from_pretrained(folder).eval()
    with torch.no_grad():
        assert_close(load(folder).model(torch.tensor([TEXT]))[0], logits_of(theirs))


def test_fields_that_are_left_out_are_gpt2s(bpe: Tokenizer, tmp_path: Path) -> None:
    usual = {"n_layer": 12, "n_head": 12, "n_positions": 1024}
    config = transformers.GPT2Config(vocab_size=bpe.vocab_size, n_embd=24, **usual)
    save_theirs(Theirs(config), bpe, tmp_path)
    kept = ("model_type", "vocab_size", "n_embd")
    change_config(tmp_path, lambda values: {name: values[name] for name in kept})
    shape = load(tmp_path).model.config
    assert (shape.layers, shape.heads, shape.context, shape.activation) == (12, 12, 1024, "gelu_new")
    same_for_transformers(tmp_path)


def test_other_names_for_the_shape(bpe: Tokenizer, tmp_path: Path) -> None:
    save_theirs(make_theirs(bpe.vocab_size), bpe, tmp_path)
    names = {name: alias for alias, name in transformers.GPT2Config.attribute_map.items()}
    assert len(names) == 4
    change_config(tmp_path, lambda values: {names.get(name, name): value for name, value in values.items()})
    assert "n_embd" not in (tmp_path / "config.json").read_text("utf-8")
    same_for_transformers(tmp_path)


def test_weights_by_save_model_keep_the_head_alone(bpe: Tokenizer, tmp_path: Path) -> None:
    theirs = make_theirs(bpe.vocab_size)
    save_theirs(theirs, bpe, tmp_path)
    safetensors.torch.save_model(theirs, str(tmp_path / "model.safetensors"))
    stored_names = safetensors.torch.load_file(tmp_path / "model.safetensors").keys()
    assert stored_names & {"lm_head.weight", "transformer.wte.weight"} == {"lm_head.weight"}
    with torch.no_grad():
        assert_close(load(tmp_path).model(torch.tensor([TEXT]))[0], logits_of(theirs))


@pytest.mark.parametrize(("head", "table"), [("float16", "float32"), ("float32", "float16"), ("bfloat16", "float32")])
def test_a_rounded_copy_of_the_tied_head(bpe: Tokenizer, tmp_path: Path, head: str, table: str) -> None:
    theirs = make_theirs(bpe.vocab_size)
    save_theirs(theirs, bpe, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    exact = tensors["transformer.wte.weight"]
    tensors["lm_head.weight"] = exact.to(getattr(torch, table)).to(getattr(torch, head))
    tensors["transformer.wte.weight"] = exact.to(getattr(torch, table))
    safetensors.torch.save_file(tensors, path)
    assert torch.equal(load(tmp_path).model.wte.weight, tensors["transformer.wte.weight"].float())
    tensors["lm_head.weight"] = tensors["lm_head.weight"] + 1
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs from wte\.weight"):
        load(tmp_path)


@pytest.mark.parametrize("tied", [True, False])
def test_the_shapes_are_those_of_the_model_in_torch(tied: bool) -> None:
    config = ModelConfig(vocab_size=7, context=5, layers=2, heads=2, width=4, inner_width=9, tied=tied)
    model = GPT(config).state_dict()
    assert list(shapes_of(config).items()) == [(name, tuple(tensor.shape)) for name, tensor in model.items()]
