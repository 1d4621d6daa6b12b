"""A training run on disk: the best model at the root of its folder, and beside it how it came about.

config.json, model.safetensors, tokenizer.json ...   a standard GPT-2 folder: the best model so far
run.json       configuration, seed, sources with their SHA-256, versions
train.jsonl    one TrainRecord a line
snapshots/     the model at a dozen steps, bfloat16, each a GPT-2 folder of its own
resume/        what it takes to go on exactly where it was
tensorboard/   the same as train.jsonl, where asked for
"""

import json
import math
import os
import shutil
import weakref
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from minigpt.checkpoint.files import TEMPORARY, locked, write_json, write_text
from minigpt.checkpoint.folder import save_description, save_weights
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.resume import RESUME, TOKENS, save_tokens
from minigpt.checkpoint.runs import LOG, RUN, SNAPSHOTS, WEIGHTS, read_log
from minigpt.errors import ConfigError, OutputError, named
from minigpt.models.kinds import Model
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer

_RUNS = Path("checkpoints")
TENSORBOARD, CARD, LOCK = "tensorboard", "README.md", "lock"
_SCRATCH = ".tokens-"
_IN_USE = "{} holds a run that another process is training."
_OWN = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", CARD, RUN, LOG)


class RunFolder:
    """The folder that one run is written to. Its files are always complete, whenever the run is killed."""

    def __init__(self, path: Path, tokenizer: Tokenizer, info: dict[str, Any]) -> None:
        self.path, self.tokenizer, self.info = path, tokenizer, info

    def start(self, model: Model, card: str, data: TokenData) -> None:
        """Write all files, with the untrained model, so that the folder can be loaded from now on; or write nothing."""
        _make(self.path / RESUME)
        self.hold()
        if (self.path / RUN).exists():  # of a process that was quicker
            raise OutputError(f"{self.path} already holds a run. Choose another folder.")
        try:
            save_description(self.path, model.config, self.tokenizer, torch.float32)
            write_text(self.path / CARD, card)
            save_weights(self.path, model, metadata={"step": "0"})
            save_tokens(self.path, data)
            self.update()
        except (OutputError, KeyboardInterrupt, SystemExit):
            _remove_run(self.path)
            with suppress(OSError):  # the user's own files may be there
                (self.path / RESUME / LOCK).unlink()
                (self.path / RESUME).rmdir()
                self.path.rmdir()
            raise

    def hold(self) -> None:
        """Lock the run against other processes for as long as this object lives. Raises OutputError if one has locked
        it.
        """
        lock = locked(self.path / RESUME / LOCK, f"{self.path} is being trained by another process.")
        weakref.finalize(self, os.close, lock)

    def update(self, **changes: Any) -> None:
        """Change entries of run.json."""
        self.info |= changes
        write_json(self.path / RUN, self.info)

    def tell(self, paragraph: str) -> None:
        """Append a paragraph to README.md, unless it is there; the user's own text stays, and a deleted file is not
        recreated.
        """
        path = self.path / CARD
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return
        if f"{paragraph}\n" not in f"{text}\n":
            write_text(path, f"{text.rstrip()}\n\n{paragraph}\n")

    def log(self, record: TrainRecord) -> None:
        """Append one line to train.jsonl, with null for NaN and infinity, which JSON lacks."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(_log_line(record))
        except OSError as error:
            raise OutputError(f"{self.path / LOG} cannot be written: {error.strerror}.") from error

    def sync_log(self) -> None:
        """Sync the log, so that after a power failure no saved state is ahead of it."""
        with suppress(FileNotFoundError), (self.path / LOG).open("rb") as file:
            os.fsync(file.fileno())

    def logged(self) -> list[TrainRecord]:
        """The records of train.jsonl. Raises CheckpointError."""
        return read_log(self.path)

    def forget_after(self, step: int) -> list[TrainRecord]:
        """Drop the records after `step`, whose state was not saved, and return the rest."""
        kept = [record for record in self.logged() if record.step <= step]
        write_text(self.path / LOG, "".join(_log_line(record) for record in kept))
        return kept

    def tidy(self) -> None:
        """Remove files that were half written when the run was killed."""
        try:
            _remove_half_written(self.path)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}.") from error

    def save(self, model: Model, record: TrainRecord) -> None:
        """Save `model` as the one at the root."""
        save_weights(self.path, model, metadata=_metadata(record))
        self.update(saved=_losses(record))

    def snapshot(self, model: Model, record: TrainRecord) -> None:
        """Save `model` as a snapshot of this step, in bfloat16."""
        folder = self.path / SNAPSHOTS / f"step-{record.step:06}"
        _make(folder)
        save_description(folder, model.config, self.tokenizer, torch.bfloat16)
        save_weights(folder, model, torch.bfloat16, _metadata(record))


class OthersFolder(RunFolder):
    """The folder of a run that another process writes; all writing methods do nothing."""

    def start(self, model: Model, card: str, data: TokenData) -> None: ...

    def update(self, **changes: Any) -> None:
        self.info |= changes

    def log(self, record: TrainRecord) -> None: ...

    def tell(self, paragraph: str) -> None: ...

    def sync_log(self) -> None: ...

    def logged(self) -> list[TrainRecord]:
        return []

    def tidy(self) -> None: ...

    def forget_after(self, step: int) -> list[TrainRecord]:
        return []

    def save(self, model: Model, record: TrainRecord) -> None: ...

    def snapshot(self, model: Model, record: TrainRecord) -> None: ...


class Scratch:
    """A temporary place beside the runs, for the ids of a run that has no folder yet; removed at the end.

    `out`: the folder that the run will have, if that is known.
    """

    def __init__(self, out: Path | None = None) -> None:
        self._runs = _RUNS if out is None else out.parent
        self._made: list[Path] = []
        self._locks: list[int] = []

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self._locks:
            os.close(lock)
        for folder in reversed(self._made):
            if folder == self._runs:
                with suppress(OSError):  # a run is in it now
                    folder.rmdir()
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def new(self) -> Path:
        """A path on the same disk as the runs, where a folder can be created."""
        if not self._runs.exists():
            _make(self._runs)
            self._made.append(self._runs)
        self._remove_forgotten()
        try:
            made = Path(mkdtemp(prefix=_SCRATCH, dir=self._runs))  # absolute since Python 3.12
            self._made.append(self._runs / made.name)
        except OSError as error:
            raise OutputError(f"A folder in {self._runs} cannot be made: {error.strerror}.") from error
        self._locks.append(locked(self._made[-1] / LOCK, "a new folder is in use"))
        return self._made[-1] / TOKENS

    def _remove_forgotten(self) -> None:
        """Remove what killed processes left, which may be gigabytes."""
        for lock in self._runs.glob(f"{_SCRATCH}*/{LOCK}"):
            if lock.parent not in self._made:
                with suppress(OutputError):  # that process is at work
                    os.close(locked(lock, "in use", surely=True))
                    shutil.rmtree(lock.parent, ignore_errors=True)

    def older(self) -> list[Path]:
        """The ids of existing runs."""
        return sorted(self._runs.glob(f"*/{RESUME}/{TOKENS}"))


def claim(name: str, out: Path | None, *, overwrite: bool) -> Path:
    """Create the folder of a new run: `out`, or checkpoints/NAME, NAME-2, ... Raises OutputError rather than overwrite.

    With `overwrite`, the files of a run in `out` are removed; the user's own files stay.
    """
    if out is None:
        return _claim_name(_RUNS, name)
    check_out(out, overwrite=overwrite)
    if (out / RUN).exists() or (out / RESUME / LOCK).exists():
        _make(out / RESUME)
        locked(
            out / RESUME / LOCK, _IN_USE.format(named("out", out))
        )  # and never closed: the new run goes on holding it
        _remove_run(out)
    _make(out)
    return out


def check_out(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError if `out` cannot become a run's folder, before any work is done."""
    try:
        os.fsencode(out).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named('out', out)} is not UTF-8; safetensors could not read the model there.") from error
    if out.exists() and not out.is_dir():
        raise OutputError(f"{named('out', out)} is a file; a run needs a folder.")
    if (out / RUN).exists() and not overwrite:
        raise OutputError(
            f"{named('out', out)} already holds a run. Go on with it ({named('resume', out)}), choose another folder, "
            f"or replace that run with {named('overwrite')}."
        )
    if (out / RESUME / LOCK).exists():  # a run, or what one left that was killed at its start
        os.close(locked(out / RESUME / LOCK, _IN_USE.format(named("out", out))))
    elif not (out / RUN).exists() and out.is_dir() and any(out.iterdir()):
        raise OutputError(
            f"{named('out', out)} is not empty and holds no run of minigpt. Choose a new or an empty folder."
        )


