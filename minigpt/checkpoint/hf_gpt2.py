"""Converts our configuration and weights to those of a Hugging Face GPT-2 folder, and back.

The weights need no transposing: gpt.py stores them [in, out] as GPT-2 does, under GPT-2's names.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any

import numpy as np

from minigpt.checkpoint.files import CONFIG
from minigpt.checkpoint.tensors import STORED, StoredTensor, is_floating_point, rounded
from minigpt.errors import CheckpointError, ConfigError, brief
from minigpt.models.native import shapes_of
from minigpt.settings import ModelConfig
from minigpt.settings.model import NAMES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from minigpt.models.gpt import GPT

Weights = dict[str, np.ndarray]  # float32, by GPT-2's names without a prefix; lm_head.weight only if it is untied

PREFIX = "transformer."  # of GPT2LMHeadModel; GPT2Model's own files have none
HEAD = "lm_head.weight"  # beside the transformer; where it is tied to wte, only older files carry it
_COMPILED = "_orig_mod."
BUFFERS = (".attn.bias", ".attn.masked_bias")  # causal masks, which older files carry
# Of transformers' GPT-2s for other tasks (modeling_gpt2.py), and of TRL's and trlx's models with a value head.
_OTHER_HEADS = ("classifier.", "multiple_choice_head.", "qa_outputs.", "score.", "v_head.")

SHAPE_KEYS = {  # ours -> config.json
    "vocab_size": "vocab_size",
    "context": "n_positions",
    "width": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
}

# What a config.json means that leaves them out, and other names, which win over these: GPT2Config of transformers 5.23.
_USUAL = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
_ALIASES = {
    "n_positions": "max_position_embeddings",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
}

# Fixed in this implementation. A config.json with other values describes another model, and is rejected.
FIXED: dict[str, Any] = {"model_type": "gpt2", "add_cross_attention": False}

ACTIVATION_NAMES = {  # transformers' -> ours; the others of a line compute the same in another order
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"), "gelu_new"),
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("silu", "swish"), "silu"),
    **{name: name for name in ("quick_gelu", "relu", "tanh")},
}

Check = tuple[Callable[[Any], bool], str]  # whether a value of config.json is allowed, and which values are
TOKEN: Check = (lambda value: type(value) is int and value >= 0, "it must be the id of a token")
POSITIVE: Check = (lambda value: type(value) is int and value >= 1, "it must be a whole number of 1 or more")
SHARE: Check = (lambda value: type(value) in (int, float) and 0 <= value < 1, "it must be at least 0 and below 1")
SWITCH: Check = (lambda value: type(value) is bool, "it must be true or false")
_ACTIVATION: Check = (
    lambda value: isinstance(value, str) and value in ACTIVATION_NAMES,
    f"these can be loaded: {', '.join(ACTIVATION_NAMES)}",
)

_SCALED, _BY_LAYER = "scale_attn_weights", "scale_attn_by_inverse_layer_idx"


def config_to_json(config: ModelConfig, end_of_text: int, dtype: "torch.dtype") -> dict[str, Any]:
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
        _SCALED: True,
        _BY_LAYER: False,
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
    """Read a config.json. Raises CheckpointError, naming the field, for whatever is not GPT-2's."""
    for key, expected in FIXED.items():
        check = (partial(eq, expected), f"a GPT-2 with {expected!r} is what can be loaded")
        read_field(values, key, check, where, None if key == "model_type" else expected)
    for key, usual in ((_SCALED, True), (_BY_LAYER, False)):
        read_field(values, key, SWITCH, where, usual)
    named = {key: alias for key, alias in _ALIASES.items() if alias in values}
    shape = {
        ours: read_field(values, named.get(key, key), POSITIVE, where, _USUAL[key]) for ours, key in SHAPE_KEYS.items()
    }
    inner = None if values.get("n_inner") is None else read_field(values, "n_inner", POSITIVE, where)
    epsilon = read_field(values, "layer_norm_epsilon", SHARE, where, ModelConfig.layer_norm_epsilon)
    return model_config(
        where,
        **shape,
        inner_width=None if inner == 4 * shape["width"] else inner,
        activation=ACTIVATION_NAMES[read_field(values, "activation_function", _ACTIVATION, where, "gelu_new")],
        layer_norm_epsilon=float(epsilon),
        tied=read_field(values, "tie_word_embeddings", SWITCH, where, True),
        dropout=float(read_field(values, "resid_pdrop", SHARE, where, 0.1)),  # which only training needs
    )


