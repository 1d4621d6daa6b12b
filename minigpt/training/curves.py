"""The loss curves of runs, in a unit in which they are comparable."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from minigpt.checkpoint.files import storable
from minigpt.checkpoint.records import TrainRecord
from minigpt.checkpoint.runs import RunLog, find_run, newest_run, read_run
from minigpt.errors import CheckpointError, named
from minigpt.settings import X_AXES, Y_AXES, CurveSettings, require_choice
from minigpt.training.records import LossCurves

_MEANS_A_RUN = 50  # a training point is the mean of a fiftieth of the run


def loss_curves(
    runs: Sequence[RunLog], *, x: str = "step", y: str | None = None, smooth: int | None = None, log: bool = False
) -> list[LossCurves]:
    """The loss curves of `runs`, over `x` and in the unit `y`, named as in X_AXES and Y_AXES.

    Without `y`, the unit is bits per byte if that is known of every run, otherwise nats per token. Each point of a
    training loss is the mean of `smooth` steps. `log` drops points at or below x = 0. Raises ConfigError, and
    CheckpointError for a run that has no loss in this unit.
    """
    require_choice("x", x, X_AXES)
    require_choice("y", y, Y_AXES)
    unit = y or ("bits-per-byte" if all(map(_has_bits, runs)) else "nats")
    return [_curves(run, x, Y_AXES[unit], smooth, log) for run in runs]


def _has_bits(run: RunLog) -> bool:
    return run.bytes_per_token is not None or any(r.validation_bits_per_byte is not None for r in run.records)


def _curves(run: RunLog, x: str, y: str, smooth: int | None, log: bool) -> LossCurves:
    records = [record for record in run.records if not log or getattr(record, x) > 0]
    steps = smooth or max(1, sum(record.loss_nats is not None for record in records) // _MEANS_A_RUN)
    name = "validation_loss_nats" if y == "nats_per_token" else "validation_bits_per_byte"
    validation = ((getattr(record, x), getattr(record, name)) for record in records)
    curves = LossCurves(
        run=run.name,
        x=x,
        y=y,
        smoothed_steps=steps,
        training=tuple(_training(records, x, _nats_in(y, run), steps)),
        validation=tuple((place, loss) for place, loss in validation if loss is not None),
    )
    if not (curves.training or curves.validation):
        where = f" above {x} 0" if log else ""
        advice = f"\nTry {named('y', 'nats')}." if any(record.loss_nats is not None for record in records) else ""
        raise CheckpointError(f"{run.name} has no loss in {y.replace('_', ' ')}{where} to be plotted.{advice}")
    return curves


def _nats_in(y: str, run: RunLog) -> float | None:
    """One nat per token in the unit `y`, if that is known."""
    if y == "nats_per_token":
        return 1.0
    return 1 / (math.log(2) * run.bytes_per_token) if run.bytes_per_token else None


def _training(records: Iterable[TrainRecord], x: str, unit: float | None, steps: int) -> Iterator[tuple[float, float]]:
    """The training loss as centred means of `steps` steps; a mean over the preceding steps would lag behind.

    Near the start, where the loss falls fast, the window shrinks to what lies on both sides; near the end it is cut
    off.
    """
    trained = [(getattr(record, x), record.loss_nats) for record in records if record.loss_nats is not None]
    if unit is None:
        return
    sums = list(accumulate((loss for _, loss in trained), initial=0.0))
    for i, (place, _) in enumerate(trained):
        first, end = max(0, i - (steps - 1) // 2), min(len(trained), i + 1 + min(i, steps // 2))
        yield place, (sums[end] - sums[first]) / (end - first) * unit


def cautions(runs: Sequence[RunLog], curves: Sequence[LossCurves]) -> Iterator[str]:
    """Sentences about what is missing from `curves`, and about curves that cannot be compared."""
    in_bits = curves[0].y == "bits_per_byte"
    for run in runs:
        if in_bits and run.bytes_per_token is None:
            yield (
                f"{run.name}: its run.json does not say how many bytes a token has, so the training loss is left out; "
                f"{named('y', 'nats')} shows it."
            )
    if not in_bits and _differ(run.tokenizer for run in runs):
        yield "the runs have different tokenizers, and nats per token do not compare them; bits per byte do."
    if _differ(run.text for run in runs):
        yield "the runs have different texts: their losses compare only where one text is as hard as the other."


def _differ(values: Iterable[str | None]) -> bool:
    return len(set(values) - {None}) > 1


@dataclass(frozen=True)
class RunCurves:
    """The curves of several runs, their folders as JSON can hold them, and warnings about what cannot be compared."""

    paths: Sequence[str]
    curves: Sequence[LossCurves]
    cautions: Sequence[str]


def run_curves(names: Sequence[Path] | None, wanted: CurveSettings) -> RunCurves:
    """The curves of the named runs, each once, or of the newest run.

    Raises CheckpointError for a run without a loss to plot.
    """
    found = map(find_run, names) if names else [newest_run("or name the folder of a run")]
    folders = list(dict.fromkeys(found))
    logs = [read_run(folder) for folder in folders]
    curves = loss_curves(logs, x=wanted.x, y=wanted.y, smooth=wanted.smooth, log=wanted.log)
    return RunCurves([storable(folder) for folder in folders], curves, list(cautions(logs, curves)))
