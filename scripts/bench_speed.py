"""Measures tokens per second, ours beside transformers' or llama.cpp's. Started by scripts/bench.

Both get the same random weights, are first compared logit for logit, and then take turns, so that what else the
machine does falls on both. Each figure is the median of its turns. A third turn of decode reads as many bytes as a step
has weights, as fast as the machine can.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from bench_bandwidth import StreamingRead, bytes_per_token
    from bench_llama import EXPECTED as LLAMA_EXPECTED
    from bench_llama import NAMES as LLAMA_NAMES
    from bench_llama import llama_text, require_llama
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from minigpt.checkpoint.folder import load
    from minigpt.checkpoint.hf_gpt2 import HEAD, config_to_json, weights_to_tensors
    from minigpt.models.decoder import CachedDecoder
    from minigpt.models.forward_library import has_library
    from minigpt.models.gpt import GPT
    from minigpt.models.native import NativeGPT, is_native
    from minigpt.models.precision import stored
    from minigpt.sampling.engine import generate
    from minigpt.sampling.vocabulary import log_softmax
    from minigpt.settings import PRESETS, ModelConfig, SampleConfig, TrainConfig
    from minigpt.text.corpus import python_reference
    from minigpt.text.learning import train_tokenizer
    from minigpt.text.shards import TokenData
    from minigpt.text.tokenizer import Tokenizer
    from minigpt.training.loop import train
    from minigpt.training.step import random_batch
except ImportError as error:
    sys.exit(f"scripts/bench needs minigpt's packages ({error}). Install them with: pip install -e '.[test]'")

DEMO = Path(__file__).parents[1] / "checkpoints" / "demo"

PAUSE = 0.2  # seconds between turns
CONTEXT = 256  # of the models that decode
PROMPT = "A"  # one token, of a low id: it is in every vocabulary of SMALLEST_VOCABULARY or more
SMALLEST_VOCABULARY = 65  # that of Shakespeare's letters
LEAST_FOR_LLAMA = 257  # a GGUF file holds the whole tokenizer
LARGEST_DIFFERENCE = 1e-4  # between the two models' logits, in float32

# layers x width -> heads, vocabulary (a char tokenizer's smallest, GPT-2's), how many times transformers' speed is
# expected on 2 CPU cores
DECODE_SHAPES = {"4x128": (4, 257, 6.0), "6x384": (6, 257, 4.5), "12x768": (12, 50_257, 2.0)}
LARGEST = list(DECODE_SHAPES)[-1]
SMALLER_EXPECTED = {"bfloat16": 1.7, "int8": 3.0}  # times our own float32, at the largest shape
READ_SHARE_EXPECTED = 0.85  # of the bytes per second of a streaming read, at the largest shape
LARGEST_CHANGE = 0.01  # of the bits per byte, by smaller weights
TRAIN_BATCHES = {"nano": 16, "micro": 16, "mini": 4}  # preset -> batch size; mini's own 16 takes seconds a step
TRAIN_EXPECTED = 1.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of the table. `*_seconds` are all turns: a whole text for decode, one optimizer step for train.

    `baseline` is transformers, llama.cpp, or, for smaller weights, our own float32. The last fields are of decode only:
    the weights that a token needs, and how fast they were read, by our steps and by a loop that does nothing else.
    """

    name: str
    vocab_size: int
    layers: int
    heads: int
    width: int
    context: int
    parameters: int
    batch_size: int
    tokens: int  # in one turn
    baseline: str
    ours_seconds: tuple[float, ...]
    baseline_seconds: tuple[float, ...]
    ours_median_seconds: float
    baseline_median_seconds: float
    ours_tokens_per_second: float
    baseline_tokens_per_second: float
    ratio: float  # ours / baseline, of the two tokens per second
    expected_ratio: float | None
    bytes_per_token: int | None = None
    gigabytes_per_second: float | None = None
    read_seconds: tuple[float, ...] | None = None  # for as many bytes as one token needs
    read_gigabytes_per_second: float | None = None
    read_share: float | None = None
    expected_read_share: float | None = None


