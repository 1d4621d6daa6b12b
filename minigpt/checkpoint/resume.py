"""Saves and loads the state of a training in RUN/resume/: one file, always whole, and the ids of its text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from minigpt.checkpoint.files import write_atomically
from minigpt.errors import CheckpointError
from minigpt.records import Amount, Count, Misfit, from_line, from_plain
from minigpt.text.shards import MANIFEST, TokenData, keep_shards, open_shards

RESUME = "resume"
_STATE = "state.safetensors"
TOKENS = "tokens"


def save_tokens(run: Path, data: TokenData) -> None:
    """Save the ids: a text from standard input or a URL cannot be read again."""
    keep_shards(data, run / RESUME / TOKENS)


def load_tokens(run: Path) -> TokenData:
    """Load the ids of `save_tokens`. Raises CheckpointError."""
    try:
        return open_shards(run / RESUME / TOKENS)
    except CheckpointError as error:
        raise CheckpointError(f"{error.message}\nThis run cannot go on without its ids.") from error


def save_state(run: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Replace the state. `values` are JSON in the file's header, so they always match the tensors."""
    header = {"format": "pt", "state": json.dumps(dict(values))}
    whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(run / RESUME / _STATE, lambda temporary: save_file(whole, temporary, header))


@dataclass(frozen=True, kw_only=True)
class _Unreported:
    """A step that was taken, but whose record is still to come."""

    loss_nats: Amount | None
    learning_rate: Amount
    gradient_norm: Amount | None
    seconds: Amount


@dataclass(frozen=True, kw_only=True)
class _Values:
    """The plain values of a state, beside its tensors."""

    step: Count
    seconds: Amount
    unreported: _Unreported | None
    best: Amount | None
    saved_step: Count


def load_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Load the tensors and values of `save_state`. Raises CheckpointError."""
    path = run / RESUME / _STATE
    try:
        with safe_open(path, framework="pt") as file:
            values = from_line((file.metadata() or {}).get("state", "").encode("utf-8", "surrogatepass"))
            from_plain(_Values, values)
            return {name: file.get_tensor(name) for name in list(file.keys())}, values
    except Misfit as error:
        raise unreadable_state(run, f"what it says of its step is damaged: {str(error).removeprefix('.')}") from error
    except (OSError, SafetensorError, RuntimeError) as error:
        raise unreadable_state(run, str(error)) from error


def has_tokens(run: Path) -> bool:
    """Whether the ids of `save_tokens` are there."""
    return (run / RESUME / TOKENS / MANIFEST).is_file()


def has_state(run: Path) -> bool:
    """Whether there is a state to resume from, with its ids."""
    return (run / RESUME / _STATE).is_file() and has_tokens(run)


def unreadable_state(run: Path, why: str) -> CheckpointError:
    """The error for a state that does not fit the run."""
    return CheckpointError(f"{run / RESUME / _STATE} cannot be read, so this run cannot go on: {why}.")
