"""Reads a GPT-2 with its tokenizer from a GGUF file, as llama.cpp's converter and `minigpt export` write it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken

from minigpt.checkpoint.gguf_file import GgufFile
from minigpt.checkpoint.hf_gpt2 import (
    POSITIVE,
    SHARE,
    Weights,
    model_config,
    read_field,
    weights_from_tensors,
    with_its_head,
)
from minigpt.errors import CheckpointError, brief, escaped
from minigpt.settings import ModelConfig
from minigpt.text.tokenizer import GPT2_ROLES, Tokenizer
from minigpt.text.tokenizer_file import Special, tokenizer_from_vocabulary

# GPT-2's names -> GGUF's; those of a layer stand behind h.N. and blk.N.
OUTER = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "lm_head": "output"}
INNER = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}

# llama.cpp (seen in 0.3.36 of its Python package) refuses a file without merges, such as that of a char model of an
# ASCII text. The pattern never leaves a blank behind a letter in one word, so this merge is never applied.
NO_MERGE = "a Ġ"

_SHAPE_KEYS = {
    "context": "context_length",
    "width": "embedding_length",
    "layers": "block_count",
    "heads": "attention.head_count",
}
_INNER_WIDTH, _EPSILON = "feed_forward_length", "attention.layer_norm_epsilon"
_ADDS = "tokenizer.ggml.add_{}_token"
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # types of tokens; 1 is that of all others in a GPT-2


def read_gguf(path: Path) -> tuple[ModelConfig, Weights, Tokenizer]:
    """The model's shape and weights, and the tokenizer, in the file at `path`.

    Raises CheckpointError for anything but a GPT-2.
    """
    file = GgufFile(path)
    _check_kind(file.values, str(path))
    tokens = _texts(file.values, "tokens", str(path))
    config = _config(file.values, len(tokens), str(path))
    tensors = {_our_name(name): tensor for name, tensor in file.tensors().items()}
    tensors = {
        name: tensor.transposed() if name.startswith("h.") and len(tensor.shape) == 2 else tensor
        for name, tensor in tensors.items()
    }
    config = with_its_head(tensors, config, "wte.weight")
    weights = weights_from_tensors(tensors, config, str(path), {}, "its header")
    return config, weights, _tokenizer(file.values, tokens, path)


def _check_kind(values: Mapping[str, Any], where: str) -> None:
    """Raise CheckpointError unless these are the values of a whole GPT-2 with GPT-2's way of cutting a text."""
    architecture = values.get("general.architecture")
    if architecture != "gpt2":
        raise CheckpointError(f"{where} holds the architecture {_shown(architecture)}; gpt2 is what can be loaded.")
    parts = values.get("split.count", 1)
    if parts not in (0, 1):
        raise CheckpointError(
            f"{where} is one of {_shown(parts)} parts of a model; join them with llama.cpp's llama-gguf-split."
        )
    kind, words = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or words != "gpt-2":
        name = _shown(kind) if kind != "gpt2" else f"gpt2 with the pre-tokenizer {_shown(words)}"
        raise CheckpointError(f"{where} holds the tokenizer {name}; gpt2 with gpt-2 is what can be loaded.")


def _shown(value: Any) -> str:
    return brief(escaped(str(value)))


def _config(values: Mapping[str, Any], vocab_size: int, where: str) -> ModelConfig:
    own = {key.removeprefix("gpt2."): value for key, value in values.items() if key.startswith("gpt2.")}
    shape = {ours: read_field(own, key, POSITIVE, where) for ours, key in _SHAPE_KEYS.items()}
    inner = read_field(own, _INNER_WIDTH, POSITIVE, where, 4 * shape["width"])
    epsilon = read_field(own, _EPSILON, SHARE, where, ModelConfig.layer_norm_epsilon)
    return model_config(
        where,
        **shape,
        vocab_size=vocab_size,
        inner_width=None if inner == 4 * shape["width"] else inner,
        layer_norm_epsilon=float(str(np.float32(epsilon))),  # the shortest number that is the same in float32
    )


def _our_name(name: str) -> str:
    """GPT-2's name of a tensor; an unknown name stays."""
    part, _, end = name.rpartition(".")
    outer = {theirs: ours for ours, theirs in OUTER.items()}
    if part in outer:
        return f"{outer[part]}.{end}"
    block, layer, inner = (*part.split(".", 2), "", "")[:3]
    known = {theirs: ours for ours, theirs in INNER.items()}
    return f"h.{layer}.{known[inner]}.{end}" if block == "blk" and inner in known else name


def _texts(values: Mapping[str, Any], key: str, where: str) -> list[str]:
    texts = values.get(f"tokenizer.ggml.{key}")
    if not isinstance(texts, list):
        raise CheckpointError(f"{where} has no list tokenizer.ggml.{key}, which a GPT-2's tokenizer needs.")
    return texts


def _tokenizer(values: Mapping[str, Any], tokens: list[str], path: Path) -> Tokenizer:
    kinds = values.get("tokenizer.ggml.token_type", np.ones(len(tokens), np.int32))
    if not isinstance(kinds, np.ndarray) or len(kinds) != len(tokens):
        raise CheckpointError(f"{path}: tokenizer.ggml.token_type is not a list with a number for each token.")
    used = [(token, number) for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind != _UNUSED]
    ids = dict(used)
    if len(ids) < len(used):
        twice = next(token for token, number in used if ids[token] != number)
        raise CheckpointError(f"{path}: the token {brief(repr(twice))} is there twice.")
    lines = _texts(values, "merges", str(path))
    merges = [] if lines == [NO_MERGE] and NO_MERGE.replace(" ", "") not in ids else list(_merges(lines, path))
    added = {
        number: AddedToken(tokens[number], special=bool(kinds[number] == _CONTROL), normalized=False)
        for number in np.flatnonzero((kinds == _CONTROL) | (kinds == _USER_DEFINED)).tolist()
    }
    return tokenizer_from_vocabulary(ids, merges, path, _special(values, tokens, added))


def _merges(lines: list[str], path: Path) -> Iterator[tuple[str, str]]:
    for line in lines:
        left, space, right = line.partition(" ")
        if not space:
            raise CheckpointError(f"{path}: {brief(repr(line))} is not a merge: two parts with a space between them.")
        yield left, right


def _special(values: Mapping[str, Any], tokens: list[str], added: Mapping[int, AddedToken]) -> Special:
    """The roles of tokens. A token of the vocabulary itself can only end a text, which its id says."""

    def known(*keys: str) -> list[int]:
        ids = [values.get(f"tokenizer.ggml.{key}_token_id") for key in keys]
        return [token for token in ids if type(token) is int and token < len(tokens)]

    keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    named = {role: tokens[token] for role, key in keys.items() for token in known(key) if token in added}
    put = {
        key: (tokens[token],) for key in ("bos", "eos") for token in known(key) if values.get(_ADDS.format(key)) is True
    }
    return Special(
        added=added,
        roles={**GPT2_ROLES, **named},
        ends=(tuple(known("eos", "eot", "eom")),),
        endless=True,
        before=put.get("bos", ()),
        after=put.get("eos", ()),
    )
