"""How fast texts are scored beside transformers, passes in C beside torch's, and how long each view takes.

Started by scripts/bench inspect. Both score the same windows of the same ids with the same random weights and take
turns; that they agree is checked first. Theirs is a teacher-forced pass in float32, window by window in batches.
"""

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from bench_speed import DECODE_SHAPES, all_cores, at_least, random_model, require_transformers, take_turns, their_model
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from minigpt.checkpoint.folder import Checkpoint
from minigpt.models.decoder import network_of
from minigpt.models.device import autocast, has_bfloat16
from minigpt.models.forward_library import has_library
from minigpt.models.gpt import GPT
from minigpt.models.network import Network
from minigpt.models.torch_network import TorchNetwork
from minigpt.sampling.score import Part, score
from minigpt.settings import ModelConfig
from minigpt.text.corpus import python_reference
from minigpt.text.learning import train_tokenizer
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.against import compare_next, compare_text
from minigpt.views.attention import attend, attention_grid, head_summaries
from minigpt.views.attribution import leave_one_out
from minigpt.views.choices import weigh
from minigpt.views.history import by_layer
from minigpt.views.probs import every_token, next_token
from minigpt.views.tokenization import boundary

CONFIG = {"context": 256, "layers": 6, "heads": 6, "width": 384}
EXPECTED = 1.5  # times transformers
PASS_TOKENS, PASS_SHAPES, LONGEST_PASS = 512, ("6x384", "12x768"), 1.2  # times torch's
VIEW_TOKENS, VIEW_SECONDS = 200, 1.0
_WINDOWS = 32  # at once
_CHECKED = 16_384  # tokens on which both are compared first


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench inspect", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=at_least(1024), default=16_384, help="scored in one turn (default: 16,384)")
    parser.add_argument("--rounds", type=at_least(1), default=5, help="turns of each (default: 5)")
    parser.add_argument("--threads", type=at_least(1), default=all_cores(), help="of torch (default: all cores)")
    arguments = parser.parse_args()
    require_transformers()
    torch.set_num_threads(arguments.threads)
    text = "\n\n".join(python_reference()[1])
    tokenizer = train_tokenizer("char", [text])
    ours = random_model(ModelConfig(vocab_size=tokenizer.vocab_size, **CONFIG))
    ids = np.resize(np.array(tokenizer.encode(text), np.int64), arguments.tokens)  # over again, where it is too short
    console = Console(highlight=False)
    console.print(scoring_table(ours, their_model(ours), tokenizer, ids, arguments.rounds))
    console.print(passes_table(arguments.rounds))
    console.print(view_table(ours, tokenizer, text))
    return 0


