"""Lists the runs and models in a folder, and the snapshots of a run. Loads no torch."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import TypeVar

from minigpt.checkpoint.files import (
    CONFIG,
    LARGEST_CONFIG,
    MODEL_TYPES,
    TOKENIZER,
    WEIGHTS,
    check_file,
    read_json_object,
    reading,
)
from minigpt.checkpoint.records import RunSummary
from minigpt.checkpoint.runs import LOG, RUN, SNAPSHOTS, RunInfo, read_run_info
from minigpt.errors import CheckpointError, escaped, named
from minigpt.records import Count, Misfit, Several, from_line, from_plain, record_of

T = TypeVar("T")

_SILENT_SECONDS = 3600.0  # after which a run that says it is running no longer is
_TAIL_BYTES = 1 << 14  # of train.jsonl: its last line is in it
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def list_runs(root: Path, now: datetime | None = None) -> list[RunSummary]:
    """The folders in `root` that contain a run or a model, newest first, with damaged ones. Raises CheckpointError.

    `now` is the time from which ages are counted.
    """
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {escaped(str(root))}.\nminigpt runs --dir FOLDER looks elsewhere.")
    with reading(escaped(str(root))):
        folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    now = now or datetime.now(UTC)  # one for all: the order is that of the ages
    found = [_summary(path, now) for path in folders]
    return sorted((run for run in found if run), key=lambda run: (-run.age_seconds, run.name), reverse=True)


@dataclass(frozen=True, kw_only=True)
class _Config:
    """The parts of a config.json to show, of GPT-2 or of ours."""

    model_type: str | None = None
    n_layer: Several | None = None
    layers: Several | None = None
    n_embd: Several | None = None
    width: Several | None = None
    vocab_size: Several | None = None


def _read_config(path: Path) -> _Config:
    return record_of(_Config, read_json_object(path, LARGEST_CONFIG), path)


def _summary(folder: Path, now: datetime) -> RunSummary | None:
    """The summary of a folder; None if it contains neither a run nor a model."""
    info, config, shapes = RunInfo(), _Config(), list[list[int]]()
    problems: list[str] = []
    try:
        if not any((folder / name).exists() for name in (RUN, CONFIG, WEIGHTS)):
            return None
        info = _tried(read_run_info, folder / RUN, info, problems)
        config = _tried(_read_config, folder / CONFIG, config, problems)
        problems += [f"{name} is missing" for name in (CONFIG, TOKENIZER, WEIGHTS) if not (folder / name).exists()]
        shapes = _tried(lambda path: _read_header(path)[1], folder / WEIGHTS, shapes, problems)
    except OSError as error:  # it is another user's, or is being removed
        problems = [f"it cannot be read: {error.strerror}"]
    model, saved = info.model, info.saved
    date = info.date or datetime.fromtimestamp(_last_written(folder), UTC)
    return RunSummary(
        name=folder.name,
        path=str(folder),
        date=date.isoformat(),
        age_seconds=(now - date).total_seconds(),
        status="damaged" if problems else _status(folder, info, now),
        model=model.model or MODEL_TYPES.get(config.model_type or ""),
        layers=model.layers or config.n_layer or config.layers,
        width=model.width or config.n_embd or config.width,
        parameters=info.parameters or sum(map(prod, shapes)) or None,
        tokenizer=info.choices.tokenizer,
        vocab_size=model.vocab_size or config.vocab_size,
        text=first_and_more([source.name for source in info.corpus.sources]) or None,
        steps=info.steps_taken or _last_step(folder),
        saved_step=saved.step if saved else None,
        validation_loss_nats=saved.validation_loss_nats if saved else None,
        validation_bits_per_byte=saved.validation_bits_per_byte if saved else None,
        bytes=_bytes(folder),
        problem="; ".join(problems) or None,
    )


def _tried(read: Callable[[Path], T], path: Path, otherwise: T, problems: list[str]) -> T:
    """What a file says; `otherwise` if it is missing or damaged, in which case the damage is added to `problems`."""
    try:
        return read(path) if path.exists() else otherwise
    except CheckpointError as error:
        problems.append(str(error).removeprefix(f"{path.parent}{os.sep}").rstrip("."))
        return otherwise


def _status(folder: Path, info: RunInfo, now: datetime) -> str:
    if not (folder / RUN).exists():
        return "model"
    silent = now.timestamp() - _last_written(folder) > _SILENT_SECONDS
    return "unfinished" if info.status is None or (info.status == "running" and silent) else info.status


def _last_written(folder: Path) -> float:
    times = []
    for path in (folder, folder / LOG, folder / RUN, folder / WEIGHTS):
        with suppress(OSError):
            times.append(path.lstat().st_mtime)
    return min(max(times, default=0.0), _LATEST)


def first_and_more(names: Sequence[str]) -> str:
    """The first name, and how many there are after it."""
    return (names[0] if names else "") + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


@dataclass(frozen=True)
class _Step:
    step: Count


def _last_step(folder: Path) -> int | None:
    """The last step, from the last complete line of train.jsonl."""
    path = folder / LOG
    try:
        check_file(path)
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")
        return from_plain(_Step, from_line(lines[-2]), exact=False).step
    except (CheckpointError, OSError, IndexError, Misfit):
        return None


def _bytes(folder: Path) -> int:
    """The size of all files below; one that disappears meanwhile counts 0."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


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
    # If writing one was cut off, by a kill or a full disk, its weights are missing: they are written last.
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
        if _tokenizer(snapshot.path) != _tokenizer(run):
            raise CheckpointError(f"{snapshot.path} has another tokenizer than {run}: it is not of that training.")
    return [*sorted(found, key=lambda snapshot: snapshot.step), _snapshot(run)]


def _snapshot(folder: Path) -> Snapshot:
    path = folder / WEIGHTS
    values, _ = _read_header(path)
    if "step" not in values:
        raise CheckpointError(f"{path} does not say which step it is of.")
    try:
        losses = [float(values[name]) if name in values else None for name in _LOSSES]
        return Snapshot(folder, int(values["step"]), *losses)
    except ValueError as error:
        raise _unreadable(path, error) from error


_LOSSES = ("validation_loss_nats", "validation_bits_per_byte")


def _tokenizer(folder: Path) -> bytes:
    with reading(folder / TOKENIZER):
        return (folder / TOKENIZER).read_bytes()


def _read_header(path: Path) -> tuple[dict[str, str], list[list[int]]]:
    """The metadata of a safetensors file, and the shapes of its tensors."""
    from safetensors import SafetensorError, safe_open

    check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read, or is damaged ({error}).")
