"""Plans the training of a model of pairs within a time budget: how large it can be, and how long it should learn."""

import time
from collections.abc import Collection
from dataclasses import replace

import torch

from minigpt.errors import named
from minigpt.models.device import resolve_precision
from minigpt.models.kinds import equal_shape
from minigpt.settings import Choices, ModelConfig, TrainConfig, require
from minigpt.text.corpus import Corpus
from minigpt.text.learning import check_tokenizer, default_vocab_size
from minigpt.text.pairs import PairSplit
from minigpt.training.finetune import Base
from minigpt.training.optim import WITH_MUON
from minigpt.training.pace import MEASURING_SHARE, adamw_rate, measure_reading, paced, tokenizable
from minigpt.training.plan import BASELINE_RATES, LONGEST, PAIR_BATCH, pair_shape
from minigpt.training.records import PlannedRun
from minigpt.training.search import Chosen
from minigpt.training.speed import pair_rate

SHAPES = ((1, 64), (2, 64), (2, 128), (3, 192), (4, 256), (6, 384))  # layers of each stack, width

# As measured on the built-in pairs and on parts of them (docs/log.md):
MOST_EPOCHS = 60.0  # longer training memorises
_FEWEST_STEPS = 1000  # of a larger model, or a smaller one learns more in the time
_WEIGHTS_A_TOKEN = 6.0  # of the blocks, at most, for each token of the training pairs
# Epochs, from which dropout and weight decay help: at 29 epochs of 2,000 pairs, dropout 0.1 has 16 % less loss than
# none, weight decay 0.6 a further 17 % less than 0.1.
_OFTEN_SEEN, _DROPOUT, _DECAY = 8.0, 0.1, 0.6

_SPEED_SHARE = 1 / 20  # of the time, to measure the speed of all shapes
_STEPS_SHARE = 0.9  # of the training: the rest is for evaluations, saves and samples
_CONTEXT = 64  # while only the speed counts


def choose_pairs(
    corpus: Corpus,
    held_out: Corpus | None,
    choices: Choices,
    settings: TrainConfig,
    seconds: float,
    device: torch.device,
    explicit: Collection[str] = (),
    processes: int = 1,
    base: Base | None = None,
) -> Chosen:
    """Like `choose`, for a model of pairs: the largest of SHAPES that sees enough in the time, and that the text suits.

    No law predicts its loss. The speeds of the shapes are measured, the smallest first.
    """
    check_tokenizer(choices.tokenizer or "bpe", choices.vocab_size)
    started = time.perf_counter()
    whole = PairSplit(corpus, held_out, choices.val_fraction, choices.part)
    require(
        whole.train_characters > 0,
        f"There is no pair of {corpus.called} left to train on: give a lower {named('val_fraction')}.",
    )
    speed, _ = measure_reading(whole, choices, base, seconds * MEASURING_SHARE)
    split, _, note = tokenizable(whole, speed, seconds, cuts="part" not in explicit)
    pairs = sum(1 for _ in split.train()) // 2
    vocabulary = choices.vocab_size or default_vocab_size(split.train_bytes)
    if choices.tokenizer == "char":
        vocabulary, length = 257, split.train_bytes / split.train_characters
    else:
        length = speed.lengths[min(speed.lengths, key=lambda size: abs(size - vocabulary))]
    tokens = 2 + split.train_bytes / length / pairs  # of a pair, with both ends
    side = min(max(2, round(tokens / 2)), choices.context or LONGEST)  # longer pairs are left out
    choices = replace(choices, part=split.part, tokenizer=choices.tokenizer or "bpe")
    left = seconds - (time.perf_counter() - started)
    runs = list[PlannedRun]()
    deadline = time.perf_counter() + _SPEED_SHARE * seconds
    for layers, width in SHAPES:
        shape = _sized(choices, layers, width, vocabulary)
        rate = processes * _measured_rate(shape, settings, device, choices, side)
        run = _run(shape, choices, rate, left, tokens, pairs, length)
        if runs and not _suits(run, shape, pairs * tokens):
            break
        runs.append(run)
        if choices.width is not None or time.perf_counter() > deadline:
            break
    best = runs[-1]
    chosen = replace(
        choices,
        layers=best.layers,
        width=best.width,
        heads=best.heads if choices.model == "transformer" else choices.heads,
        dropout=best.dropout,
        batch_size=best.batch_size,
        learning_rate=choices.learning_rate or BASELINE_RATES.get(choices.model) or adamw_rate(best.width),
    )
    train_settings = paced(best, settings, left, {*explicit, "accumulation"}, window=tokens)
    return Chosen([best], chosen, train_settings, note, split.sampled_characters, split.train_bytes)


def _sized(choices: Choices, layers: int, width: int, vocab_size: int) -> ModelConfig:
    """The model of this size, or of the layers and the width that were given, with as many weights as a Transformer."""
    sized = replace(choices, layers=choices.layers or layers, width=choices.width or width)
    if choices.model == "transformer" or choices.width is not None:
        return pair_shape(sized, vocab_size, _CONTEXT)
    return equal_shape(pair_shape(replace(sized, model="transformer"), vocab_size, _CONTEXT), choices.model)


def _measured_rate(
    shape: ModelConfig, settings: TrainConfig, device: torch.device, choices: Choices, side: int
) -> float:
    """The tokens per second at which a random model of this shape trains on random pairs, of `side` tokens a side."""
    trial = replace(
        settings,
        optimizer=settings.optimizer if shape.model in WITH_MUON else "adamw",
        precision=resolve_precision(settings.precision, device, shape.width),
    )
    return pair_rate(shape, device, trial, choices.batch_size or PAIR_BATCH, side)


def _run(
    shape: ModelConfig, choices: Choices, rate: float, seconds: float, tokens: float, pairs: int, length: float
) -> PlannedRun:
    """How far this model gets in the time, at this `rate`, on so many `pairs` of so many `tokens`."""
    possible = rate * seconds * _STEPS_SHARE
    epochs = possible / (pairs * tokens)
    share = min(1.0, MOST_EPOCHS / epochs)
    is_often = share * epochs > _OFTEN_SEEN
    usual = _DROPOUT if is_often else 0.0
    batch = choices.batch_size or PAIR_BATCH
    return PlannedRun(
        tokenizer=choices.tokenizer or "bpe",
        vocab_size=shape.vocab_size,
        bytes_per_token=length,
        layers=shape.layers,
        heads=shape.heads,
        width=shape.width,
        context=choices.context or _CONTEXT,
        dropout=usual if choices.dropout is None else choices.dropout,
        weight_decay=_DECAY if is_often and shape.model in WITH_MUON else TrainConfig.weight_decay,
        bpe_dropout=0.0,
        batch_size=batch,
        steps=max(1, round(share * possible / (batch * tokens))),
        tokens=round(share * possible),
        tokens_per_second=rate,
        epochs=share * epochs,
        share=share,
    )


def _suits(run: PlannedRun, shape: ModelConfig, text_tokens: float) -> bool:
    """Whether the model takes enough steps in the time, and the text is large enough for it."""
    blocks = shape.parameter_count() - shape.vocab_size * shape.width
    return run.steps >= _FEWEST_STEPS and blocks <= _WEIGHTS_A_TOKEN * text_tokens
