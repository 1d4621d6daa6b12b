"""How long commands take to start and answer, beside `import torch`, and their memory. Started by scripts/bench start.

Whole processes take turns on checkpoints/demo, after a turn that is not counted, which leaves compiled bytecode behind.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# What the table is drawn with is imported when all is measured: on Linux, a process's peak memory counts that of the
# process which started it.

DEMO = Path(__file__).parents[1] / "checkpoints" / "demo"
TEXT = "The value of"
YARDSTICK = "import torch"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What is started, and what is expected of it: times the seconds of `import torch`, and megabytes."""

    name: str
    arguments: tuple[str, ...]  # of Python
    ratio: float | None = None
    megabytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of a contender: medians, and beside them what is expected."""

    name: str
    seconds: float
    ratio: float
    megabytes: float
    expected_ratio: float | None
    expected_megabytes: float | None


def contenders(model: Path) -> list[Contender]:
    """What takes turns; `model` is the folder that the commands are asked about."""
    command = ("-m", "minigpt")
    return [
        Contender(name="pass", arguments=("-c", "pass")),
        Contender(name=YARDSTICK, arguments=("-c", "import torch")),
        Contender(name="--help", arguments=(*command, "--help"), ratio=0.12),
        Contender(
            name="inspect-probs TEXT",
            arguments=(*command, "inspect-probs", TEXT, "-c", str(model)),
            ratio=0.35,
            megabytes=80,
        ),
        Contender(
            name="sample TEXT -n 1", arguments=(*command, "sample", TEXT, "-n", "1", "-c", str(model)), ratio=0.35
        ),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (default: 9)")
    parser.add_argument("--model", type=Path, default=DEMO, help="a model's folder (default: checkpoints/demo)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    asked = parser.parse_args(arguments)
    rows = measure(contenders(asked.model), asked.rounds)
    if asked.json:
        print(json.dumps({"bench": "start", "rounds": asked.rounds, "results": [asdict(row) for row in rows]}))
    else:
        print_table(rows, asked.rounds)
    return 0


def measure(contenders: list[Contender], rounds: int) -> list[Row]:
    """A row for each contender."""
    turns: dict[str, list[tuple[float, float]]] = {each.name: [] for each in contenders}
    for turn in range(rounds + 1):
        for each in contenders:
            taken = run(each.arguments)
            if turn:  # the first compiles
                turns[each.name].append(taken)
    medians = {name: tuple(map(median, zip(*taken, strict=True))) for name, taken in turns.items()}
    yardstick = medians[YARDSTICK][0]
    return [
        Row(
            name=each.name,
            seconds=medians[each.name][0],
            ratio=medians[each.name][0] / yardstick,
            megabytes=medians[each.name][1],
            expected_ratio=each.ratio,
            expected_megabytes=each.megabytes,
        )
        for each in contenders
    ]


def run(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Seconds from start to end of a Python process, and its peak resident memory in megabytes."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    assert process.stderr is not None
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        sys.exit(f"python {' '.join(arguments)} ended with {process.returncode}:\n{complaint}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def print_table(rows: list[Row], rounds: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "whole process", title=f"medians of {rounds} turns", box=SIMPLE_HEAD, caption=f"ratio: to {YARDSTICK}"
    )
    for heading in ("seconds", "ratio", "expected", "MB", "expected"):
        table.add_column(heading, justify="right")
    for row in rows:
        goals = [f"<= {goal:g}" if goal is not None else "" for goal in (row.expected_ratio, row.expected_megabytes)]
        table.add_row(row.name, f"{row.seconds:.3f}", f"{row.ratio:.2f}", goals[0], f"{row.megabytes:.0f}", goals[1])
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
