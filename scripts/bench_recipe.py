"""Compares minigpt with the plain recipe for a small character model, on one text.

Started by scripts/bench train --recipe.

The plain recipe is one of nanoGPT's documented ones: AdamW at 1e-3 (betas 0.9, 0.99, weight decay 0.1), 100 steps of
warm-up and a cosine down to 1e-4, an evaluation every 250 steps. For a laptop: 4 layers x 128, context 64, 2,000 steps
of 12 x 64. With --device cuda the one for a GPU: 6 layers x 384, context 256, dropout, 5,000 steps of 64 x 256 in
bfloat16. Here it runs in a plain loop of its own around the same GPT, with torch.optim.AdamW as it comes, and without
torch.compile, as ours.

Losses are nats per character over the whole validation text: the last tenth, in windows that follow each other. The
plain recipe's best is the lowest of its own evaluations, of random windows.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from bench_device import synchronise

from minigpt.checkpoint.folder import load
from minigpt.models.device import autocast, resolve_device
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.corpus import Split, read_corpus
from minigpt.text.learning import train_tokenizer
from minigpt.text.shards import Ids, TokenData, tokenize
from minigpt.training.evaluate import evaluate
from minigpt.training.loop import train
from minigpt.training.step import random_batch

RATE, LAST_RATE, WARMUP, EVERY = 1e-3, 1e-4, 100, 250


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The plain one, and how ours trains the same model, to `goal_nats` in a `share` of the time."""

    shape: ModelConfig  # but for the vocabulary
    steps: int
    batch_size: int
    batches: int  # of an evaluation
    goal_nats: float  # documented for the plain recipe
    share: float
    fused: bool = False
    ours: TrainConfig  # its steps, or, with `seconds`, that share of the time


LAPTOP = Recipe(
    shape=ModelConfig(vocab_size=1, context=64, layers=4, heads=4, width=128),
    steps=2000,
    batch_size=12,
    batches=20,
    goal_nats=1.886,
    share=0.25,
    ours=TrainConfig(
        steps=240, batch_size=24, muon_learning_rate=0.04, warmup_steps=20, snapshots=0, precision="bfloat16"
    ),
)
GPU = Recipe(
    shape=ModelConfig(vocab_size=1, context=256, layers=6, heads=6, width=384, dropout=0.2),
    steps=5000,
    batch_size=64,
    batches=200,
    goal_nats=1.4697,
    share=0.2,
    fused=True,
    ours=TrainConfig(  # the text is seen more than ten times, so with the weight decay of --minutes
        steps=1000, seconds=1.0, batch_size=64, weight_decay=0.3, warmup_steps=30, snapshots=0, precision="bfloat16"
    ),
)


@dataclass(frozen=True)
class Bench:
    """A text, the recipe, and the device."""

    data: TokenData
    lengths: np.ndarray
    recipe: Recipe
    device: torch.device

    def model(self) -> GPT:
        config = replace(self.recipe.shape, vocab_size=len(self.lengths))
        return GPT(config).initialise(torch.Generator().manual_seed(1)).to(self.device)

    def plain(self) -> dict[str, float]:
        """Seconds of training steps, and in all with the evaluations on the way; the losses at the end and at best."""
        model, recipe = self.model().train(), self.recipe
        groups = [
            {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99), fused=recipe.fused or None)
        generator = torch.Generator().manual_seed(1)
        started, evaluating, best = time.perf_counter(), 0.0, math.inf
        for step in range(recipe.steps):
            if step % EVERY == 0:
                synchronise(self.device)
                begun = time.perf_counter()
                best = min(best, self.estimate(model, generator))
                evaluating += time.perf_counter() - begun
            for group in optimizer.param_groups:
                group["lr"] = plain_rate(step, recipe.steps)
            self.loss_of(model, self.data.train, generator).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        synchronise(self.device)
        training = time.perf_counter() - started - evaluating
        best = min(best, self.estimate(model, generator))
        total = time.perf_counter() - started
        return {"training": training, "total": total, "loss": self.whole_loss(model), "best": best}

    def loss_of(self, model: GPT, ids: Ids, generator: torch.Generator) -> torch.Tensor:
        x, y = random_batch(ids, self.recipe.batch_size, model.config.context, generator)
        with autocast(self.device, "bfloat16" if self.device.type == "cuda" else "float32"):
            logits = model(x.to(self.device))
        return F.cross_entropy(logits.float().flatten(0, 1), y.to(self.device).flatten())

    @torch.no_grad()
    def estimate(self, model: GPT, generator: torch.Generator) -> float:
        """The recipe looks at both parts of the text on the way; returns the loss on the second."""
        model.eval()
        for ids in (self.data.train, self.data.validation):
            losses = [self.loss_of(model, ids, generator) for _ in range(self.recipe.batches)]
        model.train()
        return float(torch.stack(losses).mean())

    def same_model(self, seconds: float) -> tuple[float, float]:
        """(seconds of training steps, validation loss) of ours; `seconds` are used where the recipe goes by time."""
        model, config = self.model(), self.recipe.ours
        if config.seconds is not None:
            config = replace(config, seconds=seconds)
        started = time.perf_counter()
        for _ in train(model, TokenData(self.data.train, self.data.validation[:0]), config, self.lengths):
            pass
        synchronise(self.device)
        return time.perf_counter() - started, self.whole_loss(model)

    def whole_loss(self, model: GPT) -> float:
        result = evaluate(model, self.data.validation, self.lengths)
        assert result is not None
        return result.loss_nats


