"""Builds the plan of a run from a corpus and the user's choices: tokenizer, ids, model and training settings."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from minigpt.checkpoint.claim import Scratch
from minigpt.errors import CheckpointError, named
from minigpt.models.device import resolve_precision
from minigpt.models.kinds import equal_shape
from minigpt.settings import PRESETS, Choices, ModelConfig, TrainConfig, require
from minigpt.text.blocks import Progress, counted, unheard
from minigpt.text.corpus import Corpus, Split
from minigpt.text.shards import TokenData, fitting_context, made_before, made_from, reuse_shards, tokenize
from minigpt.text.tokenizer import Tokenizer, check_tokenizer, default_vocab_size, train_tokenizer
from minigpt.training.budget import VOCABULARIES, TextSize, candidates, chosen, given_model, known, paced
from minigpt.training.finetune import Base, further, misfit
from minigpt.training.law import fitted_law
from minigpt.training.records import PlannedRun
from minigpt.training.speed import TextSpeed, measure_rate, measure_speed, measure_text

_COMPRESSED = 300_000  # characters, to see how well they compress
_FEWEST_LEARNED = 1 << 14  # characters that a tokenizer learns from, however short the time
# Of the time, at most:
_TOKENIZING_SHARE = 1 / 3
_LEARNING_SHARE = 1 / 8
_MEASURING_SHARE = 1 / 10  # of the text's tokenization
READING_SHARE = 1 / 40  # once; it is read _READINGS times more
LEAST_TRAINING_SHARE = (
    1 / 4
)  # whatever came before: a run that was begun is trained, even if it then takes longer than asked for
_READINGS = 5  # of the text: to count, to see how it compresses, to learn a tokenizer, to tokenize both parts
BASELINE_RATES = {"lstm": 1e-2, "rnn": 1e-3, "window": 1e-2}  # AdamW's: the best of 1, 3, 10 and 30 thousandths
T = TypeVar("T")
Stages = Callable[[str, int | None], Progress]  # called with the stage that begins and its number of characters


@dataclass(frozen=True)
class Plan:
    """A run, ready to start. `notes` are sentences about what was changed to fit the text."""

    corpus: Corpus
    tokenizer: Tokenizer
    data: TokenData
    model: ModelConfig
    train: TrainConfig
    validation: str  # what the validation loss is measured on
    notes: tuple[str, ...]
    bytes_per_token: float = 0.0  # of the training text
    base: str | None = None  # the model that it begins with, where that is not a new one

    def within(self, seconds: float) -> "Plan":
        """This plan for what is left of a time budget, at least one second."""
        return replace(self, train=replace(self.train, seconds=max(1.0, seconds)))

    @property
    def has_validation(self) -> bool:
        """Whether the validation text has a token to predict."""
        return len(self.data.validation) > 1


def make_plan(
    corpus: Corpus,
    held_out: Corpus | None,
    choices: Choices,
    settings: TrainConfig,
    device: torch.device | str = "cpu",
    scratch: Scratch | None = None,
    progress: Stages = lambda name, total: unheard,
    base: Base | None = None,
    most_learned: int | None = None,
) -> Plan:
    """Tokenize the text and size the model.

    `held_out` is the validation text, unless that is the end of the corpus. With a `base`, its shape and tokenizer are
    kept, and `choices` already suit it. `settings` hold every value that depends neither on the preset nor on the
    device. The ids of a large text go to `scratch`; without one, they are held in memory. A bpe tokenizer learns from
    at most `most_learned` characters. Raises ConfigError, CorpusError and OutputError.
    """
    choices = choices.filled()
    # Contradictions show before the work of reading and tokenizing is done; the vocabulary's size is known later.
    model, batch_size, rate = _new_shape(choices, settings) if base is None else _further_shape(choices, base)
    split = Split(corpus, held_out, choices.val_fraction, choices.part)
    if base is None:
        assert choices.tokenizer is not None
        tokenizer = learn_tokenizer(split, choices.tokenizer, choices.vocab_size, progress, most_learned)
    else:
        tokenizer = base.checkpoint.tokenizer
    data, encoding_notes = encode(tokenizer, split, scratch, progress)
    context = fitting_context(len(data.train), model.context, corpus.called)
    fitting = replace(choices, context=context)
    shape = _shape(fitting, tokenizer.vocab_size) if base is None else further(base.config, fitting)
    require(
        not settings.patience or len(data.validation) > 1,
        f"{named('patience')} needs a validation text: give a higher {named('val_fraction')}, "
        f"or a file with {named('val')}.",
    )
    return Plan(
        corpus=corpus,
        tokenizer=tokenizer,
        data=data,
        model=shape,
        train=replace(
            settings,
            batch_size=batch_size,
            learning_rate=rate,
            optimizer=settings.optimizer if choices.model == "gpt" else "adamw",
            precision=resolve_precision(settings.precision, torch.device(device), shape.width),
        ),
        validation=_validation_name(held_out, choices.val_fraction, data, settings.eval_tokens),
        bytes_per_token=data.train_bytes / len(data.train),
        base=None if base is None else base.name,
        notes=(
            *_sample_notes(split, choices.tokenizer, most_learned),
            *encoding_notes,
            *_notes(model.context, context, data, choices, tokenizer),
            *_misfit(base, split, data),
        ),
    )


def _new_shape(choices: Choices, settings: TrainConfig) -> tuple[ModelConfig, int, float]:
    """The shape of a preset, if nothing else is chosen, with the batch size and learning rate that suit it."""
    assert choices.preset is not None
    require(
        choices.model == "gpt" or settings.positions == "learned",
        f"{named('positions', settings.positions)} is for a GPT: "
        f"{named('model', choices.model)} has no table of positions.",
    )
    preset = PRESETS[choices.preset]
    rate = _first(choices.learning_rate, BASELINE_RATES.get(choices.model, preset.learning_rate))
    return _shape(choices, choices.vocab_size or 1), _first(choices.batch_size, preset.batch_size), rate


def _further_shape(choices: Choices, base: Base) -> tuple[ModelConfig, int, float]:
    """The shape of a given model; the settings that suit it are chosen already."""
    assert choices.batch_size is not None
    assert choices.learning_rate is not None
    return further(base.config, choices), choices.batch_size, choices.learning_rate


@dataclass(frozen=True)
class Chosen:
    """The ways to use a time budget, best first, and the choices and settings of the best.

    `note`: a sentence about the text, or "". `most_learned`: the most characters to learn a tokenizer from.
    """

    runs: list[PlannedRun]
    choices: Choices
    settings: TrainConfig
    note: str = ""
    most_learned: int | None = None


def choose(
    corpus: Corpus,
    held_out: Corpus | None,
    choices: Choices,
    settings: TrainConfig,
    seconds: float,
    device: torch.device,
    kept: Collection[str] = (),
    processes: int = 1,
    base: Base | None = None,
) -> Chosen:
    """Plan a run of `seconds`. Settings named in `kept`, and a given model, stay as they are.

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
    sample, reading = _some_text(whole)
    text_speed = _text_speed(sample, choices, base, seconds * _MEASURING_SHARE)
    split, tokenizing, note = _tokenizable(whole, text_speed, seconds, cuts="part" not in kept)
    most_learned = int(
        min(split.sampled_characters, max(_FEWEST_LEARNED, seconds * _LEARNING_SHARE * text_speed.learned))
    )
    learning = most_learned / text_speed.learned
    choices = replace(choices, part=split.part)
    spent = reading + tokenizing + learning + time.perf_counter() - started
    seconds = max(LEAST_TRAINING_SHARE * seconds, seconds - spent)
    lengths = text_speed.lengths
    if base is None and choices.tokenizer == "char":
        lengths = {}
    elif base is None and choices.vocab_size is not None:  # which the sample may not have filled
        lengths = {choices.vocab_size: next(iter(lengths.values()))}
    size = TextSize(split.train_bytes, split.train_characters, lengths)
    if base is not None:
        recomputes, model = settings.gradient_checkpointing, further(base.config, choices)
        run, kept = given_model(model, choices, size, speed, seconds, recomputes=recomputes), {*kept, "eval_tokens"}
        runs = [replace(run, weight_decay=settings.weight_decay)]
    else:
        left_open = settings.optimizer == "muon" and "weight_decay" not in kept  # as was measured
        decay = None if left_open else settings.weight_decay
        runs = candidates(choices, size, speed, seconds, fitted_law(), decay)
        if choices.model != "gpt":  # when enough is learned, and what decays, was measured of a GPT alone
            runs, kept = [run for run in runs if run.share == 1], {*kept, "weight_decay"}
        runs = known(runs, size, fitted_law())
    best = runs[0]
    train = paced(best, settings, seconds, kept)
    if choices.model != "gpt":
        choices, train = _sized_as(best, choices, train, device, kept)
    elif base is None:
        choices = chosen(best, choices)
    return Chosen(runs, choices, train, note, most_learned)


