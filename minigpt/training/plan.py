"""Builds the plan of a run from a corpus and the user's choices: tokenizer, ids, model and training settings."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch

from minigpt.checkpoint.claim import Scratch
from minigpt.errors import CheckpointError, CorpusError, named
from minigpt.models.device import resolve_precision
from minigpt.models.kinds import equal_shape
from minigpt.settings import PAIR_MODELS, PRESETS, Choices, ModelConfig, TextFormat, TrainConfig, require
from minigpt.text.blocks import Stages, counted, no_progress
from minigpt.text.corpus import Corpus, Split
from minigpt.text.learning import default_vocab_size, ending_texts, train_tokenizer
from minigpt.text.losses import Losses
from minigpt.text.pairs import PairIds, PairSplit, pairs_within
from minigpt.text.shards import TokenData, made_before, made_from, reuse_shards, tokenize
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.finetune import Base, further, misfit
from minigpt.training.optim import WITH_MUON
from minigpt.training.records import PlannedRun
from minigpt.training.speed import heads_of

# AdamW's: the best of 1, 3, 10 and 30 thousandths
BASELINE_RATES = {"lstm": 1e-2, "rnn": 1e-3, "window": 1e-2, "seq2seq": 1e-2, "seq2seq-attention": 1e-2}
_SHORTEST_CONTEXT = 8


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

    @cached_property
    def sizes(self) -> np.ndarray:
        """[N] tokens of each training pair that fits the context; of a model that reads no pairs, of the text."""
        if not self.model.reads_pairs:
            return np.array([len(self.data.train)])
        sizes: np.ndarray = pairs_within(self.model.end, self.model.context, self.data)[0].sizes
        return sizes

    def within(self, seconds: float) -> "Plan":
        """This plan for what is left of a time budget, at least one second."""
        return replace(self, train=replace(self.train, seconds=max(1.0, seconds)))

    @cached_property
    def has_validation(self) -> bool:
        """Whether the validation text has a token to predict."""
        return _has_validation(self.data, self.model)


def make_plan(
    corpus: Corpus,
    held_out: Corpus | None,
    choices: Choices,
    settings: TrainConfig,
    device: torch.device | str = "cpu",
    scratch: Scratch | None = None,
    progress: Stages = lambda name, total: no_progress,
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
    _check_together(choices, settings)
    # Contradictions show before the work of reading and tokenizing is done; the vocabulary's size is known later.
    asked = _shape(choices, choices.vocab_size or 1, base)
    reads_pairs = choices.model in PAIR_MODELS
    split = (PairSplit if reads_pairs else Split)(corpus, held_out, choices.val_fraction, choices.part)
    if base is None:
        tokenizer, notes = _learn_tokenizer(split, choices, progress, most_learned)
        tokenizer = ending_texts(tokenizer) if reads_pairs else tokenizer
    else:
        tokenizer, notes = base.checkpoint.tokenizer, []
    data, encoding_notes = _encode(tokenizer, split, scratch, progress)
    notes = [*notes, *_lost(tokenizer, split)]
    if reads_pairs:
        context, found = pair_context(data, tokenizer.end_of_text, choices.context, corpus.called)
        notes += found
    else:
        context = fitting_context(len(data.train), asked.context, corpus.called)
    shape = _shape(replace(choices, context=context), tokenizer.vocab_size, base)
    require(
        not settings.patience or _has_validation(data, shape),
        f"{named('patience')} needs a validation text: give a higher {named('val_fraction')}, "
        f"or a file with {named('val')}.",
    )
    return Plan(
        corpus=corpus,
        tokenizer=tokenizer,
        data=data,
        model=shape,
        train=_completed(settings, choices, torch.device(device), shape.width),
        validation=_validation_name(held_out, choices.val_fraction, data, settings.eval_tokens, shape),
        bytes_per_token=data.train_bytes / len(data.train),
        base=None if base is None else base.name,
        notes=(*notes, *encoding_notes, *_fitting_notes(asked, shape, choices, split, data, base)),
    )


def _check_together(choices: Choices, settings: TrainConfig) -> None:
    """Raise ConfigError for settings that do not suit the model or the tokenizer."""
    require(
        choices.model == "gpt" or settings.positions == "learned",
        f"{named('positions', settings.positions)} is for a GPT: "
        f"{named('model', choices.model)} has no table of positions.",
    )
    require(
        not settings.bpe_dropout or choices.tokenizer != "char",
        f"{named('bpe_dropout')} goes with {named('tokenizer', 'bpe')}: characters are not merged.",
    )


def _has_validation(data: TokenData, shape: ModelConfig) -> bool:
    if shape.reads_pairs:
        return len(pairs_within(shape.end, shape.context, data)[1]) > 0
    return len(data.validation) > 1


def _shape(choices: Choices, vocab_size: int, base: Base | None) -> ModelConfig:
    """The model that `choices`, filled in, describe. Raises ConfigError."""
    if base is not None:
        return further(base.config, choices)
    preset = PRESETS[choices.preset or "nano"]
    gpt = ModelConfig(
        vocab_size=vocab_size,
        context=choices.context or preset.context,
        layers=preset.layers,
        heads=preset.heads,
        width=preset.width,
        dropout=choices.dropout or 0.0,
    )
    if choices.model in PAIR_MODELS:
        return pair_shape(choices, vocab_size, gpt.context)
    if choices.model != "gpt":
        return baseline_shape(choices, gpt)
    explicit = {name: getattr(choices, name) for name in ("layers", "heads", "width", "window")}
    return replace(gpt, **{name: value for name, value in explicit.items() if value is not None})


def baseline_shape(choices: Choices, gpt: ModelConfig) -> ModelConfig:
    """A baseline with as many weights as this GPT, unless layers or a width were given."""
    shape = replace(equal_shape(gpt, choices.model, choices.window), heads=choices.heads or 1)
    if choices.window is not None:
        shape = replace(shape, window=choices.window)
    if choices.layers is None and choices.width is None:
        return shape
    return replace(shape, layers=choices.layers or shape.layers, width=choices.width or gpt.width)


def _completed(settings: TrainConfig, choices: Choices, device: torch.device, width: int) -> TrainConfig:
    """`settings` with what depends on the preset, the kind of model and the device."""
    preset = PRESETS[choices.preset or "nano"]
    batch_size = PAIR_BATCH if choices.model in PAIR_MODELS else preset.batch_size
    return replace(
        settings,
        batch_size=choices.batch_size or batch_size,
        learning_rate=choices.learning_rate or BASELINE_RATES.get(choices.model, preset.learning_rate),
        optimizer=settings.optimizer if choices.model in WITH_MUON else "adamw",
        precision=resolve_precision(settings.precision, device, width),
    )


def _learn_tokenizer(
    split: Split, choices: Choices, progress: Stages, most_learned: int | None
) -> tuple[Tokenizer, list[str]]:
    """A tokenizer, and notes about it. A char tokenizer knows all training characters; bpe learns from a sample."""
    assert choices.tokenizer is not None
    whole, vocab_size = split.train_characters, choices.vocab_size
    if choices.tokenizer == "char":
        blocks, learned = split.train(), whole
    else:
        learned = min(split.sampled_characters, most_learned or split.sampled_characters)
        blocks = split.sample(learned)
        vocab_size = vocab_size or default_vocab_size(split.train_bytes)
    report = progress("learning a tokenizer", learned)
    tokenizer = train_tokenizer(choices.tokenizer, (block.text for block in counted(blocks, report)), vocab_size)
    note = f"The tokenizer is learned from about {learned:,} of the {whole:,} training characters."
    return tokenizer, [note] if learned < whole else []


def _encode(
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


def _lost(tokenizer: Tokenizer, split: Split) -> Iterator[str]:
    """A note about the characters for which a tokenizer of others has no token."""
    losses = Losses(tokenizer)
    for block in () if tokenizer.is_complete else chain(split.train(), split.validation()):
        losses.add(block.text)
    if losses.note:
        yield losses.note


def _validation_name(
    held_out: Corpus | None, fraction: float, data: TokenData, eval_tokens: int, shape: ModelConfig
) -> str:
    if not _has_validation(data, shape):
        return "nothing"
    if shape.reads_pairs:
        return f"{fraction * 100:g} % of the pairs" if held_out is None else held_out.sources[0].name
    whole = f"the last {fraction * 100:g} % of the text" if held_out is None else held_out.sources[0].name
    if len(data.validation) - 1 > eval_tokens:
        return f"{whole} ({eval_tokens:,} tokens from all over it)"
    return whole


def _fitting_notes(
    asked: ModelConfig, shape: ModelConfig, choices: Choices, split: Split, data: TokenData, base: Base | None
) -> Iterator[str]:
    tokens = len(data.train)
    if shape.context < asked.context and not shape.reads_pairs:
        yield f"The text has only {tokens:,} training tokens: context {shape.context} instead of {asked.context}."
    if choices.vocab_size is not None and shape.vocab_size < choices.vocab_size:
        yield f"The text gives a vocabulary of only {shape.vocab_size:,} tokens, not {choices.vocab_size:,}."
    if not _has_validation(data, shape):
        yield "There is no validation text: the latest model is kept, not the best."
    if base is not None:
        yield from misfit(base, data.train_bytes / tokens, split.train_characters / tokens)


def fitting_context(tokens: int, context: int, text: str = "The text") -> int:
    """`context`, or the largest power of two that leaves two windows in a text of `tokens` training tokens.

    Raises CorpusError, which calls the text `text`, if even the shortest sensible context does not fit.
    """
    if tokens > context:
        return context
    if tokens < 2 * _SHORTEST_CONTEXT:
        raise CorpusError(
            f"{text} is too short to learn from: {tokens:,} training token{'s' * (tokens != 1)}, and at least "
            f"{2 * _SHORTEST_CONTEXT} are needed (two windows of {_SHORTEST_CONTEXT}). Give it a longer text."
        )
    return int(2 ** ((tokens // 2).bit_length() - 1))


def as_tokenized(run: PlannedRun, plan: Plan) -> PlannedRun:
    """`run` with the vocabulary and the context that the text actually gave, and the epochs that follow from them."""
    in_windows = run.share < 1 and not plan.model.reads_pairs  # whose number counts, not the time that they take
    return replace(
        run,
        vocab_size=plan.tokenizer.vocab_size,
        bytes_per_token=plan.bytes_per_token,
        context=plan.model.context,
        epochs=run.epochs
        * (plan.bytes_per_token / run.bytes_per_token)
        * (plan.model.context / run.context if in_windows else 1),
    )


# --- models of pairs

PAIR_BATCH = 64
_USUAL = (2, 128)  # layers of each stack, width
_SHORTEST, LONGEST = 64, 256  # contexts, unless one is given: positions cost nothing

# What does nothing, and why.
_NOT_FOR_PAIRS = {
    "preset": f"a model of pairs has its size by {named('layers')} and {named('width')}",
    "window": f"it goes with {named('model', 'window')}",
    "bpe_dropout": "it undoes merges in windows of a text, and pairs are not read in windows",
    "context_warmup": "it shortens windows of a text, and pairs are not read in windows",
    "gradient_checkpointing": "it recomputes the blocks of a GPT",
    "compile": "every batch of pairs has another shape, for which it would compile anew",
    "field": f"the two fields of a pair are {named('source_field')} and {named('target_field')}",
    "split_on": "a file of pairs has one a line",
}


_HARMLESS = {"field": TextFormat.field}  # what a command that repeats a run has


def check_pairs(model: str, given: Mapping[str, Any]) -> None:
    """Raise ConfigError if a setting among those `given` explicitly does nothing for a model of pairs."""
    for name, reason in _NOT_FOR_PAIRS.items():
        is_given = given.get(name) not in (None, False, 0, _HARMLESS.get(name))
        require(not is_given, f"{named(name)} does not go with {named('model', model)}: {reason}.")


def pair_shape(choices: Choices, vocab_size: int, context: int) -> ModelConfig:
    """The model that `choices` describe; one of LSTMs has as many weights as the Transformer, unless its size is given.

    End-of-text is the last token of the vocabulary.
    """
    layers, width = choices.layers or _USUAL[0], choices.width or _USUAL[1]
    shape = ModelConfig(
        model="transformer",
        vocab_size=vocab_size,
        context=context,
        layers=layers,
        heads=choices.heads or heads_of(width),
        width=width,
        dropout=choices.dropout or 0.0,
        activation="relu",
        end=vocab_size - 1,
    )
    if choices.model == "transformer":
        return shape
    heads = choices.heads or 1
    if choices.layers is None and choices.width is None:
        return replace(equal_shape(shape, choices.model), heads=heads)
    return replace(shape, model=choices.model, heads=heads, activation=ModelConfig.activation)


def pair_context(data: TokenData, end: int, given: int | None, called: str) -> tuple[int, list[str]]:
    """The context, which is `given` or fits all pairs up to a length; and a note about those that are longer.

    Raises CorpusError if no pair is left to train on.
    """
    train, validation = (PairIds.of(ids, end) for ids in (data.train, data.validation))
    lengths = np.concatenate([train.longest, validation.longest])
    longest, usual = int(lengths.max(initial=1)), int(lengths[lengths <= LONGEST].max(initial=1))
    context = given or max(_SHORTEST, 8 * math.ceil(usual / 8))
    too_long = [int((pairs.longest > context).sum()) for pairs in (train, validation)]
    if too_long[0] == len(train):
        raise CorpusError(
            f"{called} has no pair to train on of which both sides have at most {context} tokens "
            f"(the longest has {longest:,}).\nGive a higher {named('context')}, or shorter texts."
        )
    if not any(too_long):
        return context, []
    left_out, every = sum(too_long), len(train) + len(validation)
    verbs = ("has", "is") if left_out == 1 else ("have", "are")
    return context, [
        f"{left_out:,} of {every:,} pairs {verbs[0]} more than {context} tokens on a side and {verbs[1]} left out; "
        f"the longest has {longest:,} ({named('context')})."
    ]
