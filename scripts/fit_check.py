"""A plan of `minigpt train --minutes`, against its neighbours or against a grid of small models."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from fit_measure import evaluated, split_of

from minigpt.checkpoint.folder import load
from minigpt.text.corpus import Split
from minigpt.text.learning import SMALLEST_VOCABULARY
from minigpt.text.shards import tokenize
from minigpt.training.search import SHAPES


def check(arguments: argparse.Namespace) -> None:
    """Train the plan, and others: those that differ from it in size or in vocabulary, for the same time, or a grid."""
    with tempfile.TemporaryDirectory() as folder:
        split = split_of(Path(arguments.text), arguments.first, Path(folder))
        said = [arguments.text]
        if arguments.first:
            said = [str(Path(folder, "train")), "--val", str(Path(folder, "validation"))]
        in_time = ["--minutes", str(arguments.minutes)]
        dry = _minigpt("train", *said, *in_time, "--dry-run", "--json")
        plan = json.loads(dry.splitlines()[0])
        ways = [("the plan", in_time)] + (
            _small_ways() if arguments.grid else [(name, [*in_time, *flags]) for name, flags in _neighbours(plan)[1:]]
        )
        results = {}
        for number, (name, flags) in enumerate(ways):
            run = Path(folder, f"run{number}")
            _minigpt("train", *said, *flags, "--out", str(run), "-q")
            results[name] = _validated(run, split)
            print(f"{results[name]:.4f} bits per byte  {name}", flush=True)
    chosen, best = next(iter(results.values())), min(results.values())
    print(f"the plan is {chosen / best - 1:.1%} from the best of the {len(results)}: {_in_words(plan)}")


def _minigpt(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "minigpt", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _validated(run: Path, split: Split) -> float:
    """The bits per byte of a run's model on the whole validation text."""
    checkpoint = load(run, torch.device("cpu"))
    data = tokenize(checkpoint.tokenizer, split)
    return evaluated(checkpoint.torch_model, data, checkpoint.tokenizer.byte_lengths()).bits_per_byte


def _in_words(plan: dict[str, Any]) -> str:
    names = (
        "layers",
        "width",
        "tokenizer",
        "vocab_size",
        "dropout",
        "weight_decay",
        "epochs",
        "expected_bits_per_byte",
    )
    return ", ".join(f"{name} {plan[name]}" for name in names)


def _small_ways() -> list[tuple[str, list[str]]]:
    """A grid for texts of some kilobytes: each for a few lengths, of which the best evaluation counts."""
    ways = []
    for layers, width in ((1, 64), (2, 64), (3, 96), (4, 128)):
        for cut in (_cut("char", 0), _cut("bpe", 512), _cut("bpe", 1024)):
            for steps, decay in ((100, 0.3), (300, 1.0)):
                said = {"layers": layers, "width": width, "steps": steps, "weight-decay": decay, "batch-size": 8}
                said |= {"eval-every": max(1, steps // 10), "snapshots": 0}
                flags = [word for name, value in said.items() for word in (f"--{name}", str(value))]
                name = f"{layers} x {width}, {' '.join(cut)}, {steps} steps, decay {decay}"
                ways.append((name, [*flags, *cut]))
    return ways


def _neighbours(plan: dict[str, Any]) -> list[tuple[str, list[str]]]:
    at = SHAPES.index((plan["layers"], plan["width"]))
    shapes = [SHAPES[i] for i in (at, at - 1, at + 1) if 0 <= i < len(SHAPES)]
    cuts = [_cut(plan["tokenizer"], plan["vocab_size"])]
    if plan["tokenizer"] == "bpe":
        cuts += [_cut("bpe", max(SMALLEST_VOCABULARY, plan["vocab_size"] // 2)), _cut("bpe", plan["vocab_size"] * 2)]
    cuts.append(_cut("char" if plan["tokenizer"] == "bpe" else "bpe", 1024))
    ways = [(shapes[0], cut) for cut in cuts] + [(shape, cuts[0]) for shape in shapes[1:]]
    same = ["--dropout", str(plan["dropout"]), "--weight-decay", str(plan["weight_decay"])]
    return [
        (f"{layers} x {width}, {' '.join(cut)}", ["--layers", str(layers), "--width", str(width), *cut, *same])
        for (layers, width), cut in ways
    ]


def _cut(kind: str, size: int) -> list[str]:
    return ["--tokenizer", kind, *(["--vocab-size", str(size)] if kind == "bpe" else [])]