def _text_speed(sample: list[str], choices: Choices, base: Base | None, seconds: float) -> TextSpeed:
    """The speed for the vocabularies in question; a given tokenizer has just one."""
    sizes = VOCABULARIES if choices.vocab_size is None else (choices.vocab_size,)
    sizes = (default_vocab_size(0),) if choices.tokenizer == "char" else sizes
    return measure_text(sample, sizes, seconds, None if base is None else base.checkpoint.tokenizer)


def _sized_as(
    run: PlannedRun, choices: Choices, settings: TrainConfig, device: torch.device, kept: Collection[str]
) -> tuple[Choices, TrainConfig]:
    """Choices and settings of another kind of model, for the text, time and number of weights of a GPT's `run`."""
    filled = chosen(run, replace(choices, learning_rate=choices.learning_rate or BASELINE_RATES[choices.model]))
    gpt = ModelConfig(
        vocab_size=run.vocab_size, context=run.context, layers=run.layers, heads=run.heads, width=run.width
    )
    shape = _baseline(choices, gpt)
    precision = resolve_precision(settings.precision, device, shape.width)
    trial = replace(settings, precision=precision, optimizer="adamw")
    faster = measure_rate(shape, device, trial, run.batch_size) / run.tokens_per_second
    timed = paced(replace(run, tokens=round(run.tokens * faster)), settings, settings.seconds or 1.0, kept)
    return replace(filled, layers=shape.layers, heads=None, width=shape.width), timed


