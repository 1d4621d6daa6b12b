"""A training step on the CPU beside its bare matrix products and a plain transformers step. See scripts/bench step.

Each contender has a process of its own, which sleeps while the others take their turns. The products are those of a
step by torch, in the same precision: forward, both backward products, attention and the output head, but not Muon's.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
SHAPES = ("2x64", "4x128", "4x192", "5x256", "6x384")  # layers x width
CONTEXT, VOCABULARY, DROPOUT = 128, 1024, 0.1
WARM_UP = 3  # turns that do not count
GOALS = "To reach: b/a 2 or less, 3 at 2x64; busy/b 2.2."


@dataclass(frozen=True, kw_only=True)
class Row:
    """One shape, with the median times of a step; `earlier_ms`: of another checkout; `busy_ms`: beside a busy core."""

    shape: str
    batch_size: int
    precision: str
    gflop: float
    products_ms: float
    ours_ms: float
    transformers_ms: float
    earlier_ms: float | None = None
    busy_ms: float | None = None

    @property
    def tokens_per_second(self) -> float:
        return 1000 * self.batch_size * CONTEXT / self.ours_ms

    @property
    def gflops_per_second(self) -> float:
        return 1000 * self.gflop / self.ours_ms


class Contender:
    """A process that takes a step, and reports its milliseconds, whenever it is told to."""

    def __init__(self, kind: str, shape: str, batch: int, threads: int, root: Path = ROOT) -> None:
        command = [sys.executable, str(Path(__file__)), "--worker", kind, shape, str(batch), str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.times: list[float] = []

    def take_turn(self, steps: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit("A contender ended before its turn: what it says is above.")
        self.times.append(float(answer))

    def end(self) -> float:
        """The median of its turns."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        return median(self.times[WARM_UP:])


def work(kind: str, shape: str, batch: int, threads: int) -> None:
    """The loop of a contender. Earlier versions of minigpt have all that it imports."""
    import time

    import torch

    torch.set_num_threads(threads)
    step = {"products": products, "ours": ours, "transformers": transformers}[kind](shape, batch)
    for line in sys.stdin:
        steps, started = int(line), time.perf_counter()
        for _ in range(steps):
            step()
        print(1000 * (time.perf_counter() - started) / steps, flush=True)


def model_config(shape: str, dropout: float = DROPOUT) -> Any:
    from minigpt.settings import ModelConfig
    from minigpt.training.speed import heads_of

    layers, width = map(int, shape.split("x"))
    heads = heads_of(width)
    return ModelConfig(vocab_size=VOCABULARY, context=CONTEXT, layers=layers, heads=heads, width=width, dropout=dropout)


def precision_of(shape: str) -> str:
    import torch

    from minigpt.models.device import resolve_precision

    return resolve_precision("auto", torch.device("cpu"), int(shape.split("x")[1]))


def ours(shape: str, batch: int) -> Callable[[], object]:
    import numpy as np
    import torch

    from minigpt.models.kinds import new_model
    from minigpt.settings import TrainConfig
    from minigpt.text.shards import TokenData
    from minigpt.training.loop import train

    config = model_config(shape)
    model = new_model(config).initialise(torch.Generator().manual_seed(1))
    ids = np.random.default_rng(1).integers(VOCABULARY, size=100_000, dtype=np.uint32)
    settings = TrainConfig(steps=1_000_000, batch_size=batch, precision=precision_of(shape))
    records = train(model, TokenData(ids, ids[:0]), settings, np.ones(VOCABULARY))
    next(records)  # record 0, of the untrained model
    return lambda: next(records)