def scoring_table(ours: GPT, theirs: Any, tokenizer: Tokenizer, ids: np.ndarray, rounds: int) -> Table:
    lengths = tokenizer.byte_lengths()

    def our_nats(precision: str = "float32", ids: np.ndarray = ids) -> float:
        cast = None if precision == "float32" else partial(autocast, ours.device, precision)
        return score(ours, [Part(ids, lengths[ids], True)], stride=ours.config.context, autocast=cast).total_nats

    @torch.inference_mode()
    def their_nats(ids: np.ndarray = ids) -> float:
        nats = 0.0
        for x, y in windows(ids, ours.config.context):
            logits = theirs(input_ids=x, use_cache=False).logits
            nats += float(F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum"))
        return nats

    nats, before = our_nats(ids=ids[:_CHECKED]), peak_megabytes()
    our_nats()
    memory = f"ours: {before:,.0f} MB for {min(_CHECKED, len(ids)):,} tokens, {peak_megabytes():,.0f} MB for all"
    expected = their_nats(ids[:_CHECKED])
    if not math.isclose(nats, expected, rel_tol=1e-5):
        sys.exit(f"The two scores differ: {nats} and {expected} nats.")
    title = f"scoring {len(ids):,} tokens, 6 x 384, context {ours.config.context}"
    table = Table("", "tokens/s", "ratio", "expected", title=title, caption=memory, box=SIMPLE_HEAD)
    for precision in ("float32", "bfloat16") if has_bfloat16(ours.device) else ("float32",):
        turns = take_turns([partial(our_nats, precision), their_nats], rounds)
        mine, other = (sorted(seconds)[rounds // 2] for seconds in zip(*turns, strict=True))
        goal = f">= {EXPECTED:g}x" if precision == "float32" else ""
        table.add_row(f"ours, {precision}", f"{len(ids) / mine:,.0f}", f"{other / mine:.2f}x", goal)
    table.add_row("transformers, float32", f"{len(ids) / other:,.0f}", "", "")
    return table


def passes_table(rounds: int) -> Table:
    """A pass over one text, whose last logits or whose loss is wanted: in C, and in torch."""
    table = Table("", "ours, ms", "torch, ms", "of its time", "expected", box=SIMPLE_HEAD)
    table.title = f"a pass over {PASS_TOKENS} tokens in float32, forward.c compiled: {'yes' if has_library() else 'no'}"
    for name in PASS_SHAPES:
        heads, vocab_size, _ = DECODE_SHAPES[name]
        layers, width = map(int, name.split("x"))
        shape = {"layers": layers, "heads": heads, "width": width, "vocab_size": vocab_size}
        model = random_model(ModelConfig(context=PASS_TOKENS, **shape))
        network, torchs = network_of(model), TorchNetwork(model)
        ids = np.random.default_rng(1).integers(vocab_size, size=(1, PASS_TOKENS))
        targets = np.roll(ids, -1, axis=1)
        works: dict[str, Callable[[Network], object]] = {
            "prefill": lambda of, ids=ids: of.read(ids.tolist(), of.new_cache()),  # type: ignore[misc]
            "score": lambda of, ids=ids, targets=targets: of.nats(ids, targets, of.new_cache()),  # type: ignore[misc]
        }
        for what, work in works.items():
            pair = [partial(work, network), partial(work, torchs)]
            take_turns(pair, 1)
            mine, other = (sorted(seconds)[rounds // 2] for seconds in zip(*take_turns(pair, rounds), strict=True))
            table.add_row(
                f"{what}, {name}", f"{1000 * mine:,.0f}", f"{1000 * other:,.0f}", f"{mine / other:.2f}x", "<= 1.2x"
            )
    return table


def peak_megabytes() -> float:
    """Of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def windows(ids: np.ndarray, context: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and targets [B, T] of windows without sight of each other, the last one apart, as it may be shorter."""
    whole = (len(ids) - 1) // context * context
    x, y = (torch.from_numpy(ids[start : whole + start]).view(-1, context) for start in (0, 1))
    yield from zip(x.split(_WINDOWS), y.split(_WINDOWS), strict=True)
    if whole < len(ids) - 1:
        yield torch.from_numpy(ids[whole:-1])[None], torch.from_numpy(ids[whole + 1 :])[None]


def view_table(model: GPT, tokenizer: Tokenizer, text: str) -> Table:
    """Each view of a text of so many tokens, once it is warm."""
    text = text[:VIEW_TOKENS]
    ids = tokenizer.encode(text)
    one, other = Checkpoint(Path("one"), model, tokenizer), Checkpoint(Path("other"), model, tokenizer)
    views: dict[str, Callable[[], object]] = {
        "next token": lambda: next_token(model, tokenizer, ids, top=10),
        "--all": lambda: list(every_token(model, tokenizer, ids, top=10)),
        "--boundary": lambda: boundary(model, tokenizer, ids, top=10),
        "--choices, two of 5": lambda: weigh(model, tokenizer, ids, [" abcd", " efgh"]),
        "--by-layer": lambda: by_layer(model, tokenizer, ids, top=10),
        "--attribution": lambda: leave_one_out(model, tokenizer, ids),
        "--against": lambda: compare_next(one, other, text, top=10),
        "--against --all": lambda: list(compare_text(one, other, text)),
        "attention, all heads": lambda: head_summaries(attend(model, ids)),
        "attention, a grid": lambda: attention_grid(attend(model, ids), tokenizer, 1, 1),
    }
    table = Table("view", "seconds", "expected", title=f"views of {len(ids)} tokens, loaded", box=SIMPLE_HEAD)
    for name, view in views.items():
        view()
        started = time.perf_counter()
        view()
        table.add_row(name, f"{time.perf_counter() - started:.3f}", f"<= {VIEW_SECONDS:g}")
    return table


if __name__ == "__main__":
    sys.exit(main())