def _shape(choices: Choices, vocab_size: int) -> ModelConfig:
    """The model that `choices`, filled in, describe. Raises ConfigError."""
    preset = PRESETS[choices.preset or "nano"]
    gpt = ModelConfig(
        vocab_size=vocab_size,
        context=_first(choices.context, preset.context),
        layers=preset.layers,
        heads=preset.heads,
        width=preset.width,
        dropout=choices.dropout or 0.0,
    )
    if choices.model != "gpt":
        return _baseline(choices, gpt)
    own = {name: getattr(choices, name) for name in ("layers", "heads", "width", "window")}
    return replace(gpt, **{name: value for name, value in own.items() if value is not None})


def _baseline(choices: Choices, gpt: ModelConfig) -> ModelConfig:
    """A baseline with as many weights as this GPT, unless layers or a width were given."""
    shape = replace(equal_shape(gpt, choices.model, choices.window), heads=choices.heads or 1)
    if choices.window is not None:
        shape = replace(shape, window=choices.window)
    if choices.layers is None and choices.width is None:
        return shape
    return replace(shape, layers=_first(choices.layers, shape.layers), width=_first(choices.width, gpt.width))


def _tokenizable(split: Split, speed: TextSpeed, seconds: float, *, cuts: bool) -> tuple[Split, float, str]:
    """As much of `split` as can be tokenized in a third of `seconds`, if it may be cut; the seconds that takes; and a
    note about the cut.
    """
    tokenizing = split.characters / speed.encoded
    if tokenizing <= _TOKENIZING_SHARE * seconds or not cuts:
        return split, tokenizing, ""
    part = float(f"{_TOKENIZING_SHARE * seconds / tokenizing:.2g}")
    return replace(split, part=part), part * tokenizing, _part_note(tokenizing, part)


def _some_text(split: Split) -> tuple[list[str], float]:
    """A sample spread over the training text, or all of it; and the seconds that this many readings will take."""
    started = time.perf_counter()
    characters = min(_COMPRESSED, split.train_characters)
    sample = [block.text for block in split.sample(characters)] or [""]
    return sample, _READINGS * (time.perf_counter() - started)


