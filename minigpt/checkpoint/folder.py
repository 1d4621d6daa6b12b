"""A model and its tokenizer <-> a standard Hugging Face GPT-2 folder, of safetensors and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from minigpt.checkpoint.files import read_json_object, write_atomically, write_json, write_text
from minigpt.checkpoint.hf_gpt2 import config_from_json, config_to_json, model_from_tensors, weights_to_tensors
from minigpt.checkpoint.runs import TOKENIZER, WEIGHTS
from minigpt.config import ModelConfig
from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import END_OF_TEXT, Tokenizer

CONFIG = "config.json"


@dataclass(frozen=True)
class Checkpoint:
    """A model, ready to be asked, with its tokenizer and where both come from."""

    path: Path
    model: GPT
    tokenizer: Tokenizer


def load(path: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Load a GPT-2 folder, strictly, for inference. Raises CheckpointError with what does not fit what."""
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise CheckpointError(f"{folder} {what}; --checkpoint takes a run folder or a Hugging Face GPT-2 folder.")
    config = config_from_json(read_json_object(folder / CONFIG), str(folder / CONFIG))
    tokenizer = Tokenizer.from_file(folder / TOKENIZER)
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, but the model only {config.vocab_size:,} "
            f"(vocab_size in {CONFIG}): they do not belong together."
        )
    model = model_from_tensors(_read_tensors(folder / WEIGHTS), config, str(folder / WEIGHTS))
    return Checkpoint(folder, model.to(device).eval(), tokenizer)


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or is no safetensors file ({error}).") from error


def save_description(folder: Path, config: ModelConfig, tokenizer: Tokenizer, dtype: torch.dtype) -> None:
    """Write everything of a GPT-2 folder but the weights; none of it changes while a model is trained."""
    write_json(folder / CONFIG, config_to_json(config, tokenizer.end_of_text, dtype))
    write_text(folder / TOKENIZER, tokenizer.to_json() + "\n")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2Tokenizer",
            "add_prefix_space": False,
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config.context,
        },
    )
    ids = {"bos_token_id": tokenizer.end_of_text, "eos_token_id": tokenizer.end_of_text}
    write_json(folder / "generation_config.json", ids)


def save_weights(
    folder: Path, model: GPT, dtype: torch.dtype = torch.float32, metadata: Mapping[str, str] | None = None
) -> None:
    """Write model.safetensors atomically; `metadata` goes into its header."""
    tensors = weights_to_tensors(model, dtype)
    header = {"format": "pt", **(metadata or {})}
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(tensors, temporary, header))
