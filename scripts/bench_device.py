"""Measures training on a device beside a plain loop with transformers' GPT-2, and its share of the peak.

Started by scripts/bench train --device cuda (or cpu).

Both train the same random weights on batches of the same size, in bfloat16 autocast with fused AdamW and torch.compile,
one after the other; each figure is over all steps after those that compile and warm up, waiting for the device only at
the end, as a training does at the end of a step for its loss. MFU is the share of the device's stated peak that is
spent on the model's own arithmetic: 6 flops per weight and token, and attention's (Chowdhery et al., "PaLM", 2022,
appendix B), nothing for what is computed twice.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench_speed import all_cores, at_least, check_same_logits, random_model, require_transformers, their_model, update

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from minigpt.errors import MinigptError, as_flag, spelled
    from minigpt.models.device import autocast, resolve_device
    from minigpt.models.gpt import GPT
    from minigpt.settings import ModelConfig, TrainConfig
    from minigpt.text.shards import TokenData
    from minigpt.training.loop import train
    from minigpt.training.speed import heads_of, training_flops_per_token
    from minigpt.training.step import random_batch
except ImportError as error:
    sys.exit(f"scripts/bench needs minigpt's packages ({error}). Install them with: pip install -e '.[test]'")

SHAPES = ((6, 384), (12, 768))  # layers, width
WARM_UP = 5  # steps: the first compiles

# bfloat16 on tensor cores, dense, in TFLOPS, as NVIDIA's data sheets state it (half of that "with sparsity"):
# of the GPU whose name begins with these words; the first that fits.
PEAKS = (
    ("NVIDIA B200", 2250.0),
    ("NVIDIA H200", 989.4),
    ("NVIDIA H100 PCIe", 756.0),
    ("NVIDIA H100 NVL", 835.0),
    ("NVIDIA H100", 989.4),
    ("NVIDIA A100", 312.0),
    ("NVIDIA A10G", 70.0),
    ("NVIDIA A10", 125.0),
    ("NVIDIA L40S", 362.0),
    ("NVIDIA L4", 121.0),
    ("NVIDIA GeForce RTX 4090", 165.2),
    ("NVIDIA GeForce RTX 3090", 71.0),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One of the two, at one shape."""

    name: str
    shape: str
    parameters: int
    batch_size: int
    context: int
    milliseconds_per_step: float
    tokens_per_second: float
    utilisation: float | None  # MFU; None where the device's peak is not known
    peak_memory_bytes: int | None  # None on a CPU


