"""A folder of runs in; what each of them is, and how its training went, out, the newest first. Loads no torch."""

import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from minigpt.checkpoint.files import check_file, read_json_object
from minigpt.checkpoint.runs import LOG, RUN, TOKENIZER, WEIGHTS
from minigpt.config import MODELS
from minigpt.errors import CheckpointError
from minigpt.records import RunSummary
from minigpt.text.wording import shown

_CONFIG = "config.json"
_KINDS = {"gpt2": "gpt", **{f"minigpt-{model}": model for model in MODELS}}  # by config.json's model_type
_SILENT_SECONDS = 3600.0  # after which a run that says it is running no longer is
_TAIL_BYTES = 1 << 14  # of train.jsonl: its last line is in it
_NEEDED = (_CONFIG, TOKENIZER, WEIGHTS)


def list_runs(root: Path, now: datetime | None = None) -> list[RunSummary]:
    """The folders in `root` that hold a run or a model, newest first; damaged ones too. Raises CheckpointError.

    `now` is what ages are counted from.
    """
    if not root.is_dir():
        raise CheckpointError(f"There is no folder {shown(str(root))}.\nminigpt runs --dir FOLDER looks elsewhere.")
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    runs = [_summary(path, now or datetime.now(UTC)) for path in folders if _is_model(path)]
    return sorted(runs, key=lambda run: (-run.age_seconds, run.name), reverse=True)


def _is_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in (RUN, _CONFIG, WEIGHTS))


def _summary(folder: Path, now: datetime) -> RunSummary:
    info, problems = _read(folder / RUN)
    config, more = _read(folder / _CONFIG)
    problems += more + [f"{name} is missing" for name in _NEEDED if not (folder / name).exists()]
    shapes, damage = _shapes(folder / WEIGHTS)
    problems += damage
    saved, model = _part(info, "saved"), _part(info, "model")
    date = _date(info.get("date")) or datetime.fromtimestamp(_written(folder), UTC)
    return RunSummary(
        name=folder.name,
        path=str(folder),
        date=date.isoformat(),
        age_seconds=(now - date).total_seconds(),
        status="damaged" if problems else _status(folder, info, now),
        model=_text(model.get("model")) or _KINDS.get(str(config.get("model_type"))),
        layers=_whole(model.get("layers", config.get("n_layer"))),
        width=_whole(model.get("width", config.get("n_embd"))),
        parameters=_whole(info.get("parameters")) or sum(map(prod, shapes)) or None,
        tokenizer=_text(_part(info, "choices").get("tokenizer")),
        vocab_size=_whole(model.get("vocab_size", config.get("vocab_size"))),
        text=_source(info),
        steps=_whole(info.get("steps_taken")) or _last_step(folder),
        saved_step=_whole(saved.get("step")),
        validation_loss_nats=_number(saved.get("validation_loss_nats")),
        validation_bits_per_byte=_number(saved.get("validation_bits_per_byte")),
        bytes=_bytes(folder),
        problem="; ".join(problems) or None,
    )


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What stands in a file of JSON, and what is wrong with it; nothing of both where it is missing."""
    if not path.exists():
        return {}, []
    try:
        return read_json_object(path), []
    except CheckpointError as error:
        return {}, [_without_folder(error, path)]


def _without_folder(error: CheckpointError, path: Path) -> str:
    """What it says, of a file whose folder is known."""
    return str(error).removeprefix(f"{path.parent}{os.sep}").rstrip(".")


def _shapes(path: Path) -> tuple[list[list[int]], list[str]]:
    """The shapes of the tensors, whose sizes are those of the file, and what is wrong with it."""
    if not path.exists():
        return [], []
    try:
        check_file(path)
        with safe_open(path, framework="numpy") as file:
            return [file.get_slice(name).get_shape() for name in file.keys()], []  # noqa: SIM118
    except CheckpointError as error:
        return [], [_without_folder(error, path)]
    except (OSError, SafetensorError) as error:
        return [], [f"{WEIGHTS} cannot be read, or is damaged ({error})"]


def _status(folder: Path, info: Mapping[str, Any], now: datetime) -> str:
    if not info:
        return "model"
    status = _text(info.get("status")) or "unfinished"
    return "unfinished" if status == "running" and now.timestamp() - _written(folder) > _SILENT_SECONDS else status


def _written(folder: Path) -> float:
    """When something was last written."""
    return max(path.stat().st_mtime for path in (folder, folder / LOG, folder / RUN, folder / WEIGHTS) if path.exists())


def _date(value: Any) -> datetime | None:
    try:
        date = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _source(info: Mapping[str, Any]) -> str | None:
    """The name of the text, and how many more there were."""
    sources = _part(info, "corpus").get("sources")
    if not isinstance(sources, list) or not sources or not isinstance(sources[0], dict):
        return None
    more = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
    return f"{sources[0].get('name')}{more}"


def _last_step(folder: Path) -> int | None:
    """The last whole line of train.jsonl tells it."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")
        return _whole(json.loads(lines[-2])["step"])
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return None


def _bytes(folder: Path) -> int:
    """Of all files below; one that goes away meanwhile takes nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