def model_config(where: str, **shape: Any) -> ModelConfig:
    """The ModelConfig of this shape. Raises CheckpointError, naming the file, if its parts contradict each other."""
    try:
        return ModelConfig(**shape)
    except ConfigError as error:
        raise CheckpointError(f"{where} contradicts itself: {error.message}") from error


def read_field(values: Mapping[str, Any], key: str, check: Check, where: str, usual: Any = None) -> Any:
    """A field of config.json, or `usual` if it is missing. Raises CheckpointError if its value is not allowed."""
    value, (is_allowed, what_is) = values.get(key, usual), check
    if not is_allowed(value):
        given = f"is {brief(repr(value))}" if key in values else "is missing"
        raise CheckpointError(f"{where}: {key} {given}; {what_is}.")
    return value


def weights_to_tensors(model: "GPT", dtype: "torch.dtype") -> "dict[str, Tensor]":
    """The tensors for model.safetensors: GPT-2's names, contiguous, on the CPU."""
    return {
        name if name == HEAD else PREFIX + name: t.detach().to("cpu", dtype).contiguous()
        for name, t in model.state_dict().items()
    }


def weights_from_tensors(
    tensors: Mapping[str, StoredTensor],
    config: ModelConfig,
    where: str,
    values: Mapping[str, Any],
    described: str = CONFIG,
) -> Weights:
    """The weights, of which some are read-only; `values` of config.json say how attention is scaled.

    Tensors are read once all are known to fit. Raises CheckpointError if they do not fit `config`, which messages call
    by where it is `described`.
    """
    aside = set(other_heads(tensors))
    tensors = {name: tensor for name, tensor in tensors.items() if name not in aside}
    _refuse_names(tensors, where)
    stored = {n.removeprefix(PREFIX): t for n, t in tensors.items() if not n.endswith(BUFFERS)}
    head = stored.pop(HEAD, None) if config.tied else None
    if head and "wte.weight" not in stored:  # safetensors.torch.save_model writes one of two tensors that are one
        stored["wte.weight"], head = head, None
    layers = len({name.split(".")[1] for name in stored if name.startswith("h.")})
    if layers != config.layers:  # before as many shapes are listed
        raise CheckpointError(f"{where} has {layers} layers, but {described} says n_layer {config.layers}.")
    check_tensors(stored, shapes_of(config), config, where, described)
    if head and not same_numbers(head, stored["wte.weight"]):
        raise CheckpointError(
            f"{where}: {HEAD} differs from wte.weight, but config.json says that they are one.\n"
            'If it is the model\'s own output head, write there: "tie_word_embeddings": false'
        )
    return _with_scaled_queries({name: rounded(t.read(), "F32") for name, t in stored.items()}, config, values)


def model_of(weights: Weights, config: ModelConfig) -> "GPT":
    """A GPT in torch of `weights`, which are copied one by one and taken out of the table."""
    import torch

    from minigpt.models.gpt import GPT

    with torch.device("meta"):
        model = GPT(config)
    model.load_state_dict({name: copied(weights.pop(name)) for name in list(weights)}, assign=True)
    return model


def copied(array: np.ndarray) -> "Tensor":
    """The numbers as a float32 tensor with memory of its own, aligned as torch aligns it."""
    import torch

    tensor = torch.empty(array.shape)
    tensor.numpy()[...] = array
    return tensor


