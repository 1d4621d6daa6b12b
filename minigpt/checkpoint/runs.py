"""Finds the runs of minigpt, and reads what they record: run.json and train.jsonl. Loads no torch."""

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from minigpt.checkpoint.files import TOKENIZER, WEIGHTS, read_own_json, reading, sha256_of
from minigpt.checkpoint.records import TrainRecord
from minigpt.errors import CheckpointError, escaped, named
from minigpt.records import Amount, Count, Misfit, Positive, Several, Share, Within, from_line, from_plain, record_of
from minigpt.settings import MOST_MINUTES, TextFormat
from minigpt.text.records import TextSource

RUNS = Path("checkpoints")  # where runs are made
RUN, LOG, CARD = "run.json", "train.jsonl", "README.md"  # the files of a run, and its folders:
SNAPSHOTS, RESUME, TENSORBOARD = "snapshots", "resume", "tensorboard"
TOKENS, LOCK = "tokens", "lock"  # in resume/
_NAMED_RUNS = 10  # of a folder, in a message
FINISHED = ("finished", "untrained")  # the status of a run that took all its steps, or all its time


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


def newest_run(otherwise: str = f"or name one with {named('checkpoint', 'FOLDER')}") -> Path:
    """The run in ./checkpoints whose run.json has the latest date.

    Raises CheckpointError if there is none; `otherwise` suggests what to do instead of training one.
    """
    dates = [(_date(path), path.parent) for path in RUNS.glob(f"*/{RUN}") if (path.parent / WEIGHTS).exists()]
    if not dates:
        raise CheckpointError(
            f"There is no trained model in ./{RUNS} yet. Train one with: minigpt train YOUR-TEXT.txt\n{otherwise}."
        )
    return max(dates)[1]


def _date(path: Path) -> datetime:
    """The date in a run.json; a damaged one sorts before all others."""
    never = datetime.min.replace(tzinfo=UTC)
    try:
        return read_run_info(path).date or never
    except CheckpointError:
        return never


Taken = Annotated[float, Within(1e-60, 60 * MOST_MINUTES, "a number of seconds above 0, and no more than a year,")]


@dataclass(frozen=True, kw_only=True)
class RunShape:
    """The shape of a run's model, in short."""

    model: str | None = None
    layers: Several | None = None
    width: Several | None = None
    vocab_size: Several | None = None


@dataclass(frozen=True, kw_only=True)
class RunChoices:
    """The choices made for a run, as far as they are needed again."""

    tokenizer: str | None = None
    val_fraction: Share = 0.1
    base: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunText:
    """The text of a run, as it was read."""

    sources: tuple[TextSource, ...] = ()
    bytes_per_token: Positive | None = None
    validation: str | None = None
    unigram_loss_nats: Amount | None = None
    labels: tuple[str, ...] | None = None  # of pairs, where their targets are a few that recur


@dataclass(frozen=True, kw_only=True)
class RunReading:
    """The arguments that named the text of a run."""

    corpus: tuple[str, ...]
    encoding: str
    field: str
    encoding_errors: str = TextFormat.encoding_errors
    split_on: str | None = TextFormat.split_on
    val: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunSaved:
    """The model at the root."""

    step: Count
    loss_nats: Amount | None = None
    validation_loss_nats: Amount | None = None
    validation_bits_per_byte: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class RunTraining:
    """How a run is trained, as far as it is needed again."""

    steps_suffice: bool = False


@dataclass(frozen=True, kw_only=True)
class RunLonger:
    """A part for which a run was trained longer."""

    from_step: Count
    steps: Count
    minutes: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The contents of run.json; None for what an older version, or an unfinished run, does not record."""

    name: str | None = None
    date: datetime | None = None
    status: str | None = None
    device: str | None = None
    threads: Several | None = None
    parameters: Count | None = None
    model: RunShape = RunShape()
    choices: RunChoices = RunChoices()
    train: RunTraining = RunTraining()
    corpus: RunText = RunText()
    text: RunReading | None = None
    minutes: Positive | None = None
    expected_bits_per_byte: Amount | None = None
    save_every: Several | None = None
    saved: RunSaved | None = None
    steps_taken: Count | None = None
    seconds_taken: Taken | None = None
    stopped_early: Count | None = None
    trained_longer: tuple[RunLonger, ...] = ()


def read_run_info(path: Path) -> RunInfo:
    """Read a run.json. Raises CheckpointError if it is damaged or cannot be read."""
    return record_of(RunInfo, read_own_json(path), path)


def is_untrained(info: RunInfo) -> bool:
    """Whether the model predicts its text no better than the frequencies of the tokens do, without any context.

    Those are a unigram model, counted in the training text. The loss is that on the validation text, or, where a run
    has none or was stopped before it was evaluated, on the training text. A given model that is still as it was is not
    judged, nor is a run that does not record the loss of the frequencies.
    """
    unigram, saved = info.corpus.unigram_loss_nats, info.saved or RunSaved(step=0)
    loss = saved.loss_nats if saved.validation_loss_nats is None else saved.validation_loss_nats
    if loss is None:  # nothing was saved yet
        return unigram is not None and info.choices.base is None
    return unigram is not None and loss >= unigram


def fitted_steps(info: RunInfo) -> int:
    """The number of steps that a run took, by its end or else by its saved model."""
    return info.steps_taken or (info.saved.step if info.saved else 0)


@dataclass(frozen=True)
class RunLog:
    """The log of a training. What run.json does not record is None; equal `text` or `tokenizer` mean equal ones."""

    name: str
    records: tuple[TrainRecord, ...]
    bytes_per_token: float | None  # of the training text
    text: str | None
    tokenizer: str | None


def check_folder(folder: Path) -> None:
    """Raise CheckpointError if the `folder` of a run is none."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise CheckpointError(
            f"{escaped(str(folder))} {what}; a run's folder is needed, such as checkpoints/NAME.{near_run(folder)}"
        )


def read_run(folder: Path) -> RunLog:
    """The training log of the run in `folder`. Raises CheckpointError if there is none."""
    check_folder(folder)
    records = read_log(folder)
    if not records:
        inside = sorted(path.parent.name for path in folder.glob(f"*/{LOG}"))
        more = f" and {len(inside) - _NAMED_RUNS:,} more" if len(inside) > _NAMED_RUNS else ""
        advice = f"\nRuns in it: {', '.join(inside[:_NAMED_RUNS])}{more}." if inside else ""
        raise CheckpointError(f"{folder} contains no {LOG} with a record of a training.{advice}")
    corpus = (read_run_info(folder / RUN) if (folder / RUN).exists() else RunInfo()).corpus
    tokenizer = folder / TOKENIZER
    return RunLog(
        name=folder.resolve().name,
        records=tuple(records),
        bytes_per_token=corpus.bytes_per_token,
        text=f"{corpus.sources} {corpus.validation}" if corpus.sources else None,
        tokenizer=sha256_of([tokenizer]) if tokenizer.is_file() else None,
    )


def read_log(folder: Path) -> list[TrainRecord]:
    """The records of train.jsonl; none if it is missing. NaN and infinity, which older versions wrote, are None.

    An incomplete last line is dropped: it is being written, or the run was killed. Raises CheckpointError for any other
    damaged line.
    """
    path = folder / LOG
    if not path.exists():
        return []
    with reading(path):
        lines = path.read_bytes().splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(from_plain(TrainRecord, from_line(line, lambda name: None), exact=False))
        except Misfit as error:
            if number < len(lines):
                what = str(error).removeprefix(".")
                raise CheckpointError(f"{path} line {number:,} is not a record of a training step: {what}.") from error
    return records
