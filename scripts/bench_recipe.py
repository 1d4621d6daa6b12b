"""A text in; ours beside the plain recipe for a small character model out, in one run.

Started by scripts/bench train --recipe.

The plain recipe is nanoGPT's documented one for a laptop: 4 layers x 128, context 64, characters, AdamW at 1e-3 (betas
0.9, 0.99, weight decay 0.1), 100 steps of warm-up and a cosine down to 1e-4, 2,000 steps of 12 x 64, an evaluation of
20 batches every 250 steps. Here it runs in a plain loop of its own around the same GPT, with torch.optim.AdamW as it
comes.

Losses are nats per character over the whole validation text: the last tenth, in windows that follow each other.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from minigpt.checkpoint.folder import load
from minigpt.models.gpt import GPT
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.corpus import Split, read_corpus
from minigpt.text.learning import train_tokenizer
from minigpt.text.shards import TokenData, tokenize
from minigpt.training.evaluate import evaluate
from minigpt.training.loop import train
from minigpt.training.step import random_batch

STEPS, BATCH, RATE, LAST_RATE, WARMUP, EVERY, BATCHES = 2000, 12, 1e-3, 1e-4, 100, 250, 20
GOAL_NATS = 1.886  # documented for the plain recipe
OURS = TrainConfig(  # the same model, to the same loss
    steps=240, batch_size=24, muon_learning_rate=0.04, warmup_steps=20, snapshots=0, precision="bfloat16"
)


def small_model(vocab_size: int) -> GPT:
    config = ModelConfig(vocab_size=vocab_size, context=64, layers=4, heads=4, width=128)
    return GPT(config).initialise(torch.Generator().manual_seed(1))


def plain_rate(step: int) -> float:
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    share = (step - WARMUP) / (STEPS - WARMUP)
    return LAST_RATE + 0.5 * (1 + math.cos(math.pi * share)) * (RATE - LAST_RATE)


def plain(model: GPT, data: TokenData) -> tuple[float, float]:
    """(seconds of training steps, seconds in all, with the evaluations on the way)."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(1)
    started, training = time.perf_counter(), 0.0
    for step in range(STEPS):
        if step % EVERY == 0:
            estimate(model, data, generator)
        begun = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = plain_rate(step)
        loss_of(model, data.train, generator).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        training += time.perf_counter() - begun
    estimate(model, data, generator)
    return training, time.perf_counter() - started


def loss_of(model: GPT, ids: object, generator: torch.Generator) -> torch.Tensor:
    x, y = random_batch(ids, BATCH, 64, generator)
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def estimate(model: GPT, data: TokenData, generator: torch.Generator) -> None:
    """The recipe looks at both parts of the text on the way; what it sees is not used here, only paid for."""
    for ids in (data.train, data.validation):
        for _ in range(BATCHES):
            loss_of(model, ids, generator)


def same_model(data: TokenData, lengths: object, vocab_size: int) -> tuple[float, float]:
    """(seconds of training steps, validation loss) of ours."""
    model, without = small_model(vocab_size), TokenData(data.train, data.validation[:0])
    started = time.perf_counter()
    for _ in train(model, without, OURS, lengths):
        pass
    seconds = time.perf_counter() - started
    return seconds, whole_loss(model, data, lengths)


def whole_loss(model: GPT, data: TokenData, lengths: object) -> float:
    result = evaluate(model, data.validation, lengths)
    assert result is not None
    return result.loss_nats


def free_choice(text: Path, minutes: float, threads: int) -> tuple[float, float, str]:
    """(seconds in all, nats per character, what was chosen) of `minigpt train --minutes`."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = ["minigpt", "train", str(text), "--minutes", f"{minutes:.4f}", "--out", str(run)]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", *command, "--threads", str(threads), "-q"], check=True, stdout=2)
        seconds = time.perf_counter() - started
        checkpoint = load(run, torch.device("cpu"))
        split = Split(read_corpus([str(text)]), None, 0.1)
        ids = tokenize(checkpoint.tokenizer, split).validation
        result = evaluate(checkpoint.model, ids, checkpoint.tokenizer.byte_lengths())
        assert result is not None
        info = json.loads((run / "run.json").read_text())
    characters = split.characters - split.train_characters
    config = info["model"]
    shape = f"{info['choices']['tokenizer']} {config['vocab_size']:,}, {config['layers']} x {config['width']}"
    return seconds, result.loss_nats * result.tokens / characters, f"{shape}, context {config['context']}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench train --recipe", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, nargs="*", default=[], help="further runs of free choice, such as 10")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    split = Split(read_corpus([str(arguments.text)]), None, 0.1)
    tokenizer = train_tokenizer("char", (block.text for block in split.train()))
    data, lengths = tokenize(tokenizer, split), tokenizer.byte_lengths()
    model = small_model(tokenizer.vocab_size)
    training, total = plain(model, data)
    print(
        f"plain recipe     {training:6.1f} s of training, {total:6.1f} s in all: {whole_loss(model, data, lengths):.3f}"
    )
    seconds, loss = same_model(data, lengths, tokenizer.vocab_size)
    share = seconds / training
    print(f"same model       {seconds:6.1f} s of training, {share:.2f} of it: {loss:.3f} (to reach: {GOAL_NATS}, 0.25)")
    for minutes in (total / 60, *arguments.minutes):
        seconds, loss, shape = free_choice(arguments.text, minutes, arguments.threads)
        print(f"free choice      {seconds:6.1f} s in all: {loss:.3f} nats per character; {shape}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
