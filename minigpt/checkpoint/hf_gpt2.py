"""Our configuration and weights <-> those of a Hugging Face GPT-2 folder, as tables.

The weights need no transposing: gpt.py stores them [in, out] as GPT-2 does, under GPT-2's names.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from minigpt.errors import CheckpointError, ConfigError, brief
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig

PREFIX = "transformer."  # of GPT2LMHeadModel; GPT2Model's own files have none
HEAD = "lm_head.weight"  # beside the transformer; where it is tied to wte, only older files carry it
BUFFERS = (".attn.bias", ".attn.masked_bias")  # causal masks, which older files carry

SHAPE_KEYS = {  # ours -> config.json
    "vocab_size": "vocab_size",
    "context": "n_positions",
    "width": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
}

# Fixed in this implementation. A config.json with other values describes another model, and is rejected.
FIXED: dict[str, Any] = {"model_type": "gpt2", "add_cross_attention": False}

ACTIVATION_NAMES = {  # transformers' -> ours; the others of a line compute the same in another order
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_accurate"), "gelu_new"),
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("silu", "swish"), "silu"),
    **{name: name for name in ("quick_gelu", "relu", "tanh")},
}


class Stored(Protocol):
    """A tensor in a file: what is known about it before it is read."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def read(self) -> Tensor: ...


class QueryScale(NamedTuple):
    """A factor for the queries, divided by the layer's number (from 1) if `by_layer`."""

    factor: float = 1.0
    by_layer: bool = False

    def of(self, layer: int) -> float:
        return self.factor / layer if self.by_layer else self.factor


