"""Measures how fast a device trains models of any shape, and how fast a text is tokenized."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch

from minigpt.models.device import has_bfloat16, multiplies_in_bfloat16, resolve_precision
from minigpt.models.kinds import new_model
from minigpt.models.train_library import has_wide_registers
from minigpt.settings import ModelConfig, TrainConfig
from minigpt.text.learning import SMALLEST_VOCABULARY, bytes_per_token, fitting_tokenizers, learned_merges
from minigpt.text.shards import TokenData
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.loop import train

MEASURED = ((2, 64), (4, 128), (5, 256), (8, 512), (12, 768))  # layers, width
GPU_TOKENS = 16384  # of a step that keeps a GPU busy
_SMALL_TOKENS = 1024  # of one that keeps a CPU busy; on a GPU it takes as long as launching its kernels
_STEPS, _SECONDS = 6, 0.2  # at least; the fastest step counts: the first ones warm up, and other programs only slow it
_MOST_STEPS = 200
_NEXT = 4  # each measurement is expected to take this many times as long as the one before
_VOCABULARY = 1024
_PART = 1000  # characters: of these parts a text is learned from and counted in turn
_STRIDES = (64, 16, 4, 1)  # one part of so many: a little of a text, then ever more of it
T = TypeVar("T")


@dataclass(frozen=True)
class Speed:
    """Points (width, flops per second), interpolated by width; beyond the ends, the last value holds.

    `seconds_a_layer`: the shortest time of a step, however few tokens it has. `bfloat16_from`: the width from which
    bfloat16 was the faster precision, where both were measured.
    """

    points: tuple[tuple[int, float], ...]
    processes: int = 1  # that train together, each at this speed
    seconds_a_layer: float = 0.0
    bfloat16_from: float | None = None

    def precision(self, width: int) -> str:
        """The faster precision at a width; auto where only one was measured."""
        if self.bfloat16_from is None:
            return "auto"
        return "bfloat16" if width >= self.bfloat16_from else "float32"

    def tokens_per_second(self, model: ModelConfig, step_tokens: float = math.inf) -> float:
        """The training rate for batches of this many tokens over all processes, without evaluations and saves."""
        widths, speeds = zip(*self.points, strict=True)
        flops = math.exp(np.interp(math.log(model.width), np.log(widths), np.log(speeds)))
        most = self.processes * flops / flops_per_token(model, step_tokens / self.processes)
        least_seconds = model.layers * self.seconds_a_layer
        return min(most, step_tokens / least_seconds) if least_seconds else most


def training_flops_per_token(model: ModelConfig) -> float:
    """Forward and backward, 2 + 4 flops per weight and token (Kaplan et al., 2020), with head and attention."""
    c = model.width
    weights = model.layers * (4 * c * c + 2 * c * model.mlp_width) + model.vocab_size * c
    return 6 * weights + 12 * model.layers * c * model.context


def muon_flops(model: ModelConfig) -> float:
    """The work of Muon's update of a GPT, of which none depends on the tokens of a step: see muon.h.

    For matrices [s, l], s <= l: 3 s² l for the Gram matrix and for the product with it, and 9 s³ in three rounds.
    """
    c, (short, long) = model.width, sorted((model.width, model.mlp_width))
    return model.layers * (4 * 12 * c**3 + 2 * (3 * short**2 * long + 9 * short**3))


def flops_per_token(model: ModelConfig, tokens: float) -> float:
    """Training and, for each token of a step, a share of the update: Muon's products are small and so slower."""
    return training_flops_per_token(model) + 1.5 * muon_flops(model) / tokens


