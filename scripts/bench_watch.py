"""Measures what a person waits for in sample: the first token, and the drawing. Started by scripts/bench."""

import argparse
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from statistics import median

DEMO = Path(__file__).parents[1] / "checkpoints" / "demo"
FIRST_EXPECTED = 0.3  # seconds from `import torch` to the first token
DRAWING_EXPECTED = 0.10  # of the time of a sample that is watched in a terminal

FIRST_TOKEN = f"""
import time
import torch
started = time.perf_counter()
from minigpt.checkpoint.folder import load
from minigpt.sampling.engine import generate
checkpoint = load({str(DEMO)!r})
next(generate(checkpoint.model, checkpoint.tokenizer, "The value of"))
print(time.perf_counter() - started)
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench watch",
        description="checkpoints/demo (2 x 64): seconds from the end of `import torch` to the first token, in a new "
        "process; and the share of a watched sample's time that drawing takes, by turns with samples nobody watches.",
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default: 7)")
    parser.add_argument("--tokens", type=int, default=1000, help="of each sample (default: 1,000)")
    arguments = parser.parse_args()
    first = median(first_token() for _ in range(arguments.rounds))
    print(f"first token: {first:.2f} s after import torch, expected below {FIRST_EXPECTED} s", flush=True)
    unseen, watched = drawing(arguments.tokens, arguments.rounds)
    print(
        f"drawing: {1 - unseen / watched:.1%} of the time, expected below {DRAWING_EXPECTED:.0%} "
        f"({arguments.tokens / unseen:,.0f} tokens/s unseen, {arguments.tokens / watched:,.0f} watched)"
    )
    return 0


def first_token() -> float:
    result = subprocess.run([sys.executable, "-c", FIRST_TOKEN], capture_output=True, text=True, check=True)
    return float(result.stdout)


def drawing(tokens: int, rounds: int) -> tuple[float, float]:
    """The median seconds of a sample that nobody watches, and of one drawn to a terminal that throws all away."""
    from rich.console import Console

    from minigpt.checkpoint.folder import load
    from minigpt.render.live import show_live
    from minigpt.sampling.engine import generate
    from minigpt.settings import SampleConfig

    checkpoint, prompt = load(DEMO), "The value of"
    config = SampleConfig(max_tokens=tokens, ignore_end_of_text=True)
    unseen, watched = [], []
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, force_terminal=True, width=80, height=24, color_system="truecolor")
        for turn in range(rounds + 1):
            started = time.perf_counter()
            deque(generate(checkpoint.model, checkpoint.tokenizer, prompt, config), maxlen=0)
            between = time.perf_counter()
            pieces = generate(checkpoint.model, checkpoint.tokenizer, prompt, config)
            show_live(console, prompt, ((piece.data, piece.record) for piece in pieces), tokens)
            if turn:  # the first warms up
                unseen.append(between - started)
                watched.append(time.perf_counter() - between)
    return median(unseen), median(watched)


if __name__ == "__main__":
    sys.exit(main())
