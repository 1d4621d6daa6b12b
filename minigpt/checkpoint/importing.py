"""Reads the models of other programs: GGUF files, and what Karpathy's nanoGPT saves, ckpt.pt and meta.pkl.

nanoGPT's model is GPT-2's, with three differences: a matrix is stored [out, in], as nn.Linear has it; biases can be
missing, which are then zero here; and since June 2023 the GELU is exact, while GPT-2 has an approximation by tanh.

Of meta.pkl, its table of characters, are read a table `itos` from ids to characters (or a list of them), a table
`stoi` from characters to ids, or both, and `vocab_size`, in a pickle of at most four MiB that names no class or
function.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import models

from minigpt.checkpoint.files import TOKENIZER, check_given_file, reading, starts_with
from minigpt.checkpoint.folder import Checkpoint, check_together
from minigpt.checkpoint.gguf_model import MAGIC, read_gguf
from minigpt.checkpoint.hf_gpt2 import (
    POSITIVE,
    PREFIX,
    SHARE,
    SWITCH,
    Weights,
    model_of,
    read_field,
    weights_from_tensors,
    with_its_head,
)
from minigpt.checkpoint.pickled import LARGEST, is_plain, read_pickle, shown
from minigpt.checkpoint.tensors import NANOGPT, StoredTensor
from minigpt.checkpoint.tokenizer_files import MERGES, VOCABULARY, given_tokenizer
from minigpt.checkpoint.torch_file import ARCHIVE, TorchFile, open_torch_file
from minigpt.errors import CheckpointError, ConfigError, brief, escaped, named
from minigpt.settings import ModelConfig
from minigpt.text.learning import character_merges
from minigpt.text.token_bytes import BYTE_TO_LETTER
from minigpt.text.tokenizer import Tokenizer, byte_level_engine

META = "meta.pkl"
_PADDING = 128  # tokens: vocabularies are rounded up to a multiple of 64, sometimes of 128


@dataclass(frozen=True)
class Import:
    """A model of another program: its `format` (nanogpt or gguf), and the file or folder of its tokenizer."""

    checkpoint: Checkpoint
    format: str
    tokenizer: Path


def read_model(
    path: Path, *, meta: Path | None = None, tokenizer: Path | None = None, activation: str | None = None
) -> Import:
    """Read the model in the file at `path`. Nothing in it is executed.

    For a checkpoint of nanoGPT, `meta` is a meta.pkl, `tokenizer` a folder or a tokenizer.json in its place, and
    `activation` the one that the model was trained with. A GGUF file says all three itself. Raises CheckpointError, and
    ConfigError for a setting that does not go with the file.
    """
    if meta is not None and tokenizer is not None:
        raise ConfigError(
            f"Give the characters with {named('meta')} or a tokenizer with {named('tokenizer')}, not both."
        )
    if path.is_dir():
        path /= NANOGPT
        if not path.exists():
            raise CheckpointError(
                f"{escaped(str(path.parent))} is a folder without {NANOGPT}. An import reads that, or a .gguf file; "
                f"a Hugging Face GPT-2 folder needs none: {named('checkpoint')} takes it."
            )
    check_given_file(path)
    if starts_with(path, MAGIC):
        given = {"meta": meta, "tokenizer": tokenizer, "activation": activation}
        for name in [name for name, value in given.items() if value is not None]:
            raise ConfigError(f"{named(name)} goes with a checkpoint of nanoGPT: a GGUF file says it itself.")
        config, weights, own = read_gguf(path)
        return Import(Checkpoint(path, model_of(weights, config).eval(), own), "gguf", path)
    if not starts_with(path, ARCHIVE):
        raise CheckpointError(
            f"{escaped(str(path))} is neither a GGUF file nor a checkpoint of nanoGPT, as torch.save writes it from "
            "torch 1.6 on."
        )
    with open_torch_file(path) as file:
        config, weights, dataset = read_nanogpt(file, activation)
    place = tokenizer or meta or _near(path, dataset, config)
    own = given_tokenizer(place) if tokenizer else read_characters(place, config.vocab_size)
    check_together(own, config, str(place), "model_args")
    if own.vocab_size + _PADDING <= config.vocab_size:
        raise CheckpointError(
            f"{escaped(str(place))}: the tokenizer has {own.vocab_size:,} tokens, and the model {config.vocab_size:,} "
            "(vocab_size in model_args), more than padding explains: they do not belong together."
        )
    return Import(Checkpoint(path, model_of(weights, config).eval(), own), "nanogpt", place)


def _near(path: Path, dataset: str, config: ModelConfig) -> Path:
    """The meta.pkl beside a checkpoint, or where nanoGPT keeps it: in data/NAME, beside the checkpoint's folder."""
    folder = path.resolve().parent
    plain = dataset and Path(dataset).name == dataset and dataset not in (".", "..")
    places = [path.with_name(META), *([folder.parent / "data" / dataset / META] if plain else [])]
    for place in places:
        if place.is_file():
            return place
    raise CheckpointError(
        f"{escaped(str(path))} does not hold its tokenizer of {config.vocab_size:,} tokens, and there is no "
        f"{' or '.join(escaped(str(place)) for place in places)}.\nName the file of its characters by "
        f"{named('meta', 'data/NAME/meta.pkl')}, or, for GPT-2's tokens, a folder with {TOKENIZER} or with "
        f"{VOCABULARY} and {MERGES} by {named('tokenizer', 'FOLDER')}."
    )