def main() -> int:
    arguments = parse_arguments()
    if arguments.command == "decode" and arguments.llama:
        require_llama()
    else:
        require_transformers()
    torch.set_num_threads(arguments.threads)
    results = []
    for result in arguments.measure(arguments):
        print(f"{result.name}: {result.ratio:.2f} times {result.baseline}", file=sys.stderr, flush=True)
        results.append(result)
    if arguments.json:
        print(json.dumps(document(arguments, results), indent=2))
    else:
        print_table(arguments, results)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Our speed beside transformers' or llama.cpp's, on the same random weights, on the CPU.",
        epilog="Also, each with a --help of its own: scripts/bench tokenize, save, corpus, watch, inspect, gpu, step, "
        "page, start, pairs, train --recipe TEXT, train --device cuda.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="decode|train")
    shapes = list(DECODE_SHAPES)
    decode = commands.add_parser(
        "decode",
        help="tokens per second of sampling",
        description="Sample from one prompt token at temperature 1, nothing cut. Ours also computes what every view "
        "shows of each step: the float64 distribution, its entropy, the 10 best candidates. Theirs is "
        "generate(do_sample=True, use_cache=True), which computes none of these. With --dtype or --quantize, ours is "
        "compared with itself in float32, and what smaller weights cost in bits per byte is told. With --llama, theirs "
        "is llama.cpp, with the same weights in float32, or in q8_0 beside --quantize int8. The speed at which our "
        "steps read their weights stands beside that of a loop that only reads as many bytes.",
    )
    decode.add_argument("--shape", nargs="+", choices=shapes, default=shapes, help="layers x width (default: all)")
    decode.add_argument("--tokens", type=at_least(1), default=200, help=f"new tokens, below {CONTEXT} (default: 200)")
    decode.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of our weights")
    decode.add_argument("--quantize", choices=["none", "int8"], default="none", help="our products")
    decode.add_argument("--llama", action="store_true", help="beside llama.cpp (extra llama, which compiles it)")
    decode.set_defaults(measure=measure_decode)
    vocabularies = ", ".join(f"{vocab_size:,}" for _, vocab_size, _ in DECODE_SHAPES.values())
    add_common_options(decode, rounds=5, vocab_size=None, vocab_help=vocabularies)
    steps = commands.add_parser(
        "train",
        help="seconds of one training step",
        description="One step of each: batch, forward, backward, clipping, AdamW. Ours is the training loop of "
        "minigpt train, evaluation off. Theirs is a plain loop round GPT2LMHeadModel (sdpa attention, no cache) with "
        "torch.optim.AdamW as it comes. Both in float32, without dropout, on equal batches.",
    )
    presets, batches = list(TRAIN_BATCHES), ", ".join(f"{size} for {name}" for name, size in TRAIN_BATCHES.items())
    steps.add_argument("--preset", nargs="+", choices=presets, default=presets, help="shape and context (default: all)")
    steps.add_argument("--batch-size", type=at_least(1), help=f"default: {batches}")
    steps.set_defaults(measure=measure_train)
    add_common_options(steps, rounds=15, vocab_size=1024, vocab_help="1,024, that of a small bpe tokenizer")
    arguments = parser.parse_args()
    if arguments.command == "decode" and arguments.tokens >= CONTEXT:
        decode.error(f"--tokens must be below {CONTEXT}: transformers cannot go on beyond its context.")
    if arguments.command == "decode" and arguments.dtype == "bfloat16" and arguments.quantize == "int8":
        decode.error("--dtype bfloat16 and --quantize int8 exclude each other.")
    if arguments.command == "decode" and arguments.llama:
        if arguments.dtype == "bfloat16":
            decode.error("--llama compares float32, or --quantize int8: leave out --dtype bfloat16.")
        if (arguments.vocab_size or LEAST_FOR_LLAMA) < LEAST_FOR_LLAMA:
            decode.error(f"--llama needs a --vocab-size of {LEAST_FOR_LLAMA} or more: every byte, and the end of text.")
    return arguments


