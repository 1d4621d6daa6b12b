"""Claims the folder of a new run, without ever taking one in use, and keeps temporary files beside the runs."""

import os
import shlex
import shutil
from contextlib import ExitStack, suppress
from itertools import chain, count
from pathlib import Path
from tempfile import mkdtemp

from minigpt.checkpoint.files import CONFIG, DESCRIPTION, GENERATION, TEMPORARY, TOKENIZER, WEIGHTS, locked, writing
from minigpt.checkpoint.runs import CARD, LOCK, LOG, RESUME, RUN, RUNS, SNAPSHOTS, TENSORBOARD, TOKENS
from minigpt.errors import ConfigError, OutputError, named

_SCRATCH = ".tokens-"
_IN_USE = "{} holds a run that another process is training."


class Scratch(ExitStack):
    """A temporary place beside the runs, for the ids of a run that has no folder yet; removed when it is left.

    `out`: the folder that the run will have, if that is known.
    """

    def __init__(self, out: Path | None = None) -> None:
        super().__init__()
        self._runs = RUNS if out is None else out.parent
        self._own: list[Path] = []

    def new(self) -> Path:
        """A path on the same disk as the runs, where a folder can be created."""
        if not self._runs.exists():
            make_folder(self._runs)
            self.callback(_remove_if_empty, self._runs)
        self._remove_forgotten()
        with writing(f"A folder in {self._runs}", "made"):
            name = Path(mkdtemp(prefix=_SCRATCH, dir=self._runs)).name  # the path is absolute since Python 3.12
        folder = self._runs / name
        self._own.append(folder)
        self.callback(shutil.rmtree, folder, ignore_errors=True)
        self.callback(os.close, locked(folder / LOCK, "a new folder is in use"))
        return folder / TOKENS

    def _remove_forgotten(self) -> None:
        """Remove what killed processes left, which may be gigabytes."""
        for lock in self._runs.glob(f"{_SCRATCH}*/{LOCK}"):
            if lock.parent not in self._own:
                with suppress(OutputError):  # that process is at work
                    os.close(locked(lock, "in use", surely=True))
                    shutil.rmtree(lock.parent, ignore_errors=True)

    def older(self) -> list[Path]:
        """The ids of existing runs."""
        return sorted(self._runs.glob(f"*/{RESUME}/{TOKENS}"))


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # a run is in it now
        folder.rmdir()


def claim(name: str, out: Path | None, *, overwrite: bool) -> Path:
    """Create the folder of a new run: `out`, or checkpoints/NAME, NAME-2, ... Raises OutputError rather than overwrite.

    With `overwrite`, the files of a run in `out` are removed; the user's own files stay.
    """
    if out is None:
        return _claim_name(name)
    check_out(out, overwrite=overwrite)
    lock = out / RESUME / LOCK
    if (out / RUN).exists() or lock.exists():
        make_folder(lock.parent)
        locked(lock, _IN_USE.format(named("out", out)))  # and never closed: the new run goes on holding it
        remove_run(out)
    make_folder(out)
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
            f"{named('out', out)} already holds a run. Choose another folder, replace that run with "
            f"{named('overwrite')}, or continue it: minigpt train --resume {shlex.quote(str(out))}"
        )
    if (out / RESUME / LOCK).exists():  # a run, or what one left that was killed at its start
        os.close(locked(out / RESUME / LOCK, _IN_USE.format(named("out", out))))
    elif not (out / RUN).exists() and out.is_dir() and any(out.iterdir()):
        raise OutputError(
            f"{named('out', out)} is not empty and holds no run of minigpt. Choose a new or an empty folder."
        )


def _claim_name(name: str) -> Path:
    make_folder(RUNS)
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    while True:
        folder = RUNS / next(names)
        try:
            folder.mkdir()  # fails if it exists, so that two runs never take the same
        except FileExistsError:
            if not _was_killed_at_its_start(folder):
                continue
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}.") from error
        return folder


def _was_killed_at_its_start(folder: Path) -> bool:
    """Whether a process was killed before it had a run in `folder`; if so, the folder is emptied."""
    lock = folder / RESUME / LOCK
    if (folder / RUN).exists() or (folder / LOG).exists() or not lock.is_file():
        return False  # a run with a log got further, and someone may need its model
    with suppress(OutputError):  # that process is at work
        locked(lock, "in use", surely=True)  # and never closed, as in `claim`
        if not (folder / RUN).exists():
            remove_run(folder)
            return True
    return False


def remove_half_written(folder: Path) -> None:
    """Remove the temporary files that a killed process left. Raises OSError."""
    for path in (path for pattern in TEMPORARY for path in folder.rglob(pattern)):
        if path.is_file():
            path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder and those around it. Raises OutputError."""
    with writing(folder, "made"):
        folder.mkdir(parents=True, exist_ok=True)


def remove_run(folder: Path) -> None:
    """Remove everything but the lock. The files that make it a run go last, so the removal can be repeated."""
    resume = folder / RESUME
    inside = [resume] if resume.is_symlink() else [path for path in resume.glob("*") if path.name != LOCK]
    try:
        remove_half_written(folder)
        for part in [*(folder / SNAPSHOTS).glob("step-*"), *inside, folder / TENSORBOARD]:
            if part.is_symlink() or part.is_file():
                part.unlink()
            elif part.exists():
                shutil.rmtree(part)
        for name in (WEIGHTS, CONFIG, TOKENIZER, DESCRIPTION, GENERATION, CARD, LOG, RUN):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be emptied: {error.strerror} ({error.filename}).") from error
