"""Measures what levers change, for scripts/fit levers: trainings of each text, and a table of the means.

Every training is one process of one thread, so that its seconds can be compared with those of others beside it. A line
of the file is one training; what is there is not measured again.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from lever_batches import Setting, read_text
from lever_training import trained
from levers import BASE, LEVERS, Changes, changes_of

from minigpt.training.evaluate import evaluate

Line = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A training to be measured."""

    path: str
    sha256: str
    lever: str
    setting: Setting

    @property
    def key(self) -> str:
        return _key({"sha256": self.sha256, "lever": self.lever, **asdict(self.setting)})


def _key(line: Line) -> str:
    return json.dumps([line[name] for name in ("sha256", "lever", *sorted(Setting.__dataclass_fields__))])


def measure(run: Run) -> Line:
    """The bits per byte of the held-out text after a training, and the processor's seconds that it took."""
    torch.set_num_threads(1)
    text = read_text(run.path, run.setting.vocab_size, run.setting.val_fraction)
    trained(text, run.setting.of_tokens(0), Changes())  # a step, as the first of a process takes longer
    result = trained(text, run.setting, changes_of(run.lever))
    evaluation = evaluate(result.model, text.validation, text.byte_lengths)
    assert evaluation is not None
    return {
        "text": Path(run.path).stem,
        "sha256": run.sha256,
        "train_tokens": len(text.train),
        "lever": run.lever,
        **asdict(run.setting),
        "steps": result.steps,
        "seconds": round(result.seconds, 3),
        "bits_per_byte": round(evaluation.bits_per_byte, 5),
    }


class Measurements:
    """The lines of a file, by what they measured."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = map(json.loads, path.read_text().splitlines()) if path.exists() else []
        self._lines: dict[str, Line] = {_key(line): line for line in lines}

    def complete(self, runs: Sequence[Run], pool: Executor) -> list[Line]:
        """The lines of `runs`, in this order; what is missing is measured. It may be stopped at any time."""
        missing = {run.key: run for run in runs if run.key not in self._lines}
        with self._path.open("a") as out:
            for future in as_completed([pool.submit(measure, run) for run in missing.values()]):
                line = future.result()
                self._lines[_key(line)] = line
                out.write(json.dumps(line) + "\n")
                out.flush()
                what = f"{line['text']}, {line['lever']}, seed {line['seed']}"
                print(f"{line['bits_per_byte']:.4f} bits per byte  {what}", file=sys.stderr)
        return [self._lines[run.key] for run in runs]


def measure_levers(arguments: argparse.Namespace) -> None:
    runs = [
        Run(path, hashlib.sha256(Path(path).read_bytes()).hexdigest(), lever, replace(setting, seed=seed))
        for path, setting in ((path, _setting(path, arguments)) for path in arguments.texts)
        for lever in dict.fromkeys([BASE, *(arguments.lever or LEVERS)])
        for seed in range(1, arguments.seeds + 1)
    ]
    measurements = Measurements(arguments.out)
    with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
        if arguments.equal_time:
            timed = [run for run in runs if run.lever == BASE or run.setting.seed == 1]
            runs = of_equal_time(runs, measurements.complete(timed, pool))
        lines = measurements.complete(runs, pool)
    print("\n".join(table(lines)))


def _setting(path: str, arguments: argparse.Namespace) -> Setting:
    """What the command line says, for a number of epochs of this text unless it names tokens."""
    names = ("layers", "width", "vocab_size", "context", "batch_size", "dropout", "weight_decay", "val_fraction")
    setting = Setting(**{name: getattr(arguments, name) for name in names}, tokens=0)
    if arguments.tokens is not None:
        return setting.of_tokens(arguments.tokens)
    text = read_text(path, setting.vocab_size, setting.val_fraction)
    return setting.of_tokens(arguments.epochs * len(text.train))


def of_equal_time(runs: Iterable[Run], timed: Sequence[Line]) -> list[Run]:
    """`runs`, each lever's with as many tokens as the base takes the same time for, according to `timed`."""
    times = {lever: relative_time(timed, lever) for lever in {line["lever"] for line in timed}}
    return [replace(run, setting=run.setting.of_tokens(run.setting.tokens / times[run.lever])) for run in runs]