def add_common_options(
    parser: argparse.ArgumentParser, *, rounds: int, vocab_size: int | None, vocab_help: str
) -> None:
    vocab_help = f"vocabulary (default: {vocab_help})"
    parser.add_argument("--vocab-size", type=at_least(SMALLEST_VOCABULARY), default=vocab_size, help=vocab_help)
    parser.add_argument("--rounds", type=at_least(1), default=rounds, help=f"turns of each (default: {rounds})")
    parser.add_argument("--threads", type=at_least(1), default=all_cores(), help="of torch (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")


def at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text) if text.isdecimal() else least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more, not {text!r}")
        return value

    return parse


def all_cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_transformers() -> None:
    """Import transformers, quietly. It is a test dependency."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched here
    try:
        from transformers.utils import logging
    except ImportError:
        sys.exit("scripts/bench compares with transformers. Install it with: pip install -e '.[test]'")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def random_model(config: ModelConfig) -> GPT:
    """GPT-2's initialisation, with the biases and norms moved too, so that a comparison sees every tensor."""
    generator = torch.Generator().manual_seed(1)
    model = GPT(config).initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def their_model(ours: GPT) -> Any:
    """A GPT2LMHeadModel with the weights of `ours`; the end-of-text id is one that it cannot draw."""
    from transformers import GPT2Config, GPT2LMHeadModel

    values = config_to_json(ours.config, 0, torch.float32) | {"bos_token_id": None, "eos_token_id": None}
    theirs = GPT2LMHeadModel(GPT2Config(**values))
    missing, unexpected = theirs.load_state_dict(weights_to_tensors(ours, torch.float32), strict=False)
    theirs.tie_weights()
    if set(missing) - {HEAD} or unexpected:
        sys.exit(f"The weights do not fit transformers' model: missing {missing}, unexpected {unexpected}.")
    return theirs.eval()


@torch.inference_mode()
def check_same_logits(ours: GPT, theirs: Any) -> None:
    """Exit, with the difference, unless both models (and our cached step) give the same logits."""
    ids = torch.randint(ours.config.vocab_size, (1, 32), generator=torch.Generator().manual_seed(1))
    expected = theirs(ids).logits
    decoder = CachedDecoder(ours)
    decoder.prefill(ids[0, :-1].tolist())
    step = decoder.step([int(ids[0, -1])])[0]
    difference = max(
        float((ours(ids) - expected).abs().max()), float((torch.from_numpy(step) - expected[0, -1]).abs().max())
    )
    if not difference < LARGEST_DIFFERENCE:
        sys.exit(f"The two models differ by {difference:.2g} in their logits; a comparison of speed means nothing.")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def take_turns(works: Sequence[Callable[[], object]], rounds: int, *, warm_up: bool = False) -> list[tuple[float, ...]]:
    """The seconds of each, `rounds` times, one after the other; with `warm_up`, it is done once before it is timed.

    A pause lets the threads of the one before fall asleep: those of llama.cpp and of OpenMP wait for more work by
    spinning, and would take a core from the next. The caches, though, then hold what another one needed.
    """

    def rested(work: Callable[[], object]) -> float:
        time.sleep(PAUSE)
        if warm_up:
            work()
        return timed(work)

    return [tuple(map(rested, works)) for _ in range(rounds)]


