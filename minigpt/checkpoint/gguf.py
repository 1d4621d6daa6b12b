"""Exports a checkpoint as one GGUF file, which llama.cpp and the programs built on it read.

llama.cpp's own converter accepts only tokenizers that it knows. Of ours, llama.cpp needs the tokens, the merges, and to
know that texts are cut into words as GPT-2 cuts them.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigpt.checkpoint.files import write_atomically
from minigpt.checkpoint.folder import Checkpoint
from minigpt.checkpoint.gguf_model import INNER, NO_MERGE, OUTER
from minigpt.checkpoint.hf_gpt2 import PREFIX, config_to_json, weights_to_tensors
from minigpt.checkpoint.rebuilt import check_gguf
from minigpt.errors import CheckpointError, ConfigError, brief, escaped, named, needs_extra
from minigpt.models.kinds import gpt_of
from minigpt.text.blocks import Progress, no_progress

if TYPE_CHECKING:
    from torch import Tensor

_FILE_TYPES = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}
_TENSOR_TYPES = {"float32": "F32", "float16": "F16", "q8_0": "Q8_0"}
_BLOCK = 32  # numbers of a row that q8_0 stores with one scale, in float16, for the largest of them
_LARGEST = {"F32": math.inf, "F16": 65504.0, "Q8_0": 127 * 65504.0}

_AS_FOLDER = "Export it as a folder: give a name that does not end in .gguf."

# llama.cpp computes every GPT-2 with these.
_COMPUTED = {"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}

_LEAST_CONTEXT = 2  # llama.cpp warms up with two tokens, and with room for one it aborts

# Absent from our own tokenizers, and ignored by llama.cpp.
_UNHEEDED = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")


def check_installed() -> None:
    """Raise PackageError if the package gguf is not installed, before any work is done."""
    if find_spec("gguf") is None:
        raise needs_extra("A .gguf file is written by the package gguf", "gguf")


@dataclass(frozen=True)
class _Entry:
    """A tensor's GGUF name, and the type it is stored in."""

    name: str
    tensor: "Tensor"
    kind: str  # F32, F16 or Q8_0


def save_gguf(
    path: Path, checkpoint: Checkpoint, dtype: str, begin: Callable[[int], Progress] = lambda total: no_progress
) -> None:
    """Write `checkpoint` to `path`, atomically: its matrices in `dtype` (of GGUF_DTYPES), the rest in float32.

    With q8_0, rows that are not a multiple of 32 long are stored in float16. One tensor at a time is converted; `begin`
    receives the total of bytes, and what it returns receives those written. Raises CheckpointError for a model or
    tokenizer that llama.cpp would run differently, ConfigError for weights out of float16's range, and OutputError.
    """
    import torch

    check_installed()
    values = config_to_json(checkpoint.model.config, checkpoint.tokenizer.end_of_text, torch.float32)
    layout = json.loads(checkpoint.tokenizer.to_json())
    _check_computed(values, checkpoint.path)
    if not checkpoint.tokenizer.stops:
        raise CheckpointError(
            f"{checkpoint.path} names no token that ends a text, and llama.cpp would take one of its own.\n{_AS_FOLDER}"
        )
    words = _Words.of(layout, checkpoint)
    entries = list(_entries(checkpoint, dtype))
    progress = begin(sum(map(_size, entries)))

    def write(temporary: Path) -> None:
        import gguf

        writer = gguf.GGUFWriter(temporary, "gpt2")
        try:
            writer.add_name(escaped(checkpoint.path.resolve().name))
            _describe(writer, values, dtype)
            _add_tokenizer(writer, words, checkpoint)
            _add_tensors(writer, entries, progress)
        finally:
            writer.close()

    write_atomically(path, write)


def _check_computed(values: Mapping[str, Any], where: Path) -> None:
    for key, expected in _COMPUTED.items():
        if values[key] != expected:
            raise CheckpointError(
                f"{where}: {key} is {brief(repr(values[key]))}, but llama.cpp computes every GPT-2 with {expected!r}.\n"
                f"{_AS_FOLDER}"
            )
    if values["n_positions"] < _LEAST_CONTEXT:
        raise CheckpointError(
            f"{where}: its context is one token, and llama.cpp, which warms up with two, stops at once.\n{_AS_FOLDER}"
        )


def _check_words(layout: Mapping[str, Any], where: Path) -> None:
    """Raise CheckpointError for a tokenizer that llama.cpp would apply differently."""
    words, model = layout["pre_tokenizer"] or {}, layout["model"]
    as_gpt2 = words.get("type") == "ByteLevel" and words.get("use_regex", True) and not words.get("add_prefix_space")
    as_gpt2 = as_gpt2 and model["type"] == "BPE"
    # Tokens that absorb adjacent blanks, or depend on them.
    reaching = any(t["lstrip"] or t["rstrip"] or t["single_word"] for t in layout["added_tokens"] if not t["special"])
    if not as_gpt2 or layout["normalizer"] or reaching or any(model.get(key) for key in _UNHEEDED):
        raise CheckpointError(
            f"{where}: its tokenizer does not cut a text as GPT-2's does. llama.cpp has no name for that split that "
            f"minigpt knows, and would read other tokens.\n{_AS_FOLDER}"
        )


def _entries(checkpoint: Checkpoint, dtype: str) -> Iterator[_Entry]:
    """The tensors to write. GGUF stores a layer's matrices [out, in], GPT-2 [in, out]; embeddings are alike in both."""
    import torch

    model = gpt_of(checkpoint.torch_model, "A .gguf file is made of GPT-2's blocks")
    for name, tensor in weights_to_tensors(model, torch.float32).items():
        ours = name.removeprefix(PREFIX)
        inner = ours.startswith("h.")
        yield _Entry(_gguf_name(ours), tensor.T if inner and tensor.dim() == 2 else tensor, _kind(ours, tensor, dtype))


