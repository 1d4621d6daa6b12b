"""Our configuration and weights <-> those of a Hugging Face GPT-2 folder, as tables.

The weights need no transposing: gpt.py stores them [in, out] as GPT-2 does, under GPT-2's names.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from minigpt.config import ModelConfig
from minigpt.errors import CheckpointError, ConfigError
from minigpt.models.gpt import GPT

PREFIX = "transformer."  # of GPT2LMHeadModel; GPT2Model's own files have none
HEAD = "lm_head.weight"  # tied to wte, hence left out; older files carry a copy
BUFFERS = (".attn.bias", ".attn.masked_bias")  # causal masks, which older files carry

SHAPE_KEYS = {  # ours -> config.json
    "vocab_size": "vocab_size",
    "context": "n_positions",
    "width": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
}

# What is fixed here. A config.json that says otherwise describes another model, and is refused by the field's name.
FIXED: dict[str, Any] = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "n_inner": None,
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "tie_word_embeddings": True,
    "add_cross_attention": False,
}


def config_to_json(config: ModelConfig, end_of_text: int, dtype: torch.dtype) -> dict[str, Any]:
    """The contents of config.json."""
    shape = {theirs: getattr(config, ours) for ours, theirs in SHAPE_KEYS.items()}
    return {
        "architectures": ["GPT2LMHeadModel"],
        **FIXED,
        **shape,
        "n_ctx": config.context,  # llama.cpp reads this one
        "attn_pdrop": 0.0,  # no fused kernel drops out attention's weights on a CPU, so it would take a third of a step
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": 0.02,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
    }


def config_from_json(values: Mapping[str, Any], where: str) -> ModelConfig:
    """Read a config.json. Raises CheckpointError, by the field's name, for what is missing or is not GPT-2."""
    for key, expected in FIXED.items():
        given = values.get(key, None if key == "model_type" else expected)
        if given != expected and not _inner_width_is_the_usual(key, values):
            raise CheckpointError(f"{where}: {key} is {given!r}; a GPT-2 with {expected!r} is what can be loaded.")
    shape = {ours: _positive_integer(values, theirs, where) for ours, theirs in SHAPE_KEYS.items()}
    try:
        return ModelConfig(**shape)
    except ConfigError as error:
        raise CheckpointError(f"{where} contradicts itself: {error}") from error


def _inner_width_is_the_usual(key: str, values: Mapping[str, Any]) -> bool:
    width = values.get("n_embd")
    return key == "n_inner" and type(width) is int and values.get(key) == 4 * width


def _positive_integer(values: Mapping[str, Any], key: str, where: str) -> int:
    value = values.get(key)
    if type(value) is not int or value < 1:
        given = f"is {value!r}" if key in values else "is missing"
        raise CheckpointError(f"{where}: {key} {given}; it must be a whole number of 1 or more.")
    return value


def weights_to_tensors(model: GPT, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of model.safetensors: GPT-2's names, on the CPU, contiguous."""
    return {PREFIX + name: t.detach().to("cpu", dtype).contiguous() for name, t in model.state_dict().items()}


def model_from_tensors(tensors: Mapping[str, Tensor], config: ModelConfig, where: str) -> GPT:
    """A model in float32 with these weights. Raises CheckpointError where they do not fit `config`."""
    weights = {n.removeprefix(PREFIX): t for n, t in tensors.items() if not n.endswith(BUFFERS)}
    head = weights.pop(HEAD, None)
    _check_layer_count(weights, config, where)  # before a model of that size is built, as these:
    embeddings = {"wte.weight": (config.vocab_size, config.width), "wpe.weight": (config.context, config.width)}
    _check_shapes({name: t for name, t in weights.items() if name in embeddings}, embeddings, where)
    with torch.device("meta"):
        model = GPT(config)
    _check_shapes(weights, {name: tuple(t.shape) for name, t in model.state_dict().items()}, where)
    if head is not None and not torch.equal(head, weights["wte.weight"]):
        raise CheckpointError(f"{where}: {HEAD} differs from wte.weight; an untied output head cannot be loaded.")
    model.load_state_dict({name: t.to(torch.float32, copy=True) for name, t in weights.items()}, assign=True)
    return model


def _check_layer_count(weights: Mapping[str, Tensor], config: ModelConfig, where: str) -> None:
    layers = len({name.split(".")[1] for name in weights if name.startswith("h.")})
    if layers != config.layers:
        raise CheckpointError(f"{where} has {layers} layers, but config.json says n_layer {config.layers}.")


def _check_shapes(weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    for name, shape in expected.items():
        if name not in weights:
            raise CheckpointError(f"{where} lacks the tensor {name}.")
        if tuple(weights[name].shape) != shape:
            raise CheckpointError(
                f"{where}: {name} has the shape {list(weights[name].shape)}, but config.json asks for {list(shape)}."
            )
        if not weights[name].is_floating_point():
            raise CheckpointError(f"{where}: {name} holds {weights[name].dtype}, not floating-point numbers.")
    unknown = sorted(set(weights) - set(expected))
    if unknown:
        raise CheckpointError(f"{where} holds {unknown[0]!r}, which no GPT-2 has.")
