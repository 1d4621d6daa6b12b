"""Reads the models of other programs: nanoGPT's ckpt.pt, with its meta.pkl, and the GGUF files of llama.cpp."""

from dataclasses import dataclass
from pathlib import Path

from minigpt.checkpoint.files import TOKENIZER, check_given_file, starts_with
from minigpt.checkpoint.folder import Checkpoint, check_together
from minigpt.checkpoint.gguf_model import MAGIC, read_gguf
from minigpt.checkpoint.hf_gpt2 import model_of
from minigpt.checkpoint.nanogpt import read_characters, read_nanogpt
from minigpt.checkpoint.tensors import NANOGPT
from minigpt.checkpoint.tokenizer_files import LARGEST, MERGES, VOCABULARY, read_tokenizer, tokenizer_from_file
from minigpt.checkpoint.torch_file import ARCHIVE, open_torch_file
from minigpt.errors import CheckpointError, ConfigError, escaped, named
from minigpt.settings import ModelConfig
from minigpt.text.tokenizer import Tokenizer

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
    own = _given_tokenizer(place) if tokenizer else read_characters(place, config.vocab_size)
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


def _given_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a folder, or in a tokenizer.json of any name."""
    if path.is_dir():
        return read_tokenizer(path)
    check_given_file(path, LARGEST)
    return tokenizer_from_file(path)
