"""What the parts of scripts/bench gpu work with: sizes, a folder, and processes that end when their time is over."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The command, which then tells the most memory of a GPU that torch held.
MINIGPT = """
import sys
from minigpt.__main__ import main

try:
    main()
except SystemExit as end:
    if end.code:
        raise
cuda = sys.modules["torch"].cuda
if cuda.is_initialized():
    print("peak memory:", max(map(cuda.max_memory_allocated, range(cuda.device_count()))), file=sys.stderr)
"""
# The line that says why: an exception's, or a message of minigpt.
REASON = re.compile(r"(?:minigpt [\w-]+|[\w.]*(?:Error|Exception|Interrupt)): .*", re.MULTILINE)
KEPT = 4000  # characters of what a process said before it failed


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is asked of the GPU. `shapes`: what stands for these two names, the larger also for GPT-2."""

    minutes: float = 0.6  # of each `train --minutes`
    text_bytes: int = 10_000_000
    shapes: tuple[tuple[str, str], ...] = (("6x384", "6x384"), ("12x768", "12x768"))
    vocab_size: int = 50_304
    gpt2_vocab_size: int = 50_257
    context: int = 1024
    tokens: int = 200  # of a sample
    lstm: tuple[str, ...] = ("--steps", "200")
    bench: tuple[str, ...] = ()
    decode: tuple[str, ...] = ()


QUICK = Sizes(
    minutes=0.02,
    text_bytes=100_000,
    shapes=(("6x384", "1x32"), ("12x768", "1x64")),
    vocab_size=300,
    gpt2_vocab_size=300,
    context=32,
    tokens=10,
    lstm=("--steps", "2", "--layers", "1", "--width", "16", "--batch-size", "2", "--eval-tokens", "500"),
    bench=("--batch-size", "2", "--steps", "2", "--threads", "1"),
    decode=("--rounds", "2"),
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the parts need: `folder` is for what they write, `text` the one to train on in place of 10 MB of Python."""

    device: str
    folder: Path
    sizes: Sizes
    text: Path | None = None
    recipe: Path | None = None

    def shape(self, name: str) -> tuple[str, ...]:
        """The flags of a model of this name."""
        sizes = self.sizes
        flags = ("--context", str(sizes.context), "--vocab-size", str(sizes.vocab_size))
        return ("--shape", dict(sizes.shapes)[name], *flags)


class Ended(Exception):
    """A process failed, or was ended as its time was over. `said`: the end of what it wrote to standard error."""

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(reason)
        self.said = said[-KEPT:]


def output_of(command: Sequence[str], seconds: float) -> tuple[str, str]:
    """What a command writes to standard output and standard error. Raises Ended."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        command, stdin=nothing, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started, such as compilers
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise Ended(f"ended after {seconds:.0f} s, all that it may take", process.communicate()[1]) from None
    if process.returncode:
        reasons = REASON.findall(err) or err.strip().splitlines() or [f"ended with {process.returncode}"]
        raise Ended(reasons[-1][:300], err)
    return out, err


def minigpt(arguments: Sequence[str], work: Work, seconds: float) -> tuple[str, str]:
    """What this command of minigpt writes."""
    return output_of([sys.executable, "-c", MINIGPT, *arguments, "--device", work.device], seconds)


def script(name: str, arguments: Sequence[str], work: Work, seconds: float) -> Any:
    """The JSON document that another script prints."""
    path = str(Path(__file__).with_name(name))
    return json.loads(output_of([sys.executable, path, *arguments, "--device", work.device], seconds)[0])
