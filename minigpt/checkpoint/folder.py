"""Saves a model and its tokenizer as a standard Hugging Face GPT-2 folder (safetensors and JSON), and loads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from minigpt.checkpoint import baselines, hf_gpt2, marian
from minigpt.checkpoint.files import (
    CONFIG,
    DESCRIPTION,
    GENERATION,
    INDEX,
    LARGEST_CONFIG,
    MODEL_TYPES,
    TOKENIZER,
    WEIGHTS,
    read_json_object,
    reading,
    sha256_of,
    starts_with,
    storable,
    write_atomically,
    write_json,
    write_text,
)
from minigpt.checkpoint.generation import generation_to_json, read_generation
from minigpt.checkpoint.gguf_model import MAGIC, read_gguf
from minigpt.checkpoint.hub import as_hub_model, fetch
from minigpt.checkpoint.runs import find_run, near_run
from minigpt.checkpoint.tensors import open_tensors, refuse_other_formats, weight_files
from minigpt.checkpoint.tokenizer_files import read_tokenizer
from minigpt.checkpoint.torch_file import ARCHIVE
from minigpt.errors import CheckpointError, brief, escaped, named
from minigpt.models.native import NativeGPT, is_native
from minigpt.models.threads import most_threads, use_threads
from minigpt.settings import ModelConfig, check_stored
from minigpt.settings.model import NAMES
from minigpt.text.tokenizer import GPT2_ROLES, Tokenizer
from minigpt.versions import version

if TYPE_CHECKING:
    import torch

    from minigpt.models.kinds import Model
    from minigpt.models.network import AnyModel

_PROMPTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT")  # adapters of peft


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """A loaded model with its tokenizer, the folder or the GGUF file of both, and its generation_config.json.

    `notes`: sentences about what was left aside.
    """

    path: Path
    model: "AnyModel"  # a NativeGPT where C computes it, else one of torch's
    tokenizer: Tokenizer
    generation: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def torch_model(self) -> "Model":
        """The model in torch, for what C does not compute. The checkpoint must have been opened so."""
        assert not isinstance(self.model, NativeGPT), "what needs torch says so when it opens a checkpoint"
        return self.model

    def beside(self, path: str | Path) -> "Checkpoint":
        """Load another checkpoint to compare with this one: in C if this one computes there and the other can, else in
        torch on the same device. Raises CheckpointError.
        """
        found = read(path)
        if isinstance(self.model, NativeGPT):
            if is_native(found.config):
                return found.in_c()
            threads = most_threads()
            other = found.in_torch("cpu")
            use_threads(threads)  # by torch too, which may have been loaded only now
            return other
        return found.in_torch(self.model.device)

    def about(self, **asked: Any) -> dict[str, Any]:
        """What JSON says beside the numbers: what was `asked`, the weights, and the version of minigpt."""
        return {**asked, "checkpoint": described(self.path), "version": version("minigpt")}

    def __repr__(self) -> str:
        shape = self.model.config
        return (
            f"<Checkpoint {escaped(str(self.path))}: {NAMES[shape.model]}, {shape.parameter_count():,} parameters, "
            f"{shape.layers} × {shape.width}, context {shape.context:,}, vocabulary {shape.vocab_size:,}, "
            f"on {self.model.device}>"
        )


@dataclass(frozen=True)
class Stored:
    """What a folder or a GGUF file holds, before a model is made of it: its weights are arrays, in part read-only."""

    path: Path
    config: ModelConfig
    weights: hf_gpt2.Weights
    tokenizer: Tokenizer
    generation: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_model(self, model: "AnyModel") -> Checkpoint:
        """The checkpoint with this model."""
        return Checkpoint(self.path, model, self.tokenizer, self.generation, self.notes)

    def in_torch(self, device: "str | torch.device") -> Checkpoint:
        """The checkpoint with a model in torch, for inference. It takes the weights out of `weights` as it copies them,
        so that they are not in memory twice.
        """
        return self.with_model(_module_of(self.config.model).model_of(self.weights, self.config).to(device).eval())

    def in_c(self, dtype: str = "float32", quantize: str = "none") -> Checkpoint:
        """The checkpoint with a GPT that computes in C on the CPU, its weights stored as `dtype` and `quantize` say.

        Raises ConfigError where the two exclude each other.
        """
        check_stored(dtype, quantize)
        return self.with_model(NativeGPT(self.config, self.weights, dtype=dtype, quantize=quantize, copies=True))


def load(path: str | Path, device: "str | torch.device" = "cpu") -> Checkpoint:
    """Load a GPT-2 folder, a GGUF file or one of our baselines for inference in torch; a Hub id is downloaded.

    Raises CheckpointError if the files do not fit together. Nothing in a folder is executed.
    """
    return read(path).in_torch(device)


def read(path: str | Path) -> Stored:
    """What `load` loads, before a model is made of it. Raises CheckpointError."""
    folder = find_folder(path)
    if folder.is_file():
        return Stored(folder, *read_gguf(folder))
    refuse_other_formats(folder)
    _refuse_adapter(folder)
    _refuse_none(folder)
    config, values = read_config(folder)
    tokenizer = read_tokenizer(folder)
    if config.reads_pairs:
        tokenizer = tokenizer.of_sources()
    check_together(tokenizer, config, str(folder))
    generation = read_generation(folder)
    tensors, where = open_tensors(folder)
    weights = _module_of(config.model).weights_from_tensors(tensors, config, str(where), values)
    aside = hf_gpt2.other_heads(tensors) if config.model == "gpt" else ()
    heads = ", ".join(sorted({name.split(".")[0] for name in aside}))
    notes = (f"{folder} also holds a head for another task ({heads}), which is left aside.",) if heads else ()
    return Stored(folder, config, weights, tokenizer, generation, notes)


def _module_of(model: str) -> Any:
    """The module that reads and writes such a model."""
    return {"gpt": hf_gpt2, "transformer": marian}.get(model, baselines)


def check_together(tokenizer: Tokenizer, config: ModelConfig, where: str, described: str = CONFIG) -> None:
    """Raise CheckpointError for a tokenizer with more tokens than the model, unless no known text has those."""
    if tokenizer.vocab_size <= config.vocab_size:
        return
    if tokenizer.used_size > config.vocab_size:
        raise CheckpointError(
            f"{where}: the tokenizer has {tokenizer.vocab_size:,} tokens, but the model only {config.vocab_size:,} "
            f"(vocab_size in {described}): they do not belong together."
        )
    tokenizer.limit(config.vocab_size)


def _refuse_none(folder: Path) -> None:
    """Raise CheckpointError for a folder without a model."""
    if not any((folder / name).exists() for name in (CONFIG, WEIGHTS, INDEX)):
        raise CheckpointError(
            f"{escaped(str(folder))} holds no model: it has no {CONFIG} and no {WEIGHTS}. A run's folder has "
            "both, such as checkpoints/NAME."
        )


def _refuse_adapter(folder: Path) -> None:
    path = folder / "adapter_config.json"
    if not path.exists() or (folder / CONFIG).exists():
        return
    values = read_json_object(path, LARGEST_CONFIG)
    kind, base = values.get("peft_type"), values.get("base_model_name_or_path")
    advice = "Merge the two with the package peft (merge_and_unload), and save what comes of it."
    if kind in _PROMPTS:
        advice = "Its learned vectors stand before every text, and cannot be merged into the model."
    raise CheckpointError(
        f"{folder} is {'a LoRA adapter' if kind == 'LORA' else 'an adapter'} of {brief(escaped(str(base)))}, not a "
        f"model.\n{advice}"
    )


def _refuse_several(folder: Path) -> None:
    """Raise CheckpointError for a folder of models, such as ./checkpoints itself."""
    if folder.is_file() or (folder / CONFIG).exists():
        return
    with reading(folder):
        names = sorted(path.name for path in folder.iterdir() if (path / CONFIG).is_file())
    if names:
        one = escaped(str(folder / names[0]))
        raise CheckpointError(f"{escaped(str(folder))} is a folder of models: name one of them, such as {one}.")


def find_folder(path: str | Path) -> Path:
    """A folder, a run of ./checkpoints, a GGUF file, or the folder to which the Hub's model of this name is downloaded.

    Raises CheckpointError.
    """
    folder = find_run(path)
    if folder.is_dir() or starts_with(folder, MAGIC):
        _refuse_several(folder)
        return folder
    if not folder.exists() and (model := as_hub_model(str(path))):
        try:
            return fetch(model, read_config)
        except CheckpointError as error:
            raise CheckpointError(f"{error.message}{near_run(path)}") from error
    if starts_with(folder, ARCHIVE):
        raise CheckpointError(
            f"{escaped(str(folder))} is a file. If nanoGPT saved it, this makes a folder of it, which "
            f"{named('checkpoint')} takes:\n  minigpt import {quote(str(folder))} FOLDER"
        )
    what = "is a file" if folder.exists() else "does not exist"
    raise CheckpointError(
        f"{escaped(str(folder))} {what}; {named('checkpoint')} takes a run folder, a Hugging Face GPT-2 folder, "
        f"a GGUF file, or a model of the Hub such as openai-community/gpt2.{near_run(path)}"
    )


def read_config(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """The model's shape, and the contents of config.json. Raises CheckpointError."""
    path = folder / CONFIG
    values = read_json_object(path, LARGEST_CONFIG)
    kind = MODEL_TYPES.get(str(values.get("model_type")), "gpt")
    return _module_of(kind).config_from_json(values, str(path)), values