def transformers(shape: str, batch: int) -> Callable[[], object]:
    import torch
    import torch.nn.functional as F
    from transformers import GPT2Config, GPT2LMHeadModel

    config, half = model_config(shape), precision_of(shape) == "bfloat16"
    shares = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), DROPOUT)
    shares["attn_pdrop"] = 0.0  # as in ours
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=CONTEXT,
            n_layer=config.layers,
            n_head=config.heads,
            n_embd=config.width,
            bos_token_id=None,
            eos_token_id=None,
            **shares,
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters())
    generator = torch.Generator().manual_seed(1)

    def step() -> None:
        ids = torch.randint(VOCABULARY, (batch, CONTEXT + 1), generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def product_shapes(shape: str, batch: int) -> Iterator[tuple[int, int, int, int]]:
    """(count, rows, inner, columns) of a step's products; attention's are batched, one for each head and window."""
    config = model_config(shape)
    N, C, head, pairs = batch * CONTEXT, config.width, config.width // config.heads, batch * config.heads
    layers = [(C, 3 * C), (C, C), (C, config.mlp_width), (config.mlp_width, C)] * config.layers + [(C, VOCABULARY)]
    for n_in, n_out in layers:
        yield from ((1, N, n_in, n_out), (1, N, n_out, n_in), (1, n_in, N, n_out))  # y, dx, dw
    for _ in range(config.layers):
        of_scores, of_values = (pairs, CONTEXT, head, CONTEXT), (pairs, CONTEXT, CONTEXT, head)
        yield from (of_scores, of_values, of_scores, *[of_values] * 3)  # QK', PV; dP, and dV, dQ, dK


def gflop(shape: str, batch: int) -> float:
    return sum(2e-9 * count * m * k * n for count, m, k, n in product_shapes(shape, batch))


def products(shape: str, batch: int) -> Callable[[], object]:
    import torch

    dtype = torch.bfloat16 if precision_of(shape) == "bfloat16" else torch.float32
    made = {}
    for size in dict.fromkeys(product_shapes(shape, batch)):
        count, m, k, n = size
        made[size] = [torch.randn(count, *each).to(dtype) for each in ((m, k), (k, n), (m, n))]
    all_of_them = [made[size] for size in product_shapes(shape, batch)]

    def step() -> None:
        for a, b, out in all_of_them:
            if len(a) == 1:
                torch.mm(a[0], b[0], out=out[0])
            else:
                torch.bmm(a, b, out=out)

    return step


def planned_batch(shape: str, minutes: float, threads: int) -> int:
    """The windows of a step, as `minigpt train --minutes` would choose them for this shape."""
    import torch

    from minigpt.settings import Choices, TrainConfig
    from minigpt.training.search import Search, TextSize
    from minigpt.training.speed import measure_speed

    torch.set_num_threads(threads)
    config = model_config(shape)
    speed = measure_speed(torch.device("cpu"), TrainConfig(), 60.0, shapes=[(config.layers, config.width)])
    choices = Choices(layers=config.layers, width=config.width, context=CONTEXT, vocab_size=VOCABULARY)
    text = TextSize(10_000_000, 10_000_000, {VOCABULARY: 3.0})
    return Search(choices, text, speed, 60 * minutes).runs()[0].batch_size


def measured(shape: str, arguments: argparse.Namespace) -> Row:
    batch = arguments.batch_size or planned_batch(shape, arguments.minutes, arguments.threads)
    roots = {"products": ROOT, "ours": ROOT, "transformers": ROOT}
    contenders = {kind: Contender(kind, shape, batch, arguments.threads) for kind in roots}
    if arguments.beside is not None:
        contenders["earlier"] = Contender("ours", shape, batch, arguments.threads, arguments.beside)
    steps = max(3, round(100 / gflop(shape, batch)))
    for _ in range(WARM_UP + arguments.rounds):
        for contender in contenders.values():
            contender.take_turn(steps)
    milliseconds = {f"{kind}_ms": contender.end() for kind, contender in contenders.items()}
    if arguments.busy:
        contender = Contender("ours", shape, batch, arguments.threads)
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
            try:
                for _ in range(WARM_UP + arguments.rounds):
                    contender.take_turn(steps)
            finally:
                other.kill()
        milliseconds["busy_ms"] = contender.end()
    return Row(shape=shape, batch_size=batch, precision=precision_of(shape), gflop=gflop(shape, batch), **milliseconds)


def print_table(rows: list[Row], arguments: argparse.Namespace) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"a training step, threads: {arguments.threads}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    headers = ["step", "precision", "tokens/s", "GFLOP/s", "ms", "b/a", "c/b"]
    headers += ["old/b"] * (arguments.beside is not None) + ["busy/b"] * arguments.busy
    for header in headers:
        table.add_column(header, justify="left" if header in ("step", "precision") else "right", no_wrap=True)
    for row in rows:
        ratios = (other / row.ours_ms for other in (row.transformers_ms, row.earlier_ms, row.busy_ms) if other)
        table.add_row(
            f"{row.shape}, {row.batch_size}",
            row.precision,
            f"{row.tokens_per_second:,.0f}",
            f"{row.gflops_per_second:,.0f}",
            f"{row.ours_ms:,.1f}",
            f"{row.ours_ms / row.products_ms:.2f}",
            *(f"{ratio:.2f}" for ratio in ratios),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"a: the bare products by torch; b: our whole step; c: a plain step of transformers with AdamW. Medians of "
        f"{arguments.rounds} turns each; windows of {CONTEXT} tokens, vocabulary {VOCABULARY:,}. {GOALS}"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench step", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=SHAPES, help="layers x width (default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (default: 9)")
    parser.add_argument("--batch-size", type=int, help="windows of 128 tokens (default: as --minutes chooses)")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the training that is planned (default: 3)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--beside", type=Path, help="another checkout of minigpt, whose step takes turns too")
    parser.add_argument("--busy", action="store_true", help="measure ours beside a program that keeps a core busy too")
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    return parser.parse_args()


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        kind, shape, batch, threads = sys.argv[2:]
        work(kind, shape, int(batch), int(threads))
        return 0
    arguments, rows = parse_arguments(), []
    for shape in arguments.shape:
        rows.append(measured(shape, arguments))
        print(f"{shape}: {rows[-1].ours_ms:.1f} ms", file=sys.stderr, flush=True)
    if arguments.json:
        document = [asdict(r) | {"tokens_per_second": r.tokens_per_second} for r in rows]
        print(json.dumps({"bench": "step", "threads": arguments.threads, "rows": document}, indent=2))
    else:
        print_table(rows, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