def other_heads(names: Iterable[str]) -> list[str]:
    """The tensors among these that belong to another task than predicting text."""
    return sorted(name for name in names if name.startswith(_OTHER_HEADS))


def same_numbers(first: StoredTensor, second: StoredTensor) -> bool:
    """Whether two tensors hold the same numbers, of which one may be rounded to the type of the other."""
    if first.shape != second.shape:
        return False
    if first.numbers == second.numbers:
        return True
    narrower = min(first.dtype, second.dtype, key=lambda dtype: STORED[dtype].itemsize)
    return np.array_equal(rounded(first.read(), narrower), rounded(second.read(), narrower))


def with_its_head(tensors: dict[str, StoredTensor], config: ModelConfig, embedding: str) -> ModelConfig:
    """`config` of a file that does not say whether the output head is tied: it is where it equals the embedding.

    Then the head is left out of `tensors`.
    """
    if HEAD in tensors and embedding in tensors:
        if not same_numbers(tensors[HEAD], tensors[embedding]):
            return replace(config, tied=False)
        del tensors[HEAD]
    return config


def _with_scaled_queries(weights: Weights, config: ModelConfig, values: Mapping[str, Any]) -> Weights:
    """Multiply the query weights, so that the attention of config.json becomes standard GPT-2's.

    GPT-2 divides attention scores by the root of the head width. With scale_attn_weights false it does not, and
    scale_attn_by_inverse_layer_idx also divides by the number of the layer; reorder_and_upcast_attn is the same
    function, rounded differently. With the scales in its weights, a saved model is a GPT-2 for any other program.
    """
    scale = 1.0 if values.get(_SCALED, True) else math.sqrt(config.width / config.heads)
    for layer in range(config.layers):
        factor = scale / (layer + 1) if values.get(_BY_LAYER, False) else scale
        if factor != 1:
            for part in ("weight", "bias"):
                scaled = weights[f"h.{layer}.attn.c_attn.{part}"].copy()
                scaled[..., : config.width] *= factor
                weights[f"h.{layer}.attn.c_attn.{part}"] = scaled
    return weights


def _refuse_names(names: Collection[str], where: str) -> None:
    """Raise CheckpointError for weights that are known to come from elsewhere, with what they are."""
    if any(name.startswith(_COMPILED) for name in names):
        raise CheckpointError(
            f"{where}: these are torch.compile's names ({_COMPILED}).\n"
            f"Save the tensors without {_COMPILED} in their names, as model._orig_mod.state_dict() has them."
        )
    own = [name for name in names if not name.endswith(BUFFERS)]
    if any(name.endswith("ln_f.weight") for name in own) and not any(name.endswith(".bias") for name in own):
        raise CheckpointError(
            f"{where} has no biases, as a nanoGPT with bias=False; GPT-2 has them.\n"
            "Save it with biases of zero, which change no answer, or make a folder of nanoGPT's own checkpoint:\n"
            "  minigpt import ckpt.pt FOLDER"
        )


def check_tensors(
    tensors: Mapping[str, StoredTensor],
    shapes: Mapping[str, tuple[int, ...]],
    config: ModelConfig,
    where: str,
    described: str = CONFIG,
) -> None:
    """Raise CheckpointError unless these are the tensors with these shapes, of floating-point numbers."""
    for name, shape in shapes.items():
        if name not in tensors:
            raise CheckpointError(f"{where} lacks the tensor {name}.")
        stored = tensors[name]
        if stored.shape != shape:
            raise CheckpointError(
                f"{where}: {name} has the shape {list(stored.shape)}, but {described} asks for {list(shape)}."
            )
        if not is_floating_point(stored.dtype):
            raise CheckpointError(f"{where}: {name} holds {STORED[stored.dtype]}, not floating-point numbers.")
    unknown = sorted(set(tensors) - set(shapes))
    if unknown:
        raise CheckpointError(f"{where} holds {brief(repr(unknown[0]))}, which {NAMES[config.model]} does not have.")
