"""The models that a run kept during its training, each with its step and losses."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from minigpt.checkpoint.files import check_file
from minigpt.checkpoint.runs import SNAPSHOTS, TOKENIZER, WEIGHTS
from minigpt.errors import CheckpointError, named


@dataclass(frozen=True)
class Snapshot:
    """A saved model of a training: its folder, its step, and its losses. Unknown values are None."""

    path: Path
    step: int
    validation_loss_nats: float | None
    validation_bits_per_byte: float | None


def snapshots(run: Path) -> list[Snapshot]:
    """The snapshots of `run` in the order of their steps, then the model at its root, which is the best or the last.

    Steps are read from the files themselves. Raises CheckpointError if there are none, or if a folder's name or
    tokenizer contradicts its file.
    """
    # Of one whose writing was cut off, by a kill or a full disk, the weights are missing: they come last.
    folders = sorted(path.parent for path in (run / SNAPSHOTS).glob(f"step-*/{WEIGHTS}")) if run.is_dir() else []
    if not folders:
        raise CheckpointError(
            f"{run} holds no snapshots of a training.\n"
            f"A run keeps a dozen, unless it was trained with {named('snapshots', '0')}: give the folder of such a run."
        )
    found = [_snapshot(folder) for folder in folders]
    for snapshot in found:
        if snapshot.path.name != f"step-{snapshot.step:06}":
            raise CheckpointError(f"{snapshot.path} holds the model of step {snapshot.step:,}: it was moved there.")
        _check_tokenizer(run, snapshot.path)
    return [*sorted(found, key=lambda snapshot: snapshot.step), _snapshot(run)]


def _snapshot(folder: Path) -> Snapshot:
    path = folder / WEIGHTS
    check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            values = file.metadata() or {}
        losses = {name: float(values[name]) if name in values else None for name in _LOSSES}
        return Snapshot(folder, int(values["step"]), **losses)
    except KeyError as error:
        raise CheckpointError(f"{path} does not say which step it is of.") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read, or is damaged ({error}).") from error


_LOSSES = ("validation_loss_nats", "validation_bits_per_byte")


def _check_tokenizer(run: Path, folder: Path) -> None:
    try:
        same = (run / TOKENIZER).read_bytes() == (folder / TOKENIZER).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not same:
        raise CheckpointError(f"{folder} has another tokenizer than {run}: it is not of that training.")
