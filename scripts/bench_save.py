"""Measures the share of a run's time that its saves take. Started by scripts/bench save.

Each part is timed by itself, a step and every kind of save, and the share follows for a run with the default settings:
the state every 15 seconds, or less often where that would cost more; the best model at every evaluation, which is the
most it can be; and the snapshots.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the minigpt command has it

try:
    import numpy as np
    import torch
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from minigpt.checkpoint.run_folder import RunFolder, save_state
    from minigpt.checkpoint.runs import RESUME
    from minigpt.models.device import resolve_precision
    from minigpt.models.gpt import GPT
    from minigpt.settings import PRESETS, ModelConfig, TrainConfig
    from minigpt.text.learning import train_tokenizer
    from minigpt.text.shards import TokenData
    from minigpt.training.loop import Trainer
    from minigpt.training.run import seconds_between_states
    from minigpt.training.schedule import evaluation_steps, snapshot_steps
except ImportError as error:
    sys.exit(f"scripts/bench needs minigpt's packages ({error}). Install them with: pip install -e '.[test]'")

ALLOWED = 0.03  # of the time
WARM_UP = 2
VOCAB_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians in seconds; `saving_share` of the time of a whole run."""

    preset: str
    parameters: int
    steps: int
    step_seconds: float
    state_seconds: float
    model_seconds: float
    snapshot_seconds: float
    states: float
    models: int
    snapshots: int
    saving_share: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench save", description=__doc__)
    parser.add_argument("--preset", nargs="+", choices=list(PRESETS), default=["nano", "micro", "mini"])
    parser.add_argument("--rounds", type=int, default=5, help="how often each part is timed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = [measure(name, arguments.rounds) for name in arguments.preset]
    if arguments.json:
        print(json.dumps({"bench": "save", "threads": arguments.threads, "results": [asdict(r) for r in results]}))
    else:
        print_table(results, arguments.threads)
    return int(any(result.saving_share > ALLOWED for result in results))


def measure(name: str, rounds: int) -> Result:
    preset, defaults = PRESETS[name], TrainConfig()
    model = GPT(
        ModelConfig(
            vocab_size=VOCAB_SIZE,
            context=preset.context,
            layers=preset.layers,
            heads=preset.heads,
            width=preset.width,
        )
    ).initialise(torch.Generator().manual_seed(1))
    config = TrainConfig(
        batch_size=preset.batch_size,
        learning_rate=preset.learning_rate,
        precision=resolve_precision("auto", torch.device("cpu"), preset.width),
    )
    ids = np.random.default_rng(1).integers(VOCAB_SIZE, size=100_000, dtype=np.uint16)
    trainer = Trainer(model, TokenData(train=ids, validation=ids[:0]), config, np.ones(VOCAB_SIZE))
    records = trainer.records()
    first = next(records)
    step = seconds_of(lambda: next(records), rounds, WARM_UP)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as where:  # the disk that a run would go to
        folder = RunFolder(Path(where), train_tokenizer("char", ["a"]), {})
        (folder.path / RESUME).mkdir()
        state = seconds_of(lambda: save_state(folder.path, *trainer.state()), rounds)
        whole = seconds_of(lambda: folder.save(model, first), rounds)
        snapshot = seconds_of(lambda: folder.snapshot(model, first), rounds)
    training = step * defaults.steps
    states = 2 + training / seconds_between_states(state)  # the first and the last too
    models, snapshots = len(evaluation_steps(config)), len(snapshot_steps(config.steps, config.snapshots))
    saving = states * state + models * whole + snapshots * snapshot
    return Result(
        preset=name,
        parameters=model.parameter_count(),
        steps=config.steps,
        step_seconds=step,
        state_seconds=state,
        model_seconds=whole,
        snapshot_seconds=snapshot,
        states=states,
        models=models,
        snapshots=snapshots,
        saving_share=saving / (training + saving),
    )


def seconds_of(work: Callable[[], object], rounds: int, warm_up: int = 0) -> float:
    """The median of so many times, after some that do not count."""
    return median(islice(times(work), warm_up, warm_up + rounds))


def times(work: Callable[[], object]) -> Iterator[float]:
    while True:
        started = time.perf_counter()
        work()
        yield time.perf_counter() - started


def print_table(results: list[Result], threads: int) -> None:
    table = Table(
        title=f"save: medians in ms, threads: {threads}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for column in ("preset", "parameters", "step", "state", "best model", "snapshot", "share", "expected"):
        table.add_column(column, justify="left" if column == "preset" else "right", no_wrap=True)
    for r in results:
        parts = (r.step_seconds, r.state_seconds, r.model_seconds, r.snapshot_seconds)
        cells = [f"{1000 * seconds:,.0f}" for seconds in parts]
        table.add_row(r.preset, f"{r.parameters:,}", *cells, f"{r.saving_share:.2%}", f"<= {ALLOWED:.0%}")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"Share: of the time of {results[0].steps} steps that saves take, with a best model at every evaluation."
    )


if __name__ == "__main__":
    sys.exit(main())
