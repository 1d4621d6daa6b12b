"""Searches for the best run within a time limit, given the size of the text and the speed of the machine."""

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from minigpt.errors import ConfigError, named
from minigpt.models.device import resolve_precision
from minigpt.settings import PRESETS, Choices, ModelConfig, TrainConfig, require
from minigpt.text.corpus import Corpus, Split
from minigpt.text.learning import check_tokenizer
from minigpt.training.difficulty import simple_bits_per_byte
from minigpt.training.finetune import Base, further
from minigpt.training.law import SMALL_TEXT, Training, difficulty, fitted_law, most_weights
from minigpt.training.pace import (
    CONTEXT_WARMUP,
    MEASURING_SHARE,
    MUON_RATE,
    chosen_by,
    measure_reading,
    paced,
    tokenizable,
)
from minigpt.training.plan import BASELINE_RATES, baseline_shape
from minigpt.training.records import PlannedRun
from minigpt.training.speed import GPU_TOKENS, Speed, heads_of, measure_rate, measure_speed

# What is searched, and its limits, as measured (docs/log.md).
# (layers, width): each about two to three times the work of the one before.
SHAPES = ((2, 64), (3, 96), (4, 128), (4, 192), (5, 256), (6, 384), (8, 512), (10, 640), (12, 768))
DROPOUTS = (0.0, 0.1)  # with 0.2, texts of 0.4 and 0.5 MB ended 5 and 6 % behind
BPE_DROPOUTS = (0.0, 0.1, 0.2)  # with 0.3, code ended 2 % behind
# Parameters of the blocks for a byte of text. With fewer, a model cannot memorise it: 0.2 cost 2 x 64 on 4.2 MB 2.6 %.
_FEWEST_FOR_BPE_DROPOUT = 0.1
DECAYS = (TrainConfig.weight_decay, 0.3, 0.6, 1.0, 1.6)
# (bytes, decay): the highest for texts below this size. 1.0 costs texts of 0.4 MB 6 %, 0.6 one of 1 MB 1 to 2 %.
MOST_DECAY = ((SMALL_TEXT, 1.6), (700_000, 0.6), (math.inf, 0.3))
MOST_DECAY_OF_CHARACTERS = MOST_DECAY_BESIDE_DROPOUT = 0.3
# Of the time, because longer training would overfit.
SHARES = tuple(0.75**n for n in range(28))
MOST_EPOCHS = 5.0  # of a pretrained model, which soon memorises another text
_SMALLEST_VOCABULARY, _LARGEST_VOCABULARY = 1.4, 4.6  # times the root of the bytes
_NARROW, _SMALLEST_OF_NARROW = 128, 1.9  # below this width: with 1.8, a text of 0.4 MB ended 3 to 4 % behind
_FEWEST_STEPS, _FEWEST_MEASURED = 30, 49  # of a given model; of a new one
_FEWEST_STEP_TOKENS = 1024
_MOST_BY_SMALL_STEPS = 2e6  # tokens, with the fewest in a step
_TIE = 0.0075  # of the expected loss, which is no more exact; a smaller model is quicker to train and to sample from
_RECOMPUTING = 0.75  # of the speed, where gradient checkpointing runs blocks forward a second time

_FEWEST_LEARNED = 1 << 14  # characters that a tokenizer learns from, however short the time

_LEARNING_SHARE = 1 / 8  # of the time, at most, to learn a tokenizer
# At least, even if the run then takes longer than asked for:
LEAST_TRAINING_SHARE = 1 / 4
# Of the training's time: the rest is for evaluations, saves and samples.
_STEPS_SHARE = 0.92


@dataclass(frozen=True)
class TextSize:
    """The size of the training text.

    `bytes_per_token` maps a vocabulary size to the compression of a bpe tokenizer of that size. `difficulty`: of its
    validation text, as a factor of what the law expects.
    """

    utf8_bytes: int
    characters: int
    bytes_per_token: Mapping[int, float]
    difficulty: float = 1.0


@dataclass(frozen=True)
class Chosen:
    """The possible runs, best first, and the choices and settings of the best.

    `note`: a sentence about the text, or "". `most_learned`: the most characters to learn a tokenizer from.
    `train_bytes`: the size of the training text.
    """

    runs: list[PlannedRun]
    choices: Choices
    settings: TrainConfig
    note: str
    most_learned: int
    train_bytes: int


