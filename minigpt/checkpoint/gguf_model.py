"""Reads a GPT-2 with its tokenizer from a GGUF file, as llama.cpp's converter and `minigpt export` write it.

The format is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The file is untrusted: each length is
compared with what is left of the file before anything is read. (The package gguf, in 0.19.0, does not do so: with an
array that claims to be longer than the file, it never ends.)
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken

from minigpt.checkpoint.files import check_given_file, reading
from minigpt.checkpoint.hf_gpt2 import (
    POSITIVE,
    SHARE,
    Weights,
    model_config,
    read_field,
    weights_from_tensors,
    with_its_head,
)
from minigpt.checkpoint.tensors import STORED, StoredTensor
from minigpt.checkpoint.tokenizer_files import Special, tokenizer_from_vocabulary
from minigpt.errors import CheckpointError, brief, escaped
from minigpt.settings import ModelConfig
from minigpt.text.tokenizer import GPT2_ROLES, Tokenizer

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_LARGEST_HEADER = 1 << 26  # bytes; one with GPT-2's vocabulary has some two million
_MOST_AXES = 4

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_FORMATS = {kind: struct.Struct(f"<{kind}") for kind in _NUMBERS.values()}
_TEXT, _ARRAY = 8, 9

_Q8_0, _BLOCK = 8, 32  # 32 numbers as int8, after one scale in float16 for all of them
# Types of tensors: that of their numbers once they are read, the bytes of a block, and the numbers in it.
_KINDS = {0: ("F32", 4, 1), 1: ("F16", 2, 1), 30: ("BF16", 2, 1), _Q8_0: ("F32", 2 + _BLOCK, _BLOCK)}
_OTHER_KINDS = {
    2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 9: "q8_1", 10: "q2_K", 11: "q3_K", 12: "q4_K", 13: "q5_K", 14: "q6_K",
    15: "q8_K", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl", 21: "iq3_s", 22: "iq2_s",
    23: "iq4_xs", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64", 29: "iq1_m", 34: "tq1_0",
    35: "tq2_0", 39: "mxfp4", 40: "nvfp4", 41: "q1_0",
}  # fmt: skip


class GgufFile:
    """An open file: its `values` by key, where an array of numbers is an ndarray and an array of texts a list."""

    def __init__(self, path: Path) -> None:
        """Read the values of the file at `path`. Raises CheckpointError."""
        check_given_file(path)
        self.path = path
        with reading(path):
            size = path.stat().st_size
            self._data = np.asarray(np.memmap(path, np.uint8, "r")) if size else np.zeros(0, np.uint8)
        self._bytes = self._data.data  # an array makes an object for each of a hundred thousand texts
        if self._bytes[:4] != MAGIC:
            raise CheckpointError(f"{path} is not a GGUF file.")
        self._place = 4
        version = self._number("I")
        if version not in _VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
            what = "of a big-endian machine" if swapped else f"of version {version:,}"
            raise CheckpointError(f"{path} is a GGUF file {what}; those of versions 2 and 3, little-endian, are read.")
        self._tensor_count, count = self._number("Q"), self._number("Q")
        self.values: dict[str, Any] = {}
        for _ in range(count):
            key = self._text()
            if key in self.values:
                raise self._damaged(f"{brief(escaped(key))} is there twice")
            self.values[key] = self._value(self._number("I"))

    def tensors(self) -> dict[str, StoredTensor]:
        """The tensors by name; a shape has the longest stride first, as in NumPy. To be called once."""
        found: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(self._tensor_count):
            name = self._text()
            axes = self._number("I")
            if axes > _MOST_AXES:
                raise self._damaged(f"{brief(escaped(name))} has {axes:,} axes")
            shape = tuple(self._number("Q") for _ in range(axes))[::-1]
            if name in found:
                raise self._damaged(f"{brief(escaped(name))} is there twice")
            found[name] = shape, self._number("I"), self._number("Q")
        step = self.values.get("general.alignment", 32)
        if not isinstance(step, int) or not 0 < step < 1 << 32:
            raise self._damaged("general.alignment is not a number of bytes")
        start = -(-self._place // step) * step
        return {name: self._stored(name, shape, kind, start + place) for name, (shape, kind, place) in found.items()}

    def _stored(self, name: str, shape: tuple[int, ...], kind: int, place: int) -> StoredTensor:
        called = brief(escaped(name))
        if kind not in _KINDS:
            what = _OTHER_KINDS.get(kind, f"the type {kind:,}")
            raise CheckpointError(f"{self.path}: {called} is in {what}; float32, float16, bfloat16 and q8_0 are read.")
        dtype, size, block = _KINDS[kind]
        numbers = math.prod(shape)
        if block > 1 and (not shape or shape[-1] % block):
            raise self._damaged(f"{called} has rows that are not a multiple of {block} long")
        end = place + numbers // block * size
        if end > len(self._data):
            raise self._damaged(f"{called} would end at byte {end:,} of {len(self._data):,}")
        return StoredTensor(_Numbers(self._data[place:end], kind == _Q8_0, shape, dtype), name, shape, dtype)

    def _take(self, count: int) -> memoryview:
        place, self._place = self._place, self._place + count
        if self._place > min(len(self._data), _LARGEST_HEADER):
            raise self._damaged(f"its header would have {self._place:,} bytes or more")
        return self._bytes[place : self._place]

    def _number(self, kind: str) -> Any:
        number = _FORMATS[kind]
        return number.unpack(self._take(number.size))[0]

    def _text(self) -> str:
        try:
            return str(self._take(self._number("Q")), "utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged("a text in it is not UTF-8") from error

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _ARRAY:
            return self._array(self._number("I"), self._number("Q"))
        if kind not in _NUMBERS:
            raise self._damaged(f"a value has the type {kind:,}")
        return self._number(_NUMBERS[kind])

    def _array(self, kind: int, count: int) -> Any:
        if kind == _TEXT:
            return [self._text() for _ in range(count)]
        if kind not in _NUMBERS:
            raise self._damaged(f"an array has the type {kind:,}")
        dtype = np.dtype(_NUMBERS[kind]).newbyteorder("<")
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is a damaged GGUF file: {reason}.")


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The bytes of one tensor."""

    stored: np.ndarray
    in_blocks: bool
    shape: tuple[int, ...]
    dtype: str

    def read(self) -> np.ndarray:
        if not self.in_blocks:
            return np.require(self.stored.view(STORED[self.dtype]), requirements="A").reshape(self.shape)
        blocks = self.stored.reshape(-1, 2 + _BLOCK)
        scales, numbers = blocks[:, :2].copy().view("<f2"), blocks[:, 2:].view(np.int8)
        with np.errstate(invalid="ignore"):  # a damaged scale can be infinite
            return (scales.astype(np.float32) * numbers).reshape(self.shape)


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