def _gguf_name(name: str) -> str:
    if name.startswith("h."):
        _, layer, rest = name.split(".", 2)
        part, _, end = rest.rpartition(".")
        return f"blk.{layer}.{INNER[part]}.{end}"
    part, _, end = name.rpartition(".")
    return f"{OUTER[part]}.{end}"


def _kind(name: str, tensor: "Tensor", dtype: str) -> str:
    """The type to store a tensor in: position embeddings and vectors, which are small, stay in float32."""
    if tensor.dim() < 2 or name.startswith("wpe"):
        return "F32"
    row = tensor.size(0 if name.startswith("h.") else 1)
    return "F16" if dtype == "q8_0" and row % _BLOCK else _TENSOR_TYPES[dtype]


def _size(entry: _Entry) -> int:
    numbers = entry.tensor.numel()
    return {"F32": 4 * numbers, "F16": 2 * numbers, "Q8_0": numbers // _BLOCK * (_BLOCK + 2)}[entry.kind]


def _describe(writer: Any, values: Mapping[str, Any], dtype: str) -> None:
    """Write the model's shape; `values` as in config.json."""
    import gguf

    writer.add_context_length(values["n_positions"])
    writer.add_embedding_length(values["n_embd"])
    writer.add_block_count(values["n_layer"])
    writer.add_feed_forward_length(values["n_inner"] or 4 * values["n_embd"])
    writer.add_head_count(values["n_head"])
    writer.add_layer_norm_eps(values["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[dtype]])
    if dtype == "q8_0":
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


@dataclass(frozen=True)
class _Words:
    """What llama.cpp is told of a tokenizer: its tokens by id, the type of each, and its merges."""

    names: list[str]
    types: list[str]
    merges: list[str]

    @classmethod
    def of(cls, layout: Mapping[str, Any], checkpoint: Checkpoint) -> "_Words":
        """A token for each row of the embedding; unused ids get names that no text can produce.

        `layout` as in tokenizer.json. Raises CheckpointError for a tokenizer that llama.cpp would apply differently.
        """
        _check_words(layout, checkpoint.path)
        _check_around(checkpoint)
        model = layout["model"]
        added = {token["id"]: token for token in layout["added_tokens"]}
        names = {index: token for token, index in model["vocab"].items()}
        names |= {index: token["content"] for index, token in added.items()}

        def kind(index: int) -> str:
            if index in added:
                return "CONTROL" if added[index]["special"] else "USER_DEFINED"
            return "NORMAL" if index in names else "UNUSED"

        rows = range(checkpoint.model.config.vocab_size)
        words = cls(
            [names.get(index, f"[PAD{index}]") for index in rows],
            [kind(index) for index in rows],
            [" ".join(pair) for pair in model["merges"]] or [NO_MERGE],
        )
        in_text = [name for name, kind in zip(words.names, words.types, strict=True) if kind == "USER_DEFINED"]
        check_gguf(words.names, words.merges, in_text, checkpoint.tokenizer, checkpoint.path)
        return words


def _add_tokenizer(writer: Any, words: _Words, checkpoint: Checkpoint) -> None:
    import gguf

    tokenizer, rows = checkpoint.tokenizer, range(checkpoint.model.config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words.names)
    writer.add_token_types([gguf.TokenType[kind] for kind in words.types])
    writer.add_token_merges(words.merges)
    writer.add_bos_token_id(next(iter(tokenizer.prefix), tokenizer.beginning))
    ends = _ends(checkpoint)
    writer.add_eos_token_id(ends[0])
    for token in ends[1:2]:  # the format has room for a second one
        writer.add_eot_token_id(token)
    if (pad := tokenizer.token_of("pad_token")) in rows:
        writer.add_pad_token_id(pad)
    writer.add_add_bos_token(bool(tokenizer.prefix))
    if tokenizer.suffix:
        writer.add_add_eos_token(True)


def _ends(checkpoint: Checkpoint) -> list[int]:
    """The ids at which a text ends, the one that separates documents first."""
    tokenizer, rows = checkpoint.tokenizer, range(checkpoint.model.config.vocab_size)
    others = sorted(tokenizer.stops.intersection(rows) - {tokenizer.end_of_text})
    return [tokenizer.end_of_text, *others] if tokenizer.end_of_text in tokenizer.stops or not others else others


def _check_around(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless the tokenizer puts at most one token before a text, and its end after it."""
    tokenizer = checkpoint.tokenizer
    if len(tokenizer.prefix) > 1 or tokenizer.suffix not in ((), tuple(_ends(checkpoint)[:1])):
        raise CheckpointError(
            f"{checkpoint.path}: its tokenizer puts more around a text than one token at the beginning and its end, "
            f"which llama.cpp cannot be told.\n{_AS_FOLDER}"
        )


def _add_tensors(writer: Any, entries: Sequence[_Entry], progress: Progress) -> None:
    import gguf

    for entry in entries:
        kind = gguf.GGMLQuantizationType[entry.kind]
        writer.add_tensor_info(entry.name, entry.tensor.shape, np.dtype(np.float32), _size(entry), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for entry in entries:
        numbers = entry.tensor.contiguous().numpy()
        if float(np.abs(numbers).max()) > _LARGEST[entry.kind]:
            raise ConfigError(
                f"{entry.name} holds numbers beyond float16's range: export with {named('dtype', 'float32')}."
            )
        writer.write_tensor_data(gguf.quants.quantize(numbers, gguf.GGMLQuantizationType[entry.kind]))
        progress(_size(entry))
