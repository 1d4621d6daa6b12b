"""Converts a Transformer's configuration and weights to those of a Hugging Face Marian folder, and back.

Marian is Figure 1 of Vaswani et al. with sinusoidal positions and norms after each addition. transformer.py keeps
weights [in, out], and those that are multiplied together side by side; Marian stores each alone, [out, in].
"""

from collections.abc import Iterator, Mapping
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any

import numpy as np

from minigpt.checkpoint.baselines import model_of as model_of  # built from its weights as any other
from minigpt.checkpoint.files import CONFIG
from minigpt.checkpoint.hf_gpt2 import POSITIVE, TOKEN, Weights, check_tensors, model_config, read_field
from minigpt.checkpoint.tensors import StoredTensor, rounded
from minigpt.errors import CheckpointError
from minigpt.settings import ModelConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from minigpt.models.transformer import Transformer

SHAPE_KEYS = {  # ours -> config.json, where it may have several that must agree
    "vocab_size": ("vocab_size",),
    "context": ("max_position_embeddings",),
    "width": ("d_model",),
    "layers": ("encoder_layers", "decoder_layers"),
    "heads": ("encoder_attention_heads", "decoder_attention_heads"),
    "inner_width": ("encoder_ffn_dim", "decoder_ffn_dim"),
}
# Fixed in this implementation, with what a config.json means that leaves it out: MarianConfig of transformers 5.23.
FIXED: dict[str, tuple[Any, Any]] = {
    "model_type": ("marian", None),
    "activation_function": ("relu", "gelu"),
    "scale_embedding": (True, False),
    "share_encoder_decoder_embeddings": (True, True),
    "tie_word_embeddings": (True, True),
}
EMBEDDING, BIAS = "model.shared.weight", "final_logits_bias"
# Names for the same tensor, and tables that follow from the shape.
_COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
_POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")


def config_to_json(config: ModelConfig, end_of_text: int, dtype: "torch.dtype") -> dict[str, Any]:
    """The contents of config.json. One token ends sources and targets, begins what a decoder reads, and pads."""
    shape = {key: getattr(config, "mlp_width" if name == "inner_width" else name) for name, key in _keys()}
    ids = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    return {
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        **{key: value for key, (value, _) in FIXED.items()},
        **shape,
        "decoder_vocab_size": config.vocab_size,
        "dropout": config.dropout,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        **dict.fromkeys(ids, end_of_text),
        "forced_eos_token_id": None,
        "dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
    }


def _keys() -> Iterator[tuple[str, str]]:
    return ((name, key) for name, keys in SHAPE_KEYS.items() for key in keys)


def config_from_json(values: Mapping[str, Any], where: str) -> ModelConfig:
    """Read a config.json. Raises CheckpointError, naming the field, for whatever describes another model."""
    for key, (expected, usual) in FIXED.items():
        read_field(values, key, (partial(eq, expected), f"a Marian with {expected!r} can be loaded"), where, usual)
    shape = {}
    for name, (first, *others) in SHAPE_KEYS.items():
        shape[name] = read_field(values, first, POSITIVE, where)
        for key in others:
            read_field(values, key, (partial(eq, shape[name]), f"it must be that of {first}, {shape[name]}"), where)
    end = read_field(values, "eos_token_id", TOKEN, where)
    read_field(values, "decoder_start_token_id", (partial(eq, end), f"it must be eos_token_id, {end}"), where)
    if shape["inner_width"] == 4 * shape["width"]:
        shape["inner_width"] = None
    return model_config(where, model="transformer", **shape, activation="relu", end=end)


# Of a block of ours: the name of a module, and of what Marian has for the parts that lie side by side in its weight.
_MODULES: dict[str, tuple[str, ...]] = {
    "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.c_proj": ("self_attn.out_proj",),
    "mlp.c_fc": ("fc1",),
    "mlp.c_proj": ("fc2",),
}
_CROSS: dict[str, tuple[str, ...]] = {
    "cross.c_query": ("encoder_attn.q_proj",),
    "cross.c_kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross.c_proj": ("encoder_attn.out_proj",),
}
_NORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "encoder": {"ln_1": ("self_attn_layer_norm",), "ln_2": ("final_layer_norm",)},
    "decoder": {"ln_1": ("self_attn_layer_norm",), "ln_2": ("encoder_attn_layer_norm",), "ln_3": ("final_layer_norm",)},
}


def _modules(layers: int) -> Iterator[tuple[str, list[str]]]:
    """Each module of ours, and those of Marian that it consists of."""
    for stack, norms in _NORMS.items():
        modules = _MODULES | norms | (_CROSS if stack == "decoder" else {})
        for layer in range(layers):
            for name, parts in modules.items():
                yield f"{stack}.h.{layer}.{name}", [f"model.{stack}.layers.{layer}.{part}" for part in parts]


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of such a folder."""
    c, i = config.width, config.mlp_width
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (config.vocab_size, c)}
    for name, parts in _modules(config.layers):
        rows, columns = (i, c) if name.endswith("c_fc") else (c, i) if name.endswith("mlp.c_proj") else (c, c)
        for part in parts:
            shapes[f"{part}.weight"] = (c,) if ".ln_" in name else (rows, columns)
            shapes[f"{part}.bias"] = (rows,)
    return shapes


def weights_to_tensors(model: "Transformer", dtype: "torch.dtype") -> "dict[str, Tensor]":
    """The tensors for model.safetensors: Marian's names, contiguous, on the CPU."""
    import torch

    own = {name: t.detach().to("cpu", dtype) for name, t in model.state_dict().items()}
    tensors = {EMBEDDING: own["wte.weight"].contiguous(), BIAS: torch.zeros(1, model.config.vocab_size, dtype=dtype)}
    for name, parts in _modules(model.config.layers):
        weights, biases = (own[f"{name}.{kind}"].chunk(len(parts), -1) for kind in ("weight", "bias"))
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            tensors[f"{part}.weight"] = weight.T.contiguous() if weight.dim() == 2 else weight.contiguous()
            tensors[f"{part}.bias"] = bias.contiguous()
    return tensors


def weights_from_tensors(
    tensors: Mapping[str, StoredTensor], config: ModelConfig, where: str, values: Mapping[str, Any]
) -> Weights:
    """The weights by our names. Raises CheckpointError if they do not fit `config`."""
    stored = {name: tensor for name, tensor in tensors.items() if name not in (*_POSITIONS, BIAS)}
    for copy in _COPIES:
        if (tensor := stored.pop(copy, None)) is not None:
            stored.setdefault(EMBEDDING, tensor)
    if BIAS in tensors and tensors[BIAS].read().any():
        raise CheckpointError(f"{where}: {BIAS} is not zero, and these models have no such bias.")
    layers = len({name.split(".")[3] for name in stored if name.startswith("model.encoder.layers.")})
    if layers != config.layers:  # before as many shapes are listed
        raise CheckpointError(f"{where} has {layers} layers, but {CONFIG} says encoder_layers {config.layers}.")
    check_tensors(stored, _shapes(config), config, where)
    theirs = {name: rounded(tensor.read(), "F32") for name, tensor in stored.items()}
    weights = {"wte.weight": theirs[EMBEDDING]}
    for name, parts in _modules(config.layers):
        for kind in ("weight", "bias"):
            weights[f"{name}.{kind}"] = np.concatenate([theirs[f"{part}.{kind}"].T for part in parts], axis=-1)
    return weights
