"""Finds the newest run in a folder and reads its training log. Loads no torch."""

from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from minigpt.checkpoint.files import read_json_object
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.run_info import RunInfo, read_run_info
from minigpt.errors import CheckpointError, escaped, named
from minigpt.records import Misfit, from_line, from_plain

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
RUN = "run.json"
LOG = "train.jsonl"
SNAPSHOTS = "snapshots"
RUNS = Path("checkpoints")  # where runs are made


@dataclass(frozen=True)
class RunLog:
    """The log of a training. What run.json does not record is None; equal `text` or `tokenizer` mean equal ones."""

    name: str
    records: tuple[TrainRecord, ...]
    bytes_per_token: float | None  # of the training text
    text: str | None
    tokenizer: str | None


def find_run(name: str | Path) -> Path:
    """The folder that `name` means: that path if it is a folder, else the run of that name in ./checkpoints.

    If there is neither, `name` as a path.
    """
    path, run = Path(name), RUNS / name
    return run if not path.is_dir() and run.is_dir() else path


def near_run(name: str | Path) -> str:
    """The end of a message about a missing folder `name`: a suggestion of the run with the nearest name, or ""."""
    names = [path.name for path in RUNS.iterdir() if path.is_dir()] if RUNS.is_dir() else []
    spelled = {other.lower(): other for other in names if not other.startswith(".")}
    near = get_close_matches(Path(name).name.lower(), spelled, 1)
    return f"\nDid you mean {escaped(str(RUNS / spelled[near[0]]))}?" if near else ""


def run_of(folder: Path) -> Path | None:
    """The run of minigpt that a checkpoint is, or that a snapshot belongs to."""
    run = folder.parent.parent if folder.parent.name == SNAPSHOTS else folder
    return run if (run / RUN).is_file() else None


def newest_run(root: Path = RUNS, *, otherwise: str = f"or name one with {named('checkpoint', 'FOLDER')}") -> Path:
    """The run folder below `root` whose run.json has the latest date.

    Raises CheckpointError if there is none; `otherwise` suggests what to do instead of training one.
    """
    dates = [(_run_date(path), path.parent) for path in root.glob(f"*/{RUN}") if (path.parent / WEIGHTS).exists()]
    if not dates:
        raise CheckpointError(
            f"There is no trained model in ./{root} yet. Train one with: minigpt train YOUR-TEXT.txt\n{otherwise}."
        )
    return max(dates)[1]


def _run_date(path: Path) -> str:
    """The date in a run.json; a damaged one sorts before all others."""
    try:
        date = read_json_object(path).get("date")
    except CheckpointError:
        return ""
    return date if isinstance(date, str) else ""


def read_run(folder: Path) -> RunLog:
    """The training log of `folder`, or of the run of that name. Raises CheckpointError if there is none."""
    folder = find_run(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise CheckpointError(
            f"{escaped(str(folder))} {what}; a run's folder is needed, such as checkpoints/NAME.{near_run(folder)}"
        )
    records = read_log(folder)
    if not records:
        raise CheckpointError(f"{folder} holds no {LOG} with a record of a training in it.{_runs_inside(folder)}")
    corpus = (read_run_info(folder / RUN) if (folder / RUN).exists() else RunInfo()).corpus
    return RunLog(
        name=folder.resolve().name,
        records=tuple(records),
        bytes_per_token=corpus.bytes_per_token,
        text=f"{corpus.sources} {corpus.validation}" if corpus.sources else None,
        tokenizer=_hash(folder / TOKENIZER),
    )


def read_log(folder: Path) -> list[TrainRecord]:
    """The records of train.jsonl; none if it is missing. Values that are not numbers are None.

    An incomplete last line is dropped: it is being written, or the run was killed. Raises CheckpointError for any other
    damaged line.
    """
    path = folder / LOG
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(from_plain(TrainRecord, from_line(line, _no_number), exact=False))
        except Misfit as error:
            if number < len(lines):
                what = str(error).removeprefix(".")
                raise CheckpointError(f"{path} line {number:,} is no record of a training step: {what}.") from error
    return records


def _no_number(constant: str) -> None:
    """None for NaN or Infinity, which older versions wrote."""


def _hash(path: Path) -> str | None:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _runs_inside(folder: Path) -> str:
    """The advice for a folder of runs."""
    names = sorted(path.parent.name for path in folder.glob(f"*/{LOG}"))
    return f"\nThese in it do: {', '.join(names[:10])}." if names else ""
