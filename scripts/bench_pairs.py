"""A training step on pairs beside transformers' Marian with torch's AdamW. Started by scripts/bench pairs.

Both have the same random weights and take the same batches of built-in pairs in turns, so that what else the machine
does falls on both. Each figure is the median of its turns, in tokens of sources and targets; no padding is counted.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from bench_speed import all_cores, at_least, require_transformers, take_turns, update

from minigpt.checkpoint.marian import config_to_json, weights_to_tensors
from minigpt.models.device import resolve_precision
from minigpt.models.encoder_decoder import PADDING
from minigpt.models.kinds import new_model
from minigpt.models.transformer import Transformer
from minigpt.settings import Choices, TrainConfig
from minigpt.text.learning import ending_texts, train_tokenizer
from minigpt.text.pairs import PairIds
from minigpt.text.translations import translations
from minigpt.training.native_step import native_update
from minigpt.training.optim import build_optimizers
from minigpt.training.pairs import PairBatch, PairBatches, pair_loss
from minigpt.training.plan import PAIR_BATCH, pair_shape
from minigpt.training.ranks import ALONE
from minigpt.training.step import AutogradStep

EXPECTED = 1.5  # times transformers' speed
CPU = torch.device("cpu")
_PAIRS, _CONTEXT, _WARM_UP = 8_000, 64, 3
_CLOSE = 1e-3  # nats, between the losses of the first step


def main() -> int:
    arguments = parse_arguments()
    require_transformers()
    torch.set_num_threads(arguments.threads)
    texts = [text for each in translations(_PAIRS) for text in (each.source, each.target)]
    tokenizer = ending_texts(train_tokenizer("bpe", texts, arguments.vocab_size))
    ids = [id for text in texts for id in (*tokenizer.encode(text), tokenizer.end_of_text)]
    pairs = PairIds.of(np.array(ids[:-1], np.uint16), tokenizer.end_of_text)
    shape = pair_shape(
        Choices(model="transformer", layers=arguments.layers, width=arguments.width), tokenizer.vocab_size, _CONTEXT
    )
    model = new_model(shape).initialise(torch.Generator().manual_seed(1))
    assert isinstance(model, Transformer)
    results = [measure(model, pairs, arguments, precision) for precision in ("float32", "auto")]
    if arguments.json:
        print(json.dumps({"threads": arguments.threads, "rounds": arguments.rounds, "results": results}, indent=2))
        return 0
    print(f"{shape.layers} x {shape.width}, batch {arguments.batch_size}, threads {arguments.threads}, "
          f"{shape.parameter_count():,} parameters, medians of {arguments.rounds} turns")  # fmt: skip
    for each in results:
        ours, theirs = (each[f"{whose}_tokens_per_second"] for whose in ("ours", "theirs"))
        print(f"{each['precision']:>8}: ours {ours:>8,.0f} tokens/s, transformers {theirs:>8,.0f} in float32: "
              f"{each['ratio']:.2f}x (expected >= {EXPECTED})")  # fmt: skip
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench pairs", description=__doc__)
    for name, usual in (("layers", 2), ("width", 128), ("batch-size", PAIR_BATCH), ("rounds", 15)):
        parser.add_argument(f"--{name}", type=at_least(1), default=usual, help=f"default: {usual}")
    parser.add_argument("--vocab-size", type=at_least(257), default=1500, help="default: 1,500")
    parser.add_argument("--threads", type=at_least(1), default=all_cores(), help="of torch (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def measure(model: Transformer, pairs: PairIds, arguments: argparse.Namespace, precision: str) -> dict[str, Any]:
    """Our step in this precision beside theirs in float32, both from the weights of `model`."""
    ours = new_model(model.config)
    ours.load_state_dict(model.state_dict())
    config = TrainConfig(
        batch_size=arguments.batch_size,
        optimizer="adamw",
        precision=resolve_precision(precision, CPU, model.config.width),
    )
    batches, steps = PairBatches(pairs, config, CPU), range(1, 1 + _WARM_UP + arguments.rounds)
    given = [batches.of(step)[0] for step in steps]
    our_steps, their_steps = steps_of_ours(ours.train(), pairs, config), steps_of_theirs(their_model(model), given)
    first = next(our_steps), next(their_steps)
    if precision == "float32" and not abs(first[0] - first[1]) < _CLOSE:
        sys.exit(f"The losses of the first step differ: {first}; a comparison of speed means nothing.")
    turns = take_turns([partial(next, our_steps), partial(next, their_steps)], len(given) - 1)
    tokens = [int((batch.source != PADDING).sum() + (batch.targets != PADDING).sum()) for batch in given[1:]]
    speeds = [[count / each for each in turn] for count, turn in zip(tokens, turns, strict=True)][_WARM_UP - 1 :]
    mine, other = (median(column) for column in zip(*speeds, strict=True))
    return {
        "precision": config.precision,
        "ours_tokens_per_second": mine,
        "theirs_tokens_per_second": other,
        "ratio": mine / other,
        "expected_ratio": EXPECTED,
    }


def steps_of_ours(model: Any, pairs: PairIds, config: TrainConfig) -> Iterator[float]:
    """One step of `minigpt train` at each `next`, its batch included; the loss."""
    optimizers = build_optimizers(model, config)
    take_step = AutogradStep(model, config, optimizers, ALONE, pair_loss, native_update(model, config, optimizers))
    batches, step = PairBatches(pairs, config, CPU), 0
    while True:
        step += 1
        losses, norm = take_step(batches.of(step), step)
        float(norm)
        yield sum(map(float, losses))


def their_model(ours: Transformer) -> Any:
    from transformers import MarianConfig, MarianMTModel

    assert ours.config.end is not None
    config = replace(ours.config, dropout=0.0)
    theirs = MarianMTModel(MarianConfig(**config_to_json(config, ours.config.end, torch.float32)))
    theirs.load_state_dict(weights_to_tensors(ours, torch.float32), strict=False)
    theirs.tie_weights()
    return theirs.train()


def steps_of_theirs(model: Any, batches: list[PairBatch]) -> Iterator[float]:
    """One step of a plain loop at each `next`; like ours, it reports its loss and the norm of its gradient."""
    optimizer = torch.optim.AdamW(model.parameters())
    for batch in batches:
        mask = (batch.source != PADDING).long()
        inputs = batch.inputs.clamp(min=0)
        logits = model(
            input_ids=batch.source.clamp(min=0), attention_mask=mask, decoder_input_ids=inputs, use_cache=False
        ).logits
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PADDING)
        yield update(model, optimizer, loss)[0]


if __name__ == "__main__":
    sys.exit(main())
