"""Measures what minigpt does on a GPU, as one JSON file and one table. Started by scripts/bench gpu.

It is started once and left alone for eight minutes. Each part is a process of its own, which may fail, crash or hang
without ending the others: its error is then its row of the table. What no longer fits into the time is shortened or
skipped, and its row says so. The parts come in order of worth, those that compile among the last.
"""

import argparse
import json
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import format_exception
from typing import Any

import torch
from bench_device import device_name, peak_flops
from bench_gpu_parts import PARTS, RECIPE, Part
from bench_gpu_work import QUICK, Ended, Sizes, Work
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from minigpt.errors import MinigptError, as_flag, spelled
from minigpt.models.device import resolve_device

SECONDS = 8 * 60 - 15  # of all parts: the rest is for starting and ending


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a part. `status`: done, failed or skipped."""

    name: str
    status: str
    seconds: float
    told: str
    error: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


def run_parts(
    parts: Iterable[Part], work: Work, seconds: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Row]:
    """One after the other within `seconds`, whatever becomes of each."""
    deadline = clock() + seconds
    for part in parts:
        started = clock()
        left = max(0.0, deadline - started)
        if left < part.least:
            told = f"skipped: {left:.0f} s are left, and it needs {part.least:.0f}"
            yield Row(name=part.name, status="skipped", seconds=0.0, told=told)
            continue
        try:
            told, values = part.run(work, min(part.most, left))
        except Exception as error:
            told, said = f"{type(error).__name__}: {error}", "".join(format_exception(error))
            if isinstance(error, Ended):
                told, said = str(error), error.said
            taken = clock() - started
            yield Row(name=part.name, status="failed", seconds=taken, told=f"failed: {told}", error=f"{told}\n{said}")
        else:
            yield Row(name=part.name, status="done", seconds=clock() - started, told=told, values=values)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    started = time.monotonic()
    try:
        device = resolve_device(arguments.device)
    except MinigptError as error:
        sys.exit(spelled(error.message, as_flag))
    rows: list[Row] = []
    with TemporaryDirectory(dir=arguments.folder) as folder:
        work = Work(
            device=arguments.device,
            folder=Path(folder),
            sizes=QUICK if arguments.quick else Sizes(),
            text=arguments.text,
            recipe=arguments.recipe,
        )
        write(device, arguments, rows, 0.0)  # before all the work, as it may not be possible
        for row in all_rows(work, arguments):
            print(f"{row.name}: {row.told}", file=sys.stderr, flush=True)
            rows.append(row)
            write(device, arguments, rows, time.monotonic() - started)
    print_table(device, arguments, rows, time.monotonic() - started)
    return int(any(row.status == "failed" for row in rows))


def all_rows(work: Work, arguments: argparse.Namespace) -> Iterator[Row]:
    yield from run_parts((part for part in PARTS if part.name in arguments.part), work, SECONDS)
    if work.recipe is not None:
        yield from run_parts([RECIPE], work, 60 * arguments.recipe_minutes)
    else:
        yield Row(name="recipe", status="skipped", seconds=0.0, told="skipped: give its text with --recipe TEXT")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=(__doc__ or "").partition("\n\n")[2])
    names = [part.name for part in PARTS]
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (default: cuda)")
    parser.add_argument("--out", type=Path, default=Path("bench_gpu.json"), help="default: bench_gpu.json")
    parser.add_argument(
        "--part", nargs="*", default=names, choices=names, metavar="PART", help=f"only of: {', '.join(names)}"
    )
    parser.add_argument("--text", type=Path, help="for train-10MB (default: the Python files of Python's library)")
    parser.add_argument("--recipe", type=Path, metavar="TEXT", help="tiny Shakespeare: afterwards, nanoGPT's recipe")
    parser.add_argument("--recipe-minutes", type=float, default=10.0, help="at most, beyond the eight (default: 10)")
    parser.add_argument("--folder", type=Path, help="where runs go meanwhile, 4 GB (default: the system's)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether the script runs, even on a CPU")
    return parser.parse_args(argv)


def write(device: torch.device, arguments: argparse.Namespace, rows: list[Row], seconds: float) -> None:
    """The file, anew after each part."""
    document = {
        "bench": "gpu",
        "device": device_name(device),
        "peak_flops": peak_flops(device_name(device)),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "quick": arguments.quick,
        "seconds": seconds,
        "parts": [asdict(row) for row in rows],
    }
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def print_table(device: torch.device, arguments: argparse.Namespace, rows: list[Row], seconds: float) -> None:
    table = Table(title=f"gpu: {device_name(device)}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("part", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        table.add_row(row.name, f"{row.seconds:.0f}", row.told)
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"{seconds:.0f} s; torch {torch.__version__}. The same, with errors in full: {arguments.out}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and the part at work ends too
    sys.exit(main())