_WRAPPED = re.compile(r"(module\.|_orig_mod\.)*")  # names of DistributedDataParallel and of torch.compile
_TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
_BIASED = (*_TRANSPOSED, "ln_1.weight", "ln_2.weight", "ln_f.weight")
_SHAPE_KEYS = {
    "vocab_size": "vocab_size",
    "context": "block_size",
    "width": "n_embd",
    "layers": "n_layer",
    "heads": "n_head",
}
_OTHERS = ("bias", "dropout")


def read_nanogpt(file: TorchFile, activation: str | None) -> tuple[ModelConfig, Weights, str]:
    """The shape and the weights of the model in nanoGPT's checkpoint, and the name of its dataset, or "".

    `activation` is that of its MLP; if None, the one that nanoGPT computed when such files were written. Raises
    CheckpointError if the file holds something else, or is damaged.
    """
    values = file.value()
    if not isinstance(values, dict) or not {"model", "model_args"} <= values.keys():
        raise CheckpointError(
            f"{file.path} is not a checkpoint of nanoGPT, which holds a model and its model_args; {_contents(values)}."
        )
    tensors = _tensors(file, values["model"])
    config, has_biases = _config(values["model_args"], f"{file.path}, model_args", activation)
    if not has_biases:
        tensors = {**_zero_biases(tensors), **tensors}
    elif f"{PREFIX}ln_f.bias" not in tensors:
        raise CheckpointError(f"{file.path} has no biases, but its model_args say that it has.")
    config = with_its_head(tensors, config, f"{PREFIX}wte.weight")
    weights = weights_from_tensors(tensors, config, str(file.path), {}, "model_args")
    settings = values.get("config")
    dataset = settings.get("dataset") if isinstance(settings, dict) else None
    return config, weights, dataset if isinstance(dataset, str) else ""


def _contents(values: Any) -> str:
    """What a file holds in place of a checkpoint of nanoGPT."""
    if not isinstance(values, dict):
        return "it holds no table"
    names = [brief(escaped(str(name))) for name in values][:3]
    return f"it holds {', '.join(names)}{' ...' if len(values) > 3 else ''}" if names else "it is empty"


def _config(values: Any, where: str, activation: str | None) -> tuple[ModelConfig, bool]:
    """The model's shape, and whether it has biases. Raises CheckpointError for settings that nanoGPT does not have."""
    if not isinstance(values, dict):
        raise CheckpointError(f"{where}: it is not a table of the model's shape.")
    unknown = next((key for key in values if key not in (*_SHAPE_KEYS.values(), *_OTHERS)), None)
    if unknown is not None:
        raise CheckpointError(
            f"{where}: there is {brief(escaped(str(unknown)))}, which nanoGPT does not have: this is another model."
        )
    values = {key: value if is_plain(value) else shown(value) for key, value in values.items()}
    shape = {ours: read_field(values, key, POSITIVE, where) for ours, key in _SHAPE_KEYS.items()}
    # Before January 2023 there was no such choice, and every model had them.
    has_biases = read_field(values, "bias", SWITCH, where, True)
    default = "gelu" if "bias" in values else "gelu_new"
    try:
        dropout = float(read_field(values, "dropout", SHARE, where, 0.0))
        return ModelConfig(**shape, dropout=dropout, activation=activation or default), has_biases
    except ConfigError as error:
        raise CheckpointError(f"{where} contradict each other: {error.message}") from error