def heads_of(width: int) -> int:
    """Heads of 32 channels below a width of 256, of 64 from there on, or fewer if these do not divide the width."""
    heads = max(1, width // (32 if width < 256 else 64))
    return next(h for h in range(heads, 0, -1) if width % h == 0)


def measure_speed(
    device: torch.device,
    settings: TrainConfig,
    seconds: float,
    processes: int = 1,
    shapes: Sequence[tuple[int, int]] = MEASURED,
) -> Speed:
    """Train random models for a few steps, the smallest first, for as long as `seconds` allow.

    The smallest is trained once beforehand, because torch's first steps are slow. Where torch alone has bfloat16,
    float32 in train.c is tried too, up to the width at which bfloat16 is faster. On a GPU each shape is also trained in
    small steps; shapes that do not fit its memory are extrapolated from smaller ones.
    """
    deadline, points = time.perf_counter() + seconds, list[tuple[int, float]]()
    is_gpu = device.type != "cpu"
    tokens, a_layer = (GPU_TOKENS, math.inf) if is_gpu else (_SMALL_TOKENS, 0.0)
    bfloat16_from = math.inf if settings.precision == "auto" and _is_open(device) else None
    _rate(device, settings, *shapes[0], tokens)
    for layers, width in _in_time(shapes, deadline):
        try:
            rate, config = _rate(device, settings, layers, width, tokens)
            if bfloat16_from == math.inf:
                in_float32, _ = _rate(device, replace(settings, precision="float32"), layers, width, tokens)
                in_bfloat16 = resolve_precision("auto", device, width) == "bfloat16"
                bfloat16_from = width if in_bfloat16 and rate > in_float32 else bfloat16_from
                rate = max(rate, in_float32)
            if is_gpu:
                small_steps, _ = _rate(device, settings, layers, width, _SMALL_TOKENS)
                a_layer = min(a_layer, _SMALL_TOKENS / small_steps / layers)
        except torch.OutOfMemoryError:
            if not points:
                raise
            torch.cuda.empty_cache()
            break
        points.append((width, rate * flops_per_token(config, tokens)))
    return Speed(tuple(points), processes, a_layer, bfloat16_from)


def _is_open(device: torch.device) -> bool:
    """Whether float32 may be faster than bfloat16: train.c has the one, and torch the other."""
    return device.type == "cpu" and has_bfloat16(device) and has_wide_registers() and not multiplies_in_bfloat16()


def _in_time(sizes: Iterable[T], deadline: float) -> Iterator[T]:
    """Sizes of what is measured, ever larger, until the next is not expected to be done by the `deadline`."""
    for size in sizes:
        began = time.perf_counter()
        yield size
        now = time.perf_counter()
        if now + _NEXT * (now - began) > deadline:
            break


@dataclass(frozen=True)
class TextSpeed:
    """How a text is tokenized, and how many characters per second that takes.

    `lengths`: bytes per token by bpe vocabulary size. `learned`: the speed of learning one of the largest of these.
    """

    lengths: Mapping[int, float]
    learned: float
    encoded: float


def measure_text(
    sample: Sequence[str], sizes: Sequence[int], seconds: float, tokenizer: Tokenizer | None = None
) -> TextSpeed:
    """Try text like `sample` with vocabularies of these `sizes`, or with a given `tokenizer`.

    Starts with a little of the sample and takes ever more of it, for as long as `seconds` allow. Every other thousand
    characters are learned from, and the rest are counted.
    """
    parts = [text[i : i + _PART] for text in sample for i in range(0, len(text), _PART)]
    for stride in _in_time(_STRIDES, time.perf_counter() + seconds):
        some = parts[::stride]
        found = _measure_parts(some, sizes) if tokenizer is None else _measure_given(some, tokenizer)
        if len(some) == len(parts):
            break
    return found


def _measure_parts(parts: Sequence[str], sizes: Sequence[int]) -> TextSpeed:
    learned, counted = parts[::2], parts[1::2] or parts
    started = time.perf_counter()
    merges = learned_merges(learned, max(sizes) - SMALLEST_VOCABULARY)
    learning = time.perf_counter() - started
    tokenizers = fitting_tokenizers(merges, sizes)
    started = time.perf_counter()
    lengths = {size: bytes_per_token(tokenizer, counted) for size, tokenizer in tokenizers.items()}
    encoding = (time.perf_counter() - started) / len(tokenizers)
    return TextSpeed(lengths, _characters(learned) / learning, _characters(counted) / encoding)


def _measure_given(parts: Sequence[str], tokenizer: Tokenizer) -> TextSpeed:
    started = time.perf_counter()
    lengths = {tokenizer.vocab_size: bytes_per_token(tokenizer, parts)}
    return TextSpeed(lengths, math.inf, _characters(parts) / (time.perf_counter() - started))


def _characters(parts: Sequence[str]) -> int:
    return max(1, sum(map(len, parts)))


def measure_rate(config: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int) -> float:
    """The tokens per second at which a random model of this shape trains, in batches of this many windows."""
    tokens = batch_size * config.context
    ids = np.random.default_rng(0).integers(config.vocab_size, size=10 * tokens, dtype=np.uint32)
    return rate_on(ids, config, device, settings, batch_size)


def pair_rate(config: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int, side: int) -> float:
    """`measure_rate` on random pairs, of `side` tokens a side, which are the whole context."""
    assert config.end is not None
    ids_PT = np.random.default_rng(0).integers(config.end, size=(20 * batch_size, side), dtype=np.uint32)
    ids_PT[:, -1] = config.end  # each row a source or a target; the last needs no end
    return rate_on(ids_PT.ravel()[:-1], replace(config, context=side), device, settings, batch_size)


def rate_on(
    ids: np.ndarray, config: ModelConfig, device: torch.device, settings: TrainConfig, batch_size: int
) -> float:
    """`measure_rate` on given ids."""
    model = new_model(config).initialise(torch.Generator().manual_seed(0)).to(device)
    trial = replace(settings, steps=_MOST_STEPS, seconds=None, batch_size=batch_size, eval_every=_MOST_STEPS)
    fastest, began = 0.0, time.perf_counter()
    for record in train(model, TokenData(ids, ids[:0]), trial, np.ones(config.vocab_size)):
        if record.step > 1:
            fastest = max(fastest, record.tokens_per_second)
        if record.step >= _STEPS and time.perf_counter() - began > _SECONDS:
            break
    return fastest


def _rate(
    device: torch.device, settings: TrainConfig, layers: int, width: int, tokens: int
) -> tuple[float, ModelConfig]:
    """The tokens per second of a model that trains on this many tokens per step, and the model."""
    context = 128 if tokens == _SMALL_TOKENS else 256
    config = ModelConfig(vocab_size=_VOCABULARY, context=context, layers=layers, heads=heads_of(width), width=width)
    precision = resolve_precision(settings.precision, device, width)
    trial = TrainConfig(optimizer=settings.optimizer, precision=precision)
    return measure_rate(config, device, trial, tokens // context), config
