"""Writes the folder of a training run, and the state from which it can be resumed.

config.json, model.safetensors, tokenizer.json ...   a standard GPT-2 folder: the best model so far
run.json       configuration, seed, sources with their SHA-256, versions
train.jsonl    one TrainRecord a line
snapshots/     the model at a dozen steps, bfloat16, each a GPT-2 folder itself
resume/        what it takes to continue exactly where it was: one file with the state, and the ids of the text
tensorboard/   the same as train.jsonl, where asked for
"""

import json
import os
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from minigpt.checkpoint.claim import make_folder, remove_half_written, remove_run
from minigpt.checkpoint.files import locked, write_atomically, write_json, write_text, writing
from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.checkpoint.generation import read_generation
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.runs import CARD, LOCK, LOG, RESUME, RUN, SNAPSHOTS, TOKENS, RunInfo, read_log
from minigpt.errors import CheckpointError, OutputError
from minigpt.records import Amount, Count, Misfit, from_line, from_plain, to_plain
from minigpt.text.shards import MANIFEST, TokenData, keep_shards, open_shards
from minigpt.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from minigpt.models.kinds import Model

_STATE = "state.safetensors"


class RunFolder:
    """The folder that one run is written to. Its files are always complete, whenever the run is killed."""

    def __init__(self, path: Path, tokenizer: Tokenizer, info: dict[str, Any]) -> None:
        self.path, self.tokenizer, self.info = path, tokenizer, info

    @property
    def recorded(self) -> RunInfo:
        """`info` as a record."""
        return from_plain(RunInfo, to_plain(self.info), exact=False)

    def start(
        self, model: "Model", card: str, data: TokenData, generation: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Write all files, with the untrained model, so that the folder can be loaded from now on; or write nothing.

        `generation`: the settings of the model that the training starts from, for generation_config.json.
        """
        import torch

        make_folder(self.path / RESUME)
        self.hold()
        if (self.path / RUN).exists():  # of a process that was quicker
            raise OutputError(f"{self.path} already holds a run. Choose another folder.")
        try:
            save_description(self.path, model.config, self.tokenizer, torch.float32, generation)
            write_text(self.path / CARD, card)
            save_weights(self.path, model, metadata={"step": "0"})
            save_tokens(self.path, data)
            self.update()
        except (OutputError, KeyboardInterrupt, SystemExit):
            remove_run(self.path)
            with suppress(OSError):  # the user's own files may be there
                (self.path / RESUME / LOCK).unlink()
                (self.path / RESUME).rmdir()
                self.path.rmdir()
            raise

    def hold(self) -> None:
        """Lock the run for as long as this object lives. Raises OutputError if another process has locked it."""
        lock = locked(self.path / RESUME / LOCK, f"{self.path} is being trained by another process.")
        weakref.finalize(self, os.close, lock)

    def update(self, **changes: Any) -> None:
        """Change entries of run.json."""
        self.info |= changes
        write_json(self.path / RUN, self.info)

    def tell(self, paragraph: str) -> None:
        """Append a paragraph to README.md, unless it is there already; a file that was deleted is not recreated."""
        path = self.path / CARD
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return
        if f"{paragraph}\n" not in f"{text}\n":
            write_text(path, f"{text.rstrip()}\n\n{paragraph}\n")

    def log(self, record: TrainRecord) -> None:
        """Append one line to train.jsonl, with null for NaN and infinity, which JSON lacks."""
        with writing(self.path / LOG), (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(_log_line(record))

    def sync_log(self) -> None:
        """Sync the log, so that after a power failure no saved state is ahead of it."""
        with suppress(FileNotFoundError), (self.path / LOG).open("rb") as file:
            os.fsync(file.fileno())

    def logged(self) -> list[TrainRecord]:
        """The records of train.jsonl. Raises CheckpointError."""
        return read_log(self.path)

    def forget_after(self, step: int) -> list[TrainRecord]:
        """Drop the records after `step`, whose state was not saved, and return the rest."""
        records = [record for record in self.logged() if record.step <= step]
        write_text(self.path / LOG, "".join(map(_log_line, records)))
        return records

    def tidy(self) -> None:
        """Remove files that were half written when the run was killed."""
        with writing(self.path):
            remove_half_written(self.path)

    def save(self, model: "Model", record: TrainRecord) -> None:
        """Save `model` as the one at the root."""
        save_weights(self.path, model, metadata=_metadata(record))
        self.update(saved=_losses(record))

    def snapshot(self, model: "Model", record: TrainRecord) -> None:
        """Save `model` as a snapshot of this step, in bfloat16."""
        folder = self.path / SNAPSHOTS / f"step-{record.step:06}"
        import torch

        make_folder(folder)
        save_description(folder, model.config, self.tokenizer, torch.bfloat16, read_generation(self.path))
        save_weights(folder, model, torch.bfloat16, _metadata(record))


class OthersFolder(RunFolder):
    """The folder of a run that another process writes: nothing is written, and the log is empty."""

    def tell(self, paragraph: str) -> None: ...
    def log(self, record: TrainRecord) -> None: ...
    def tidy(self) -> None: ...
    def save(self, model: "Model", record: TrainRecord) -> None: ...
    def snapshot(self, model: "Model", record: TrainRecord) -> None: ...
    def update(self, **changes: Any) -> None:
        self.info |= changes

    def logged(self) -> list[TrainRecord]:
        return []

    def forget_after(self, step: int) -> list[TrainRecord]:
        return []


def _log_line(record: TrainRecord) -> str:
    return json.dumps(to_plain(record), allow_nan=False) + "\n"


def _losses(record: TrainRecord) -> dict[str, float | int | None]:
    names = ("step", "loss_nats", "validation_loss_nats", "validation_bits_per_byte")
    return {name: getattr(record, name) for name in names}


def _metadata(record: TrainRecord) -> dict[str, str]:
    """The entries as strings, for the header of a safetensors file."""
    return {name: str(value) for name, value in _losses(record).items() if value is not None}


def save_tokens(run: Path, data: TokenData) -> None:
    """Save the ids: a text from standard input or a URL cannot be read again."""
    keep_shards(data, run / RESUME / TOKENS)


def load_tokens(run: Path) -> TokenData:
    """Load the ids of `save_tokens`. Raises CheckpointError."""
    try:
        return open_shards(run / RESUME / TOKENS)
    except CheckpointError as error:
        raise CheckpointError(f"{error.message}\nThis run cannot be resumed without its ids.") from error


def save_state(run: Path, tensors: "Mapping[str, Tensor]", values: Mapping[str, Any]) -> None:
    """Replace the state. `values` are JSON in the file's header, so they always match the tensors."""
    from safetensors.torch import save_file

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


def load_state(run: Path) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Load the tensors and values of `save_state`. Raises CheckpointError."""
    try:
        with safe_open(run / RESUME / _STATE, framework="pt") as file:
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
    return CheckpointError(f"{run / RESUME / _STATE} cannot be read, so this run cannot be resumed: {why}.")