def peak_flops(device: str) -> float | None:
    """Of the device of this name, a second."""
    words = f"{device.replace('-', ' ')} "
    found = (1e12 * peak for name, peak in PEAKS if words.startswith(f"{name} ") and "Laptop" not in words)
    return next(found, None)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    require_transformers()
    torch.set_num_threads(arguments.threads)
    try:
        device = resolve_device(arguments.device)
        results = [result for shape in arguments.shape for result in measure(shape, device, arguments)]
    except MinigptError as error:
        sys.exit(spelled(error.message, as_flag))
    if arguments.json:
        print(json.dumps(document(device, arguments, results), indent=2))
    else:
        print_table(device, arguments, results)
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench train --device", description="How fast a device trains, and how near to its stated peak."
    )
    parser.add_argument("--device", required=True, help="cuda, cuda:1, cpu")
    parser.add_argument("--shape", nargs="+", default=SHAPES, type=shape_of, help="default: 6x384 12x768")
    parser.add_argument("--context", type=at_least(32), default=1024, help="tokens of a window (default: 1,024)")
    parser.add_argument("--batch-size", type=at_least(1), default=16, help="windows of a step (default: 16)")
    parser.add_argument("--vocab-size", type=at_least(65), default=50_304, help="default: 50,304, GPT-2's rounded up")
    parser.add_argument("--steps", type=at_least(1), default=30, help=f"timed, after {WARM_UP} others (default: 30)")
    parser.add_argument("--no-compile", action="store_true", help="both without torch.compile")
    parser.add_argument("--threads", type=at_least(1), default=all_cores(), help="of torch (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    return parser.parse_args(argv)


def shape_of(text: str) -> tuple[int, int]:
    layers, _, width = text.partition("x")
    if not (layers.isdecimal() and width.isdecimal() and int(layers) and int(width)):
        raise argparse.ArgumentTypeError(f"is layers x width, such as 6x384, not {text!r}")
    return int(layers), int(width)


def measure(shape: tuple[int, int], device: torch.device, arguments: argparse.Namespace) -> Iterator[Result]:
    layers, width = shape
    config = ModelConfig(
        vocab_size=arguments.vocab_size,
        context=arguments.context,
        layers=layers,
        heads=heads_of(width),
        width=width,
    )
    ours = random_model(config)
    theirs = their_model(ours)
    check_same_logits(ours, theirs)
    ids = np.random.default_rng(1).integers(config.vocab_size, size=1_000_000, dtype=np.uint16)
    ways = {"ours": partial(steps_of_ours, ours), "transformers": partial(steps_of_theirs, theirs)}
    for name, steps in ways.items():
        seconds, memory = timed(steps, ids, device, arguments)
        tokens_per_second = arguments.batch_size * config.context / seconds
        peak = peak_flops(device_name(device))
        yield Result(
            name=name,
            shape=f"{layers} x {width}",
            parameters=config.parameter_count(),
            batch_size=arguments.batch_size,
            context=config.context,
            milliseconds_per_step=1000 * seconds,
            tokens_per_second=tokens_per_second,
            utilisation=None if peak is None else tokens_per_second * training_flops_per_token(config) / peak,
            peak_memory_bytes=memory,
        )


def timed(
    begin: Callable[..., Iterator[object]], ids: np.ndarray, device: torch.device, arguments: argparse.Namespace
) -> tuple[float, int | None]:
    """Seconds a step, and the most memory that the device held."""
    before = 0  # what the one before this has left there
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    steps = begin(ids, device, arguments)
    for _ in range(WARM_UP):
        next(steps)
    synchronise(device)
    started = time.perf_counter()
    for _ in range(arguments.steps):
        next(steps)
    synchronise(device)
    seconds = (time.perf_counter() - started) / arguments.steps
    return seconds, torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else None


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def steps_of_ours(model: GPT, ids: np.ndarray, device: torch.device, arguments: argparse.Namespace) -> Iterator[object]:
    """One step of `minigpt train --optimizer adamw --precision bfloat16 --compile` at each `next`."""
    config = TrainConfig(
        steps=WARM_UP + arguments.steps,
        batch_size=arguments.batch_size,
        optimizer="adamw",
        precision="bfloat16",
        compile=not arguments.no_compile,
    )
    records = train(model.to(device), TokenData(ids, ids[:0]), config, np.ones(model.config.vocab_size))
    next(records)  # record 0, of the untrained model
    return records


def steps_of_theirs(
    model: Any, ids: np.ndarray, device: torch.device, arguments: argparse.Namespace
) -> Iterator[object]:
    """One step of a plain loop at each `next`; like ours, it reports its loss and the norm of its gradient."""
    model = model.to(device).train()
    called = model if arguments.no_compile else torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    generator = torch.Generator().manual_seed(1)
    while True:
        x, y = random_batch(ids, arguments.batch_size, arguments.context, generator)
        x, y = x.to(device), y.to(device)
        with autocast(device, "bfloat16"):
            logits = called(input_ids=x, use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        yield update(model, optimizer, loss)


def document(device: torch.device, arguments: argparse.Namespace, results: list[Result]) -> dict[str, Any]:
    """What --json prints."""
    import transformers

    return {
        "bench": "train",
        "device": device_name(device),
        "peak_flops": peak_flops(device_name(device)),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "vocab_size": arguments.vocab_size,
        "steps": arguments.steps,
        "compile": not arguments.no_compile,
        "results": [asdict(result) for result in results],
    }


def print_table(device: torch.device, arguments: argparse.Namespace, results: list[Result]) -> None:
    """Two rows for each shape, ours above theirs: it fits 80 columns."""
    import transformers

    peak = peak_flops(device_name(device))
    table = Table(title=f"train: {device_name(device)}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("shape, batch")
    table.add_column("")
    for header in ("ms/step", "tokens/s", "MFU", "memory"):
        table.add_column(header, justify="right")
    for row in results:
        ours = row.name == "ours"
        table.add_row(
            f"{row.shape}, {row.batch_size} x {row.context:,}" if ours else f"  {row.parameters:,} parameters",
            row.name,
            f"{row.milliseconds_per_step:,.2f}",
            f"{row.tokens_per_second:,.0f}",
            "" if row.utilisation is None else f"{row.utilisation:.1%}",
            "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e9:.1f} GB",
        )
    console = Console(highlight=False)
    console.print(table)
    stated = "" if peak is None else f" MFU: of {peak / 1e12:,.0f} TFLOPS, bfloat16, dense."
    how = "without torch.compile" if arguments.no_compile else "compiled"
    console.print(
        f"bfloat16, fused AdamW, {how}; {arguments.steps} steps; vocabulary {arguments.vocab_size:,}; "
        f"torch {torch.__version__}, transformers {transformers.__version__}.{stated}"
    )


if __name__ == "__main__":
    sys.exit(main())