def save_description(
    folder: Path,
    config: ModelConfig,
    tokenizer: Tokenizer,
    dtype: "torch.dtype",
    generation: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write all files of a GPT-2 folder except the weights; none of them changes during training.

    `generation`: what generation_config.json holds beside the tokenizer's ids.
    """
    described = _module_of(config.model).config_to_json(config, tokenizer.end_of_text, dtype)
    stops = sorted(tokenizer.stops)
    ends = stops[0] if len(stops) == 1 else stops or None
    ids = {"bos_token_id": tokenizer.beginning, "eos_token_id": ends}
    if (pad := tokenizer.token_of("pad_token")) is not None:
        ids["pad_token_id"] = pad
    if config.reads_pairs:
        ids |= {"pad_token_id": config.end, "decoder_start_token_id": config.end}
    write_json(folder / CONFIG, {**described, **ids})
    write_text(folder / TOKENIZER, tokenizer.to_json() + "\n")
    write_json(
        folder / DESCRIPTION,
        {
            # transformers 5 builds a GPT2Tokenizer anew from the vocabulary, with GPT-2's way of cutting a text.
            "tokenizer_class": "GPT2Tokenizer" if tokenizer.cuts_as_gpt2 and stops else "PreTrainedTokenizerFast",
            "add_prefix_space": tokenizer.prefix_space,
            **dict.fromkeys(GPT2_ROLES),  # a GPT2Tokenizer has them unless they are null
            **tokenizer.roles,
            **({"pad_token": tokenizer.end_of_text_name} if config.reads_pairs else {}),
            "eos_token": tokenizer.end_of_text_name,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config.context,
        },
    )
    write_json(folder / GENERATION, generation_to_json(generation, ids, config.context))


def save_weights(
    folder: Path, model: "Model", dtype: "torch.dtype | None" = None, metadata: Mapping[str, str] | None = None
) -> None:
    """Write model.safetensors atomically, by default in float32; `metadata` goes into its header.

    Equal weights give equal bytes.
    """
    import torch
    from safetensors.torch import save_file

    tensors = _module_of(model.config.model).weights_to_tensors(model, dtype or torch.float32)
    header = {"format": "pt", **(metadata or {})}

    def write(temporary: Path) -> None:
        save_file(tensors, temporary, header)
        _sort_metadata(temporary)

    write_atomically(folder / WEIGHTS, write)


def _sort_metadata(weights: Path) -> None:
    """Sort the metadata of the header (eight bytes of length, then JSON), which safetensors writes in random order."""
    with weights.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length)
        assert len(text) == length, "the same, in another order"
        file.seek(8)
        file.write(text)


def described(folder: Path) -> dict[str, str]:
    """A checkpoint by its path and the SHA-256 of its model.safetensors."""
    return {"path": storable(folder), "sha256": sha256_of(weight_files(folder))}