def plain_rate(step: int, steps: int) -> float:
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    share = (step - WARMUP) / (steps - WARMUP)
    return LAST_RATE + 0.5 * (1 + math.cos(math.pi * share)) * (RATE - LAST_RATE)


def free_choice(text: Path, minutes: float, threads: int, device: str) -> tuple[float, float, str]:
    """(seconds in all, nats per character, what was chosen) of `minigpt train --minutes`."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = ["minigpt", "train", str(text), "--minutes", f"{minutes:.4f}", "--out", str(run)]
        started = time.perf_counter()
        machine = ["--device", device, "--threads", str(threads), "-q"]
        subprocess.run([sys.executable, "-m", *command, *machine], check=True, stdout=2)
        seconds = time.perf_counter() - started
        checkpoint = load(run, torch.device(device))
        split = Split(read_corpus([str(text)]), None, 0.1)
        ids = tokenize(checkpoint.tokenizer, split).validation
        result = evaluate(checkpoint.model, ids, checkpoint.tokenizer.byte_lengths())
        assert result is not None
        info = json.loads((run / "run.json").read_text())
    characters = split.characters - split.train_characters
    config = info["model"]
    shape = f"{info['choices']['tokenizer']} {config['vocab_size']:,}, {config['layers']} x {config['width']}"
    return seconds, result.loss_nats * result.tokens / characters, f"{shape}, context {config['context']}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench train --recipe", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--device", default="cpu", help="on cuda, the recipe for a GPU (default: cpu)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, nargs="*", default=[], help="further runs of free choice, such as 10")
    parser.add_argument("--json", action="store_true", help="print one JSON document, without the runs of free choice")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    recipe = LAPTOP if device.type == "cpu" else GPU
    split = Split(read_corpus([str(arguments.text)]), None, 0.1)
    tokenizer = train_tokenizer("char", (block.text for block in split.train()))
    bench = Bench(tokenize(tokenizer, split), tokenizer.byte_lengths(), recipe, device)
    plain = bench.plain()
    seconds, loss = bench.same_model(recipe.share * plain["training"])
    if arguments.json:
        ours = {"seconds": seconds, "loss_nats": loss, "goal_nats": recipe.goal_nats, "share": recipe.share}
        print(json.dumps(ours | {f"plain_{name}": value for name, value in plain.items()}))
        return 0
    total = plain["total"]
    print(
        f"plain recipe     {plain['training']:6.1f} s of training, {total:6.1f} s in all: {plain['loss']:.3f}, "
        f"{plain['best']:.3f} at best"
    )
    goal = f"(to reach: {recipe.goal_nats}, {recipe.share})"
    print(f"same model       {seconds:6.1f} s of training, {seconds / plain['training']:.2f} of it: {loss:.3f} {goal}")
    for minutes in (total / 60, *arguments.minutes):
        seconds, loss, shape = free_choice(arguments.text, minutes, arguments.threads, arguments.device)
        print(f"free choice      {seconds:6.1f} s in all: {loss:.3f} nats per character; {shape}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