def _tensors(file: TorchFile, table: Any) -> dict[str, StoredTensor]:
    """The tensors by GPT-2's names, and as GPT-2 stores them."""
    if not isinstance(table, dict):
        raise CheckpointError(f"{file.path}: its model is not a table of tensors.")
    found = {}
    for key, value in table.items():
        name = _WRAPPED.sub("", str(key), count=1)
        tensor = file.tensor(value, brief(escaped(name)))
        found[name] = tensor.transposed() if name.endswith(_TRANSPOSED) else tensor
    return found


def _zero_biases(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """A bias of zeros for each part that has one in a GPT-2."""
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(_BIASED) and tensor.shape:
            bias = name.removesuffix("weight") + "bias"
            found[bias] = StoredTensor(_Zeros(tensor.shape[-1]), bias, tensor.shape[-1:], "F32")
    return found


@dataclass(frozen=True)
class _Zeros:
    numbers: int

    def read(self) -> np.ndarray:
        return np.zeros(self.numbers, np.float32)


def read_characters(path: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer of a model with `vocab_size` tokens: one for each character, by the ids in the file at `path`.

    A character of several bytes is merged from them; parts of characters get ids from `vocab_size` on, which the model
    lacks. No token ends a text. Raises CheckpointError.
    """
    check_given_file(path, LARGEST)
    with reading(path):
        values = read_pickle(path.read_bytes(), str(path))
    characters = _characters(values, str(path))
    if len(characters) != vocab_size:
        raise CheckpointError(
            f"{path} has {len(characters):,} characters, but the model {vocab_size:,} tokens: they do not belong "
            "together."
        )
    names = ["".join(BYTE_TO_LETTER[byte] for byte in character.encode()) for character in characters]
    merges = character_merges(characters)
    parts = dict.fromkeys(name for left, right in merges for name in (left, right, left + right))
    ids = {name: number for number, name in enumerate(names)}
    ids |= dict(zip((name for name in parts if name not in ids), count(vocab_size), strict=False))
    tokenizer = Tokenizer(byte_level_engine(models.BPE(vocab=ids, merges=merges)), {}, endless=True)
    if tokenizer.vocab_size > vocab_size:
        tokenizer.limit(vocab_size)
    return tokenizer


def _characters(values: Any, where: str) -> list[str]:
    """The characters in the order of their ids. Raises CheckpointError for anything but a table of characters."""
    tables = values if isinstance(values, dict) else {}
    itos, stoi = tables.get("itos"), tables.get("stoi")
    if isinstance(itos, list | tuple):
        itos = dict(enumerate(itos))
    if itos is None and isinstance(stoi, dict) and all(isinstance(number, int) for number in stoi.values()):
        itos = {number: character for character, number in stoi.items()}
    if not isinstance(itos, dict) or not itos:
        raise CheckpointError(f"{where} has no table of characters, itos or stoi, as nanoGPT's meta.pkl has.")
    characters = []
    for number in range(len(itos)):
        character = itos.get(number)
        if not isinstance(character, str) or len(character) != 1 or 0xD800 <= ord(character) <= 0xDFFF:
            raise CheckpointError(
                f"{where}: the id {number:,} of {len(itos):,} is {shown(character)}, not a character."
            )
        characters.append(character)
    back = {character: number for number, character in enumerate(characters)}
    size = tables.get("vocab_size", len(back))
    if len(back) < len(characters) or stoi not in (None, back) or size != len(back):
        raise CheckpointError(f"{where} contradicts itself: itos, stoi and vocab_size are not of the same characters.")
    return characters