def _part_note(seconds: float, part: float) -> str:
    share = f"{part:.0%}" if part >= 0.01 else f"{part:.2%}"
    length = f"{seconds / 60:,.1f} minutes" if seconds >= 60 else f"{max(1, round(seconds))} seconds"
    return (
        f"to tokenize all of this text would take about {length} here, more than a third of the "
        f"time: {share} of it is used, in pieces from all over it ({named('part', f'{part:g}')})."
    )


def _first(chosen: T | None, otherwise: T) -> T:
    return otherwise if chosen is None else chosen


def learn_tokenizer(
    split: Split, kind: str, vocab_size: int | None, progress: Stages, most_learned: int | None = None
) -> Tokenizer:
    """Train a tokenizer. A char tokenizer knows all training characters; bpe learns from a limited sample."""
    if kind == "char":
        blocks, total = split.train(), split.train_characters
    else:
        total = _learned_characters(split, most_learned)
        blocks = split.sample(total)
        vocab_size = default_vocab_size(split.train_bytes) if vocab_size is None else vocab_size
    report = progress("learning a tokenizer", total)
    return train_tokenizer(kind, (block.text for block in counted(blocks, report)), vocab_size)


def encode(
    tokenizer: Tokenizer, split: Split, scratch: Scratch | None, progress: Stages
) -> tuple[TokenData, list[str]]:
    """The ids, reused from an older run beside this one if it had the same text and tokenizer; and notes about that."""
    report, notes = progress("tokenizing", split.characters), list[str]()
    if scratch is None or not split.is_large:
        return tokenize(tokenizer, split, progress=report), notes
    folder = scratch.new()
    for older in made_before(scratch.older(), made_from(tokenizer, split)):
        try:
            data = reuse_shards(older, folder)
        except CheckpointError as error:
            notes.append(f"{error.message} It is left alone, and the text is tokenized again.")
        else:
            return data, [*notes, f"The same text was tokenized before: the ids are those of {older}."]
    return tokenize(tokenizer, split, folder, report), notes


def _learned_characters(split: Split, most: int | None) -> int:
    return split.sampled_characters if most is None else min(most, split.sampled_characters)


def _sample_notes(split: Split, kind: str | None, most_learned: int | None) -> list[str]:
    sampled, whole = _learned_characters(split, most_learned), split.train_characters
    if kind != "bpe" or sampled == whole:
        return []
    return [f"The tokenizer is learned from about {sampled:,} of the {whole:,} training characters."]


def _misfit(base: Base | None, split: Split, data: TokenData) -> list[str]:
    tokens = len(data.train)
    warning = "" if base is None else misfit(base, data.train_bytes / tokens, split.train_characters / tokens)
    return [warning] if warning else []


def _validation_name(held_out: Corpus | None, fraction: float, data: TokenData, eval_tokens: int) -> str:
    if len(data.validation) < 2:
        return "nothing"
    whole = f"the last {fraction * 100:g} % of the text" if held_out is None else held_out.sources[0].name
    if len(data.validation) - 1 > eval_tokens:
        return f"{whole} ({eval_tokens:,} tokens from all over it)"
    return whole


def as_it_is(run: PlannedRun, plan: Plan) -> PlannedRun:
    """`run` with the vocabulary that the text actually gave, and the number of epochs that follows from it."""
    return replace(
        run,
        vocab_size=plan.tokenizer.vocab_size,
        bytes_per_token=plan.bytes_per_token,
        epochs=run.epochs * plan.bytes_per_token / run.bytes_per_token,
    )


def _notes(asked: int, context: int, data: TokenData, choices: Choices, tokenizer: Tokenizer) -> list[str]:
    notes = []
    if context < asked:
        notes.append(f"The text has only {len(data.train):,} training tokens: context {context} instead of {asked}.")
    if choices.vocab_size is not None and tokenizer.vocab_size < choices.vocab_size:
        notes.append(
            f"The text gives a vocabulary of only {tokenizer.vocab_size:,} tokens, not {choices.vocab_size:,}."
        )
    if len(data.validation) < 2:
        notes.append("There is no validation text: the latest model is kept, not the best.")
    return notes