def choose(
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
    """Plan a run of `seconds`. Settings named in `explicit`, and a given model, stay as they are.

    Measures the machine for at most 10 seconds, and the text for a tenth of the time. Reading, learning a tokenizer and
    tokenizing are limited to shares of the time that leave at least a quarter of it for training.
    """
    check_tokenizer(choices.tokenizer or "bpe", choices.vocab_size)
    started = time.perf_counter()
    whole = Split(corpus, held_out, choices.val_fraction, choices.part)
    require(
        whole.train_characters > 0,
        f"There is no text of {corpus.called} left to train on: give a lower {named('val_fraction')}.",
    )
    speed = measure_speed(device, settings, min(10.0, seconds / 30), processes)
    text_speed, reading = measure_reading(whole, choices, base, seconds * MEASURING_SHARE)
    split, tokenizing, note = tokenizable(whole, text_speed, seconds, cuts="part" not in explicit)
    in_time = seconds * _LEARNING_SHARE * text_speed.learned
    most_learned = int(min(split.sampled_characters, max(_FEWEST_LEARNED, in_time)))
    spent = reading + tokenizing + most_learned / text_speed.learned + time.perf_counter() - started
    seconds = max(LEAST_TRAINING_SHARE * seconds, seconds - spent)
    choices, lengths = replace(choices, part=split.part), text_speed.lengths
    if choices.vocab_size is not None:  # which the sample may not have filled
        lengths = {choices.vocab_size: next(iter(lengths.values()))}
    size = TextSize(split.train_bytes, split.train_characters, lengths, _difficulty(split))
    search = Search(choices, size, speed, seconds)
    if base is not None:
        run = search.run_of(further(base.config, choices), settings)
        train = paced(run, settings, seconds, {*explicit, "eval_tokens"})
        return Chosen([run], choices, train, note, most_learned, size.utf8_bytes)
    as_measured = settings.optimizer == "muon" and choices.model == "gpt"
    open_ones = {"weight_decay", "bpe_dropout"} - set(explicit) if as_measured else set[str]()
    runs = search.runs(
        weight_decay=None if "weight_decay" in open_ones else settings.weight_decay,
        bpe_dropout=None if "bpe_dropout" in open_ones else settings.bpe_dropout,
    )
    if choices.model == "gpt":
        warmup = settings.context_warmup
        # torch.compile would compile for each length of a window, and patience would end before the loss falls.
        if "context_warmup" not in explicit and not settings.compile and not settings.patience:
            warmup = CONTEXT_WARMUP
        runs = [replace(run, context_warmup=warmup) for run in search.within_law(runs)]
        chosen, train = chosen_by(runs[0], choices), paced(runs[0], settings, seconds, explicit)
        if settings.precision == "auto":
            train = replace(train, precision=speed.precision(runs[0].width))
        if "muon_learning_rate" not in explicit:
            train = replace(train, muon_learning_rate=MUON_RATE)
    else:  # shares of the time and weight decay were measured for GPTs only
        runs = search.within_law([run for run in runs if run.share == 1])
        chosen, train = _sized_as(runs[0], choices, settings, seconds, device, {*explicit, "weight_decay"})
    return Chosen(runs, chosen, train, note, most_learned, size.utf8_bytes)


@dataclass(frozen=True)
class Search:
    """The runs of `seconds` that `choices` leave open for a text, on a machine of this `speed`."""

    choices: Choices
    text: TextSize
    speed: Speed
    seconds: float

    def runs(self, weight_decay: float | None = None, bpe_dropout: float | None = None) -> list[PlannedRun]:
        """All runs, best first. Raises ConfigError if no shape fits. What is not given suits the run."""
        decays = DECAYS if weight_decay is None else (weight_decay,)
        shares = BPE_DROPOUTS if bpe_dropout is None else (bpe_dropout,)
        found = [self._regularized(run, decays, shares) for run in self._candidates()]
        most = most_weights(self.text.utf8_bytes)
        small = [run for run in found if _training(run, self.text).block_parameters <= most] or found
        return _smaller_first([run for run in small if run.steps >= _FEWEST_MEASURED] or found)

    def within_law(self, runs: list[PlannedRun]) -> list[PlannedRun]:
        """The best of `runs`, and those others to which the law applies.

        If the law does not apply to the best one, that one is returned alone, without an expected loss.
        """
        best, *others = runs
        law = fitted_law(self.text.utf8_bytes)
        if not law.has_seen(_training(best, self.text)):
            return [replace(best, expected_bits_per_byte=None)]
        return [best, *(run for run in others if law.has_seen(_training(run, self.text)))]

    def run_of(self, model: ModelConfig, settings: TrainConfig) -> PlannedRun:
        """The run of a given model: how far it gets in the time, or in a share of the time if the text is short.

        No scaling law predicts its loss.
        """
        (length,) = self.text.bytes_per_token.values()
        factor = _RECOMPUTING if settings.gradient_checkpointing else 1.0
        whole = self._in_time(model, "given", length, 1.0, factor)
        share = max(MOST_EPOCHS / max(whole.epochs, MOST_EPOCHS), _FEWEST_STEPS / max(whole.steps, _FEWEST_STEPS))
        run = self._in_time(model, "given", length, share, factor)
        return replace(run, weight_decay=settings.weight_decay, context_warmup=settings.context_warmup)

    def _candidates(self) -> Iterator[PlannedRun]:
        choices, text = self.choices, self.text
        context = choices.context or (PRESETS[choices.preset].context if choices.preset else 128)
        for layers, heads, width in self._shapes():
            for vocabulary in self._vocabularies(width):
                size, kind = (257, "char") if vocabulary is None else (vocabulary, "bpe")
                length = text.utf8_bytes / text.characters if vocabulary is None else text.bytes_per_token[vocabulary]
                model = ModelConfig(vocab_size=size, context=context, layers=layers, heads=heads, width=width)
                for share in SHARES:
                    run = self._in_time(model, kind, length, share)
                    if share < 1 and run.steps < _FEWEST_MEASURED:
                        break
                    yield run

    def _regularized(self, run: PlannedRun, decays: Sequence[float], bpe_dropouts: Sequence[float]) -> PlannedRun:
        """`run` with the kinds of dropout and the weight decay that are best for it."""
        dropouts = DROPOUTS if self.choices.dropout is None else (self.choices.dropout,)
        law, training = fitted_law(self.text.utf8_bytes), _training(run, self.text)
        if training.block_parameters < _FEWEST_FOR_BPE_DROPOUT * self.text.utf8_bytes:
            bpe_dropouts = bpe_dropouts[:1]  # none, unless it was given
        ways = [
            replace(training, dropout=dropout, weight_decay=decay, bpe_dropout=undone)
            for dropout in dropouts
            for decay in decays
            if len(decays) == 1 or decay <= self._most_decay(run.tokenizer, dropout)
            for undone in (bpe_dropouts if run.tokenizer == "bpe" else (0.0,))
        ]
        expected = [law.bits_per_byte(way) for way in ways]
        best = ways[expected.index(min(expected))]
        return replace(
            run,
            dropout=best.dropout,
            weight_decay=best.weight_decay,
            bpe_dropout=best.bpe_dropout,
            expected_bits_per_byte=min(expected) * self.text.difficulty,
        )

    def _most_decay(self, tokenizer: str, dropout: float) -> float:
        """The most weight decay that is tried."""
        if tokenizer == "char":
            return MOST_DECAY_OF_CHARACTERS
        if dropout:
            return MOST_DECAY_BESIDE_DROPOUT
        return next(most for size, most in MOST_DECAY if self.text.utf8_bytes < size)

    def _shapes(self) -> list[tuple[int, int, int]]:
        """The distinct shapes (layers, heads, width)."""
        choices = self.choices
        preset = PRESETS[choices.preset] if choices.preset is not None else None
        widths = [
            (choices.layers or layers, choices.width or width)
            for layers, width in (SHAPES if preset is None else [(preset.layers, preset.width)])
        ]
        shapes = dict.fromkeys((layers, choices.heads or heads_of(width), width) for layers, width in widths)
        fitting = [shape for shape in shapes if shape[2] % shape[1] == 0]
        if not fitting:
            raise ConfigError(
                f"{named('heads', choices.heads)} divides no width that would do: give a {named('width')} too."
            )
        return fitting

    def _vocabularies(self, width: int) -> list[int | None]:
        """The vocabulary sizes to try at this width; None stands for characters."""
        choices, lengths = self.choices, self.text.bytes_per_token
        if choices.tokenizer == "char" or choices.vocab_size is not None:
            return [choices.vocab_size]
        root, smallest, largest = self.text.utf8_bytes**0.5, min(lengths), max(lengths)
        least = min((_SMALLEST_OF_NARROW if width < _NARROW else _SMALLEST_VOCABULARY) * root, largest)
        most = max(_LARGEST_VOCABULARY * root, smallest)
        sizes: list[int | None] = [size for size in lengths if least <= size <= most]
        return sizes if choices.tokenizer == "bpe" else [*sizes, None]

    def _in_time(
        self, model: ModelConfig, tokenizer: str, bytes_per_token: float, share: float, factor: float = 1.0
    ) -> PlannedRun:
        """How far a model gets in a `share` of the time, at this `factor` of the measured speed."""
        context, batch, processes = model.context, self.choices.batch_size, self.speed.processes
        step_tokens = batch * context if batch else _FEWEST_STEP_TOKENS
        while True:  # larger steps may be quicker, of which more fit, for which still larger ones may be better
            at_once = step_tokens if batch else min(step_tokens, processes * GPU_TOKENS)
            tokens_per_second = factor * self.speed.tokens_per_second(model, at_once)
            tokens = max(1, round(share * self.seconds * _STEPS_SHARE * tokens_per_second))
            if batch or tokens_per_step(tokens) <= step_tokens:
                break
            step_tokens = tokens_per_step(tokens)
        batch = batch or processes * max(1, round(at_once / context / processes))
        accumulation = max(1, step_tokens // at_once)
        return PlannedRun(
            tokenizer=tokenizer,
            vocab_size=model.vocab_size,
            bytes_per_token=bytes_per_token,
            layers=model.layers,
            heads=model.heads,
            width=model.width,
            context=context,
            dropout=model.dropout,
            weight_decay=TrainConfig.weight_decay,
            bpe_dropout=0.0,
            batch_size=batch,
            accumulation=accumulation,
            steps=max(1, round(tokens / (batch * accumulation * context))),
            tokens=tokens,
            tokens_per_second=tokens_per_second,
            epochs=tokens * bytes_per_token / self.text.utf8_bytes,
            share=share,
        )


def _smaller_first(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """`runs`, best first, which is one of the next smaller model if the law can hardly tell it from the best of all."""
    ordered = sorted(runs, key=_expected)
    best = ordered[0]
    next_smaller = max((_work(run) for run in ordered if _work(run) < _work(best)), default=0)
    rival = next((run for run in ordered if _work(run) == next_smaller), best)
    if _expected(rival) <= (1 + _TIE) * _expected(best):
        best = rival
    return [best, *(run for run in ordered if run is not best and _expected(run) >= _expected(best))]


def _expected(run: PlannedRun) -> float:
    return run.expected_bits_per_byte or 0.0


def _work(run: PlannedRun) -> int:
    return run.layers * run.width**2


def _difficulty(split: Split) -> float:
    """How much harder the validation text is than the law assumes, as far as simple models can tell."""
    bits = simple_bits_per_byte(split, copies=split.train_bytes >= SMALL_TEXT)
    return 1.0 if bits is None else difficulty(bits, split.train_bytes)


def _training(run: PlannedRun, text: TextSize) -> Training:
    return Training(
        block_parameters=12 * run.layers * run.width**2,
        embedding_parameters=run.vocab_size * run.width,
        tokens=run.tokens,
        bytes_per_token=run.bytes_per_token,
        text_bytes=text.utf8_bytes,
        dropout=run.dropout,
        weight_decay=run.weight_decay,
        bpe_dropout=run.bpe_dropout,
    )


def tokens_per_step(tokens: float) -> int:
    """The tokens of a step: 1,024 for up to two million in all, as measured, and more with the root of their number."""
    step = _FEWEST_STEP_TOKENS
    while step < 65536 and tokens > _MOST_BY_SMALL_STEPS * (step / _FEWEST_STEP_TOKENS) ** 2:
        step *= 2
    return step


def _sized_as(
    run: PlannedRun,
    choices: Choices,
    settings: TrainConfig,
    seconds: float,
    device: torch.device,
    explicit: Collection[str],
) -> tuple[Choices, TrainConfig]:
    """Choices and settings of another kind of model, for the text, time and number of weights of a GPT's `run`."""
    gpt = ModelConfig(
        vocab_size=run.vocab_size, context=run.context, layers=run.layers, heads=run.heads, width=run.width
    )
    shape = baseline_shape(choices, gpt)
    settings = paced(run, settings, seconds, explicit)
    precision = resolve_precision(settings.precision, device, shape.width)
    trial = replace(settings, precision=precision, optimizer="adamw")
    faster = measure_rate(shape, device, trial, run.batch_size) / run.tokens_per_second
    rate = choices.learning_rate or BASELINE_RATES[choices.model]
    choices = chosen_by(run, replace(choices, learning_rate=rate))
    choices = replace(choices, layers=shape.layers, heads=None, width=shape.width)
    return choices, paced(replace(run, tokens=round(run.tokens * faster)), settings, seconds, explicit)