def result(
    name: str,
    model: GPT | NativeGPT,
    turns: Sequence[tuple[float, ...]],
    *,
    batch: int,
    tokens: int,
    expected: float | None,
    baseline: str = "transformers",
    **read: Any,
) -> Result:
    """`turns` are ours and the baseline's; `read` the fields of decode."""
    config = model.config
    ours, theirs = (tuple(column) for column in zip(*turns, strict=True))
    return Result(
        name=name,
        vocab_size=config.vocab_size,
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        context=config.context,
        parameters=config.parameter_count(),
        batch_size=batch,
        tokens=tokens,
        baseline=baseline,
        ours_seconds=ours,
        baseline_seconds=theirs,
        ours_median_seconds=median(ours),
        baseline_median_seconds=median(theirs),
        ours_tokens_per_second=tokens / median(ours),
        baseline_tokens_per_second=tokens / median(theirs),
        ratio=median(theirs) / median(ours),
        expected_ratio=expected,
        **read,
    )


def measure_decode(arguments: argparse.Namespace) -> Iterator[Result]:
    smaller = arguments.quantize if arguments.quantize != "none" else arguments.dtype
    if smaller != "float32" and not arguments.llama:
        tell_what_smaller_weights_cost(arguments)
    for name, (heads, vocab_size, expected) in DECODE_SHAPES.items():
        if name not in arguments.shape:
            continue
        layers, width = map(int, name.split("x"))
        vocab_size = arguments.vocab_size or vocab_size
        config = ModelConfig(vocab_size=vocab_size, context=CONTEXT, layers=layers, heads=heads, width=width)
        model = as_decoded(random_model(config), arguments.dtype, arguments.quantize)
        baseline, wanted = "transformers", expected
        if arguments.llama:
            text = llama_text(model, random_model(config), prompt_tokenizer(), PROMPT, arguments)
            baseline, wanted = LLAMA_NAMES[arguments.quantize], LLAMA_EXPECTED[arguments.quantize].get(name)
        elif smaller == "float32":
            text = their_text(random_model(config), arguments.tokens)
        else:
            text = our_text(as_decoded(random_model(config)), arguments.tokens)
            baseline, wanted = "ours in float32", SMALLER_EXPECTED[smaller] if name == LARGEST else None
        yield decode_result(name, arguments, model, text, wanted, baseline)


def as_decoded(model: GPT, dtype: str = "float32", quantize: str = "none") -> GPT | NativeGPT:
    """The model as it is sampled from: in C, where that is compiled."""
    if not is_native(model.config):
        return stored(model, dtype, quantize)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return NativeGPT(model.config, weights, dtype=dtype, quantize=quantize)


def decode_result(
    name: str,
    arguments: argparse.Namespace,
    model: GPT | NativeGPT,
    baseline_text: Callable[[], object],
    expected: float | None,
    baseline: str,
) -> Result:
    kind = arguments.quantize if arguments.quantize != "none" else arguments.dtype
    size = bytes_per_token(model.config, kind)
    read = StreamingRead(size, arguments.threads)
    works = our_text(model, arguments.tokens), baseline_text, read
    turns = take_turns(works, arguments.rounds, warm_up=True)
    seconds = [turn[0] / arguments.tokens for turn in turns]
    read_seconds = [turn[2] / read.passes for turn in turns]
    return result(
        name,
        model,
        [turn[:2] for turn in turns],
        batch=1,
        tokens=arguments.tokens,
        expected=expected,
        baseline=baseline,
        **bandwidth(size, seconds, read_seconds),
        expected_read_share=READ_SHARE_EXPECTED if name == LARGEST else None,
    )


def bandwidth(size: int, token_seconds: Sequence[float], read_seconds: Sequence[float]) -> Mapping[str, Any]:
    """Fields of a Result, for `size` bytes: read once for each token, and by a streaming read."""
    token, read = median(token_seconds), median(read_seconds)
    return {
        "bytes_per_token": size,
        "gigabytes_per_second": size / token / 1e9,
        "read_seconds": tuple(read_seconds),
        "read_gigabytes_per_second": size / read / 1e9,
        "read_share": read / token,
    }


def prompt_tokenizer() -> Tokenizer:
    return train_tokenizer("char", [PROMPT])


