"""The state of a training <-> RUN/resume/: one file that is whole at any moment, and the ids that it was made from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor

from minigpt.checkpoint.files import write_atomically
from minigpt.errors import CheckpointError
from minigpt.text.shards import TokenData

RESUME = "resume"
_STATE = "state.safetensors"
_TOKENS = "tokens.safetensors"


def save_tokens(run: Path, data: TokenData) -> None:
    """Keep the ids: a text from standard input or a URL cannot be read again."""
    arrays = {"train": data.train, "validation": data.validation}
    write_atomically(run / RESUME / _TOKENS, lambda temporary: save_arrays(arrays, temporary))


def load_tokens(run: Path) -> TokenData:
    """The ids of `save_tokens`. Raises CheckpointError."""
    try:
        arrays = load_arrays(run / RESUME / _TOKENS)
        return TokenData(arrays["train"], arrays["validation"])
    except (OSError, SafetensorError, KeyError) as error:
        raise _unreadable(run / RESUME / _TOKENS, error) from error


def save_state(run: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the state; `values`, as JSON in the file's header, can never belong to other tensors than these."""
    header = {"format": "pt", "state": json.dumps(dict(values))}
    whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(run / RESUME / _STATE, lambda temporary: save_file(whole, temporary, header))


def load_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and values of `save_state`. Raises CheckpointError."""
    path = run / RESUME / _STATE
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in list(file.keys())}, values
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def has_state(run: Path) -> bool:
    return (run / RESUME / _STATE).is_file() and (run / RESUME / _TOKENS).is_file()


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read, so this run cannot go on: {error}.")
