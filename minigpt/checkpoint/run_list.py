"""Lists the runs in a folder, newest first, with the kind and the progress of each. Loads no torch."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open

from minigpt.checkpoint.files import check_file, read_json_object
from minigpt.checkpoint.records import RunSummary
from minigpt.checkpoint.run_info import RunInfo, read_run_info
from minigpt.checkpoint.runs import LOG, RUN, TOKENIZER, WEIGHTS
from minigpt.errors import CheckpointError, escaped
from minigpt.records import Count, Misfit, Several, from_line, from_plain, record_of
from minigpt.settings import MODELS

T = TypeVar("T")

_CONFIG = "config.json"
_KINDS = {"gpt2": "gpt", **{f"minigpt-{model}": model for model in MODELS}}  # by config.json's model_type
_SILENT_SECONDS = 3600.0  # after which a run that says it is running no longer is
_TAIL_BYTES = 1 << 14  # of train.jsonl: its last line is in it
_NEEDED = (_CONFIG, TOKENIZER, WEIGHTS)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def list_runs(root: Path, now: datetime | None = None) -> list[RunSummary]:
    """The folders in `root` that hold a run or a model, newest first, with damaged ones. Raises CheckpointError.

    `now` is the time from which ages are counted.
    """
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {escaped(str(root))}.\nminigpt runs --dir FOLDER looks elsewhere.")
    try:
        folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise CheckpointError(f"{escaped(str(root))} cannot be read: {error.strerror}.") from error
    now = now or datetime.now(UTC)  # one for all: the order is that of the ages
    found = [_listed(path, now) for path in folders]
    return sorted((run for run in found if run), key=lambda run: (-run.age_seconds, run.name), reverse=True)


def _listed(folder: Path, now: datetime) -> RunSummary | None:
    """The summary of a folder; None if it holds neither a run nor a model."""
    try:
        return _summary(folder, now) if _is_model(folder) else None
    except OSError as error:  # it is another user's, or is being removed
        return _described(folder, now, [f"it cannot be read: {error.strerror}"])


def _is_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in (RUN, _CONFIG, WEIGHTS))


def _summary(folder: Path, now: datetime) -> RunSummary:
    problems: list[str] = []
    info = _tried(read_run_info, folder / RUN, RunInfo(), problems)
    config = _tried(_read_config, folder / _CONFIG, _Config(), problems)
    problems += [f"{name} is missing" for name in _NEEDED if not (folder / name).exists()]
    shapes = _tried(_shapes, folder / WEIGHTS, list[list[int]](), problems)
    return _described(folder, now, problems, info, config, sum(map(prod, shapes)))


def _tried(read: Callable[[Path], T], path: Path, otherwise: T, problems: list[str]) -> T:
    """What a file says; `otherwise` if it is missing or damaged, in which case the damage is added to `problems`."""
    try:
        return read(path) if path.exists() else otherwise
    except CheckpointError as error:
        problems.append(str(error).removeprefix(f"{path.parent}{os.sep}").rstrip("."))
        return otherwise


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
    return record_of(_Config, read_json_object(path), path)


def _described(
    folder: Path,
    now: datetime,
    problems: list[str],
    info: RunInfo = RunInfo(),
    config: _Config = _Config(),
    numbers: int = 0,
) -> RunSummary:
    """The model in short. `numbers`: the number of weights."""
    model, saved = info.model, info.saved
    date = info.date or datetime.fromtimestamp(_written(folder), UTC)
    return RunSummary(
        name=folder.name,
        path=str(folder),
        date=date.isoformat(),
        age_seconds=(now - date).total_seconds(),
        status="damaged" if problems else _status(folder, info, now),
        model=model.model or _KINDS.get(config.model_type or ""),
        layers=model.layers or config.n_layer or config.layers,
        width=model.width or config.n_embd or config.width,
        parameters=info.parameters or numbers or None,
        tokenizer=info.choices.tokenizer,
        vocab_size=model.vocab_size or config.vocab_size,
        text=_source(info),
        steps=info.steps_taken or _last_step(folder),
        saved_step=saved.step if saved else None,
        validation_loss_nats=saved.validation_loss_nats if saved else None,
        validation_bits_per_byte=saved.validation_bits_per_byte if saved else None,
        bytes=_bytes(folder),
        problem="; ".join(problems) or None,
    )


def _shapes(path: Path) -> list[list[int]]:
    """The shapes of the tensors, read from the headers of the files."""
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read, or is damaged ({error}).") from error


def _status(folder: Path, info: RunInfo, now: datetime) -> str:
    if not (folder / RUN).exists():
        return "model"
    silent = now.timestamp() - _written(folder) > _SILENT_SECONDS
    return "unfinished" if info.status is None or (info.status == "running" and silent) else info.status


def _written(folder: Path) -> float:
    """When something was last written."""
    times = []
    for path in (folder, folder / LOG, folder / RUN, folder / WEIGHTS):
        with suppress(OSError):
            times.append(path.lstat().st_mtime)
    return min(max(times, default=0.0), _LATEST)


def _source(info: RunInfo) -> str | None:
    """The name of the text, and how many more there were."""
    sources = info.corpus.sources
    more = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
    return f"{sources[0].name}{more}" if sources else None


@dataclass(frozen=True)
class _Line:
    step: Count


def _last_step(folder: Path) -> int | None:
    """The last step, from the last complete line of train.jsonl."""
    path = folder / LOG
    try:
        check_file(path)
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")
        return from_plain(_Line, from_line(lines[-2]), exact=False).step
    except (CheckpointError, OSError, IndexError, Misfit):
        return None


def _bytes(folder: Path) -> int:
    """The size of all files below; one that disappears meanwhile counts 0."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total
