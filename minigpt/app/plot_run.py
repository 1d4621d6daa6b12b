"""What `minigpt plot` does: it finds runs and turns their losses into curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt.checkpoint.files import storable
from minigpt.checkpoint.runs import find_run, newest_run, read_run
from minigpt.settings import CurveSettings
from minigpt.training.curves import cautions, loss_curves
from minigpt.training.records import LossCurves


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