def relative_time(lines: Sequence[Line], lever: str) -> float:
    """The seconds of a lever for a token, divided by the base's: the median over texts and seeds."""
    seconds = {(line["lever"], line["sha256"], line["seed"]): line["seconds"] / line["tokens"] for line in lines}
    ratios = [of_one / seconds[BASE, *run] for (name, *run), of_one in seconds.items() if name == lever]
    return float(median(ratios))


@dataclass(frozen=True)
class Effect:
    """What a lever changes: the loss relative to the base's, as a mean over texts, and the time for a token."""

    lever: str
    change: float
    relative_time: float
    runs: int


def effects(lines: Sequence[Line]) -> list[Effect]:
    """One of each lever, the best first."""
    base = _losses(lines, BASE)
    found = []
    for lever in dict.fromkeys(line["lever"] for line in lines if line["lever"] != BASE):
        losses = _losses(lines, lever)
        change = fmean(fmean(of_text) / fmean(base[sha256]) - 1 for sha256, of_text in losses.items())
        found.append(Effect(lever, change, relative_time(lines, lever), sum(map(len, losses.values()))))
    return sorted(found, key=lambda effect: effect.change)


def spread(lines: Iterable[Line]) -> float | None:
    """The base's relative standard deviation over seeds, pooled over texts; None if there is one seed of each."""
    deviations, freedom = 0.0, 0
    for of_text in _losses(lines, BASE).values():
        mean = fmean(of_text)
        deviations += sum((loss / mean - 1) ** 2 for loss in of_text)
        freedom += len(of_text) - 1
    return math.sqrt(deviations / freedom) if freedom else None


def _losses(lines: Iterable[Line], lever: str) -> dict[str, list[float]]:
    """Bits per byte by text."""
    losses: dict[str, list[float]] = {}
    for line in lines:
        if line["lever"] == lever:
            losses.setdefault(line["sha256"], []).append(line["bits_per_byte"])
    return losses


def table(lines: Sequence[Line]) -> list[str]:
    """The base of each text, then the levers, the best first."""
    names = {line["sha256"]: line["text"] for line in lines}
    rows = [
        f"{names[sha256]}: {fmean(losses):.4f} bits per byte by the base, seeds: {len(losses)}"
        for sha256, losses in _losses(lines, BASE).items()
    ]
    unit = spread(lines)
    if unit is not None:
        rows.append(f"one spread is {unit:.2%}: the standard deviation of the base over seeds")
    found = effects(lines)
    wide = max([5, *(len(effect.lever) for effect in found)])
    rows += ["", f"{'lever':{wide}}   change  spreads  time for a token  runs"]
    for effect in found:
        spreads = f"{effect.change / unit:+9.1f}" if unit else f"{'–':>9}"
        rows.append(f"{effect.lever:{wide}} {effect.change:+8.2%}{spreads}{effect.relative_time:18.2f}{effect.runs:6}")
    return rows


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand `levers`."""
    levers = commands.add_parser(
        "levers",
        help="what other ways of training would change",
        description=__doc__,
        epilog="\n  ".join(["levers:", *(f"{name:20}{lever.what}" for name, lever in LEVERS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    levers.add_argument("texts", nargs="+", metavar="TEXT")
    levers.add_argument(
        "--lever",
        action="append",
        type=_known,
        help="a name below, NAME=STRENGTH, or several joined by +; may be repeated; by default every lever",
    )
    levers.add_argument("--seeds", type=int, default=3)
    levers.add_argument("--tokens", type=int, help="to train on, in place of epochs")
    levers.add_argument("--epochs", type=float, default=12.0, help="of each text")
    levers.add_argument("--equal-time", action="store_true", help="as many tokens as the base takes the same time for")
    levers.add_argument("--out", type=Path, default=Path("levers.jsonl"))
    levers.add_argument("--processes", type=int, default=2, help="at once, of one thread each")
    for name in ("layers", "width", "vocab_size", "context", "batch_size", "dropout", "weight_decay", "val_fraction"):
        default = Setting.__dataclass_fields__[name].default
        levers.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    levers.set_defaults(run=measure_levers)


def _known(lever: str) -> str:
    try:
        changes_of(lever)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return lever