def our_text(model: GPT | NativeGPT, count: int) -> Callable[[], object]:
    """Sampling at temperature 1 from the whole vocabulary: no stage runs, in ours as in theirs."""
    tokenizer = prompt_tokenizer()
    config = SampleConfig(temperature=1.0, top_p=1.0, max_tokens=count, top=10, ignore_end_of_text=True)

    def sample() -> None:
        pieces = list(generate(model, tokenizer, PROMPT, config))
        assert len(pieces) == count + 1, "a piece a token, and the end"

    return sample


def their_text(ours: GPT, count: int) -> Callable[[], object]:
    """The same of transformers, on the weights of `ours`, after a check that both have the same logits."""
    from transformers import GenerationConfig

    theirs = their_model(ours)
    check_same_logits(ours, theirs)
    prompt = torch.tensor([prompt_tokenizer().encode(PROMPT)])
    config = GenerationConfig(  # no end-of-text: nothing to stop at, and no processor that forbids it
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=count, use_cache=True
    )

    def sample() -> None:
        ids = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        assert ids.shape == (1, prompt.size(1) + count), "as many tokens as ours"

    return sample


def tell_what_smaller_weights_cost(arguments: argparse.Namespace) -> None:
    """Bits per byte of the kept demo on the last 10 % of the built-in text, on which it was validated: token by token,
    as it is decoded.
    """
    demo = load(DEMO)
    _, documents = python_reference()
    text = "".join(documents)
    ids = demo.tokenizer.encode(text[-len(text) // 10 :])
    size = len(demo.tokenizer.decode_bytes(ids[1:]))
    before, after = (
        nats_by_steps(model, ids) / math.log(2) / size
        for model in (demo.model, as_decoded(load(DEMO).model, arguments.dtype, arguments.quantize))
    )
    print(
        f"checkpoints/demo on the built-in text: {before:.4f} bits per byte in float32, {after:.4f} so "
        f"({after / before - 1:+.3%}, expected below {LARGEST_CHANGE:.0%})",
        file=sys.stderr,
        flush=True,
    )


def nats_by_steps(model: GPT | NativeGPT, ids: list[int]) -> float:
    """Of all tokens but the first, each as the step before it predicts it."""
    decoder = CachedDecoder(model)
    logits_V, nats = decoder.prefill(ids[:1])[0], 0.0
    for token in ids[1:]:
        nats -= float(log_softmax(logits_V)[token])
        logits_V = decoder.step([token])[0]
    return nats


def measure_train(arguments: argparse.Namespace) -> Iterator[Result]:
    for name in TRAIN_BATCHES:
        if name not in arguments.preset:
            continue
        preset, batch = PRESETS[name], arguments.batch_size or TRAIN_BATCHES[name]
        config = ModelConfig(
            vocab_size=arguments.vocab_size,
            context=preset.context,
            layers=preset.layers,
            heads=preset.heads,
            width=preset.width,
        )
        ours = random_model(config)
        theirs = their_model(ours)
        check_same_logits(ours, theirs)
        ids = np.random.default_rng(1).integers(config.vocab_size, size=100_000, dtype=np.uint32)
        warm_up = 2
        our_steps = steps_of_ours(ours, ids, batch, warm_up + arguments.rounds)
        their_steps = steps_of_theirs(theirs, ids, batch)
        turns = take_turns([partial(next, our_steps), partial(next, their_steps)], warm_up + arguments.rounds)
        tokens = batch * config.context
        yield result(name, ours, turns[warm_up:], batch=batch, tokens=tokens, expected=TRAIN_EXPECTED)


def steps_of_ours(model: GPT, ids: np.ndarray, batch: int, steps: int) -> Iterator[object]:
    """One step of `minigpt train --optimizer adamw` at each `next`; without a validation text nothing is evaluated."""
    data = TokenData(train=ids, validation=ids[:0])
    records = train(
        model, data, TrainConfig(steps=steps, batch_size=batch, optimizer="adamw"), np.ones(model.config.vocab_size)
    )
    next(records)  # record 0, of the untrained model
    return records


def steps_of_theirs(model: Any, ids: np.ndarray, batch: int) -> Iterator[object]:
    """One step of a plain loop at each `next`; like ours, it reports its loss and the norm of its gradient."""
    optimizer = torch.optim.AdamW(model.parameters())
    generator = torch.Generator().manual_seed(1)
    model.train()
    while True:
        x, y = random_batch(ids, batch, model.config.n_positions, generator)
        logits = model(input_ids=x, use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        yield update(model, optimizer, loss)


def update(model: Any, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> tuple[float, float]:
    """The second half of a plain loop's step; returns the loss and the norm of its gradient."""
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach()), float(norm)


def document(arguments: argparse.Namespace, results: list[Result]) -> dict[str, Any]:
    """What --json prints."""
    return {
        "bench": arguments.command,
        "torch": torch.__version__,
        **{name.replace("-", "_"): number for name, number in their_versions(arguments).items()},
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "results": [asdict(result) for result in results],
    }


def their_versions(arguments: argparse.Namespace) -> dict[str, str]:
    name = "llama-cpp-python" if getattr(arguments, "llama", False) else "transformers"
    return {name: version(name)}


def print_table(arguments: argparse.Namespace, results: list[Result]) -> None:
    """Rows for ours, theirs and the streaming read of each model: it fits 80 columns."""
    steps = arguments.command == "train"
    smaller = {"bfloat16": " in bfloat16", "int8": " in int8"}
    how = "" if steps else smaller.get(arguments.dtype, "") + smaller.get(arguments.quantize, "")
    title = f"{arguments.command}{how}: medians of {arguments.rounds} turns each, threads: {arguments.threads}"
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("preset, batch" if steps else "shape")
    table.add_column("parameters", justify="right")
    table.add_column("")
    for header in ("ms/step" if steps else "ms/token", "tokens/s", *([] if steps else ["GB/s"]), "ratio", "expected"):
        table.add_column(header, justify="right")
    for row in results:
        for cells in table_rows(row, steps):
            table.add_row(*cells)
    console = Console(highlight=False)
    console.print(table)
    versions = ", ".join(f"{name} {number}" for name, number in their_versions(arguments).items())
    if not steps:
        versions += ", forward.c compiled" if has_library() else ", forward.c not compiled"
    vocabularies = ", ".join(f"{size:,}" for size in dict.fromkeys(row.vocab_size for row in results))
    console.print(f"Vocabulary {vocabularies}; torch {torch.__version__}, {versions}.")


def table_rows(row: Result, steps: bool) -> Iterator[tuple[str, ...]]:
    """Ours, theirs, and for decode the streaming read of one token's weights, with our share of its speed."""
    per = 1 if steps else row.tokens
    name = f"{row.name}, {row.batch_size} x {row.context}" if steps else row.name
    expected = "" if row.expected_ratio is None else f">= {row.expected_ratio:g}x"
    speed = [] if row.gigabytes_per_second is None else [f"{row.gigabytes_per_second:.1f}"]
    ours = [f"{1000 * row.ours_median_seconds / per:,.2f}", f"{row.ours_tokens_per_second:,.0f}", *speed]
    yield name, f"{row.parameters:,}", "ours", *ours, f"{row.ratio:.2f}x", expected
    theirs = f"{1000 * row.baseline_median_seconds / per:,.2f}", f"{row.baseline_tokens_per_second:,.0f}"
    yield "", "", row.baseline, *theirs
    if row.read_seconds is not None:
        seconds = median(row.read_seconds)
        expected = "" if row.expected_read_share is None else f">= {row.expected_read_share:.0%}"
        speed = [f"{1000 * seconds:,.2f}", f"{1 / seconds:,.0f}", f"{row.read_gigabytes_per_second:.1f}"]
        yield "", "", "only reading", *speed, f"{row.read_share:.0%}", expected


if __name__ == "__main__":
    sys.exit(main())