def config_to_json(config: ModelConfig, end_of_text: int, dtype: torch.dtype) -> dict[str, Any]:
    """The contents of config.json."""
    shape = {theirs: getattr(config, ours) for ours, theirs in SHAPE_KEYS.items()}
    return {
        "architectures": ["GPT2LMHeadModel"],
        **FIXED,
        **shape,
        "n_ctx": config.context,  # llama.cpp reads this one
        "n_inner": config.inner_width,
        "activation_function": config.activation,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "tie_word_embeddings": config.tied,
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
    """Read a config.json. Raises CheckpointError, naming the field, for whatever is missing or not GPT-2's."""
    for key, expected in FIXED.items():
        given = values.get(key, None if key == "model_type" else expected)
        if given != expected:
            raise CheckpointError(
                f"{where}: {key} is {brief(repr(given))}; a GPT-2 with {expected!r} is what can be loaded."
            )
    shape: dict[str, Any] = {ours: _positive_integer(values, theirs, where) for ours, theirs in SHAPE_KEYS.items()}
    inner = None if values.get("n_inner") is None else _positive_integer(values, "n_inner", where)
    try:
        return ModelConfig(
            **shape,
            inner_width=None if inner == 4 * shape["width"] else inner,
            activation=_activation(values, where),
            layer_norm_epsilon=_epsilon(values, where),
            tied=_switch(values, "tie_word_embeddings", True, where),
            dropout=_dropout(values, where),
        )
    except ConfigError as error:
        raise CheckpointError(f"{where} contradicts itself: {error.message}") from error


def query_scale(values: Mapping[str, Any], config: ModelConfig, where: str) -> QueryScale:
    """The factor for the query weights that turns the attention of `config.json` into standard GPT-2's.

    GPT-2 divides attention scores by the root of the head width. With scale_attn_weights false it does not, and
    scale_attn_by_inverse_layer_idx also divides by the number of the layer; reorder_and_upcast_attn is the same
    function, rounded differently. The scales are folded into the weights, so a saved model is a GPT-2 for any other
    program.
    """
    usual = _switch(values, "scale_attn_weights", True, where)
    by_layer = _switch(values, "scale_attn_by_inverse_layer_idx", False, where)
    return QueryScale(1.0 if usual else math.sqrt(config.width / config.heads), by_layer)


def _activation(values: Mapping[str, Any], where: str) -> str:
    given = values.get("activation_function", "gelu_new")
    if not isinstance(given, str) or given not in ACTIVATION_NAMES:
        known = ", ".join(ACTIVATION_NAMES)
        raise CheckpointError(f"{where}: activation_function is {brief(repr(given))}; these can be loaded: {known}.")
    return ACTIVATION_NAMES[given]


def _epsilon(values: Mapping[str, Any], where: str) -> float:
    given = values.get("layer_norm_epsilon", ModelConfig.layer_norm_epsilon)
    if type(given) not in (int, float) or not 0 <= given < 1:
        raise CheckpointError(f"{where}: layer_norm_epsilon is {brief(repr(given))}; it must be a number from 0 to 1.")
    return float(given)


def _dropout(values: Mapping[str, Any], where: str) -> float:
    """The dropout rate, which only training needs."""
    given = values.get("resid_pdrop", 0.0)
    if type(given) not in (int, float) or not 0 <= given < 1:
        raise CheckpointError(f"{where}: resid_pdrop is {brief(repr(given))}; it must be at least 0 and below 1.")
    return float(given)


def _switch(values: Mapping[str, Any], key: str, usual: bool, where: str) -> bool:
    given = values.get(key, usual)
    if type(given) is not bool:
        raise CheckpointError(f"{where}: {key} is {brief(repr(given))}; it must be true or false.")
    return given


def _positive_integer(values: Mapping[str, Any], key: str, where: str) -> int:
    value = values.get(key)
    if type(value) is not int or value < 1:
        given = f"is {brief(repr(value))}" if key in values else "is missing"
        raise CheckpointError(f"{where}: {key} {given}; it must be a whole number of 1 or more.")
    return value


def weights_to_tensors(model: GPT, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors for model.safetensors: GPT-2's names, contiguous, on the CPU."""
    return {
        name if name == HEAD else PREFIX + name: t.detach().to("cpu", dtype).contiguous()
        for name, t in model.state_dict().items()
    }


def model_from_tensors(
    tensors: Mapping[str, Stored], config: ModelConfig, where: str, scale: QueryScale | None = None
) -> GPT:
    """A model in float32 with these weights, its queries multiplied by `scale`.

    Tensors are read once all are known to fit. Raises CheckpointError if they do not fit `config`.
    """
    weights = {n.removeprefix(PREFIX): t for n, t in tensors.items() if not n.endswith(BUFFERS)}
    head = weights.pop(HEAD, None) if config.tied else None
    _check_layer_count(weights, config, where)  # before a model of that size is built, as these:
    embeddings = {"wte.weight": (config.vocab_size, config.width), "wpe.weight": (config.context, config.width)}
    _check_shapes({name: t for name, t in weights.items() if name in embeddings}, embeddings, where)
    _check_inner_width(weights, config, where)
    with torch.device("meta"):
        model = GPT(config)
    _check_shapes(weights, {name: tuple(t.shape) for name, t in model.state_dict().items()}, where)
    read = {name: t.read().to(torch.float32, copy=True) for name, t in weights.items()}
    if head is not None and not _is_tied(head, read["wte.weight"]):
        raise CheckpointError(
            f"{where}: {HEAD} differs from wte.weight, but config.json says that they are one.\n"
            'If it is the model\'s own output head, write there: "tie_word_embeddings": false'
        )
    model.load_state_dict(read, assign=True)
    _scale_queries(model, scale or QueryScale())
    return model


def _is_tied(head: Stored, wte: Tensor) -> bool:
    return head.shape == wte.shape and torch.equal(head.read().to(torch.float32), wte)


@torch.no_grad()
def _scale_queries(model: GPT, scale: QueryScale) -> None:
    for layer, block in enumerate(model.blocks, start=1):
        block.attn.c_attn.weight[:, : model.config.width] *= scale.of(layer)
        block.attn.c_attn.bias[: model.config.width] *= scale.of(layer)


def _check_layer_count(weights: Mapping[str, Stored], config: ModelConfig, where: str) -> None:
    layers = len({name.split(".")[1] for name in weights if name.startswith("h.")})
    if layers != config.layers:
        raise CheckpointError(f"{where} has {layers} layers, but config.json says n_layer {config.layers}.")


def _check_inner_width(weights: Mapping[str, Stored], config: ModelConfig, where: str) -> None:
    """Check the MLP's width in the first layer; the others are compared when the model is built."""
    name, shape = "h.0.mlp.c_fc.weight", (config.width, config.mlp_width)
    _check_shapes({name: weights[name]} if name in weights else {}, {name: shape}, where)


def _check_shapes(weights: Mapping[str, Stored], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    for name, shape in expected.items():
        if name not in weights:
            raise CheckpointError(f"{where} lacks the tensor {name}.")
        if tuple(weights[name].shape) != shape:
            raise CheckpointError(
                f"{where}: {name} has the shape {list(weights[name].shape)}, but config.json asks for {list(shape)}."
            )
        if not weights[name].dtype.is_floating_point:
            raise CheckpointError(f"{where}: {name} holds {weights[name].dtype}, not floating-point numbers.")
    unknown = sorted(set(weights) - set(expected))
    if unknown:
        raise CheckpointError(f"{where} holds {brief(repr(unknown[0]))}, which no GPT-2 has.")