def _claim_name(root: Path, name: str) -> Path:
    _make(root)
    for number in count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()  # fails if it exists, so that two runs never take the same
        except FileExistsError:
            if _was_killed_at_its_start(folder):
                return folder
            continue
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}.") from error
        return folder
    raise AssertionError("count() never ends")


def _was_killed_at_its_start(folder: Path) -> bool:
    """Whether a process was killed before it had a run in `folder`; if so, the folder is emptied."""
    if (folder / RUN).exists() or (folder / LOG).exists() or not (folder / RESUME / LOCK).is_file():
        return False  # a run with a log got further, and someone may need its model
    with suppress(OutputError):  # that process is at work
        locked(folder / RESUME / LOCK, "in use", surely=True)  # and never closed, as in `claim`
        if not (folder / RUN).exists():
            _remove_run(folder)
            return True
    return False


def _remove_half_written(folder: Path) -> None:
    for path in (path for pattern in TEMPORARY for path in folder.rglob(pattern)):
        if path.is_file():
            path.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}.") from error


def _remove_run(folder: Path) -> None:
    """Remove everything but the lock. The files that make it a run go last, so the removal can be repeated."""
    resume = folder / RESUME
    inside = [resume] if resume.is_symlink() else [path for path in resume.glob("*") if path.name != LOCK]
    try:
        _remove_half_written(folder)
        for part in [*(folder / SNAPSHOTS).glob("step-*"), *inside, folder / TENSORBOARD]:
            if part.is_symlink() or part.is_file():
                part.unlink()
            elif part.exists():
                shutil.rmtree(part)
        for name in (WEIGHTS, *(name for name in _OWN if name != RUN), RUN):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be emptied: {error.strerror} ({error.filename}).") from error


def _log_line(record: TrainRecord) -> str:
    values = {name: value if _is_number(value) else None for name, value in asdict(record).items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _losses(record: TrainRecord) -> dict[str, float | int | None]:
    return {
        "step": record.step,
        "loss_nats": record.loss_nats,
        "validation_loss_nats": record.validation_loss_nats,
        "validation_bits_per_byte": record.validation_bits_per_byte,
    }


def _metadata(record: TrainRecord) -> dict[str, str]:
    """The entries as strings, for the header of a safetensors file."""
    return {name: str(value) for name, value in _losses(record).items() if value is not None}
