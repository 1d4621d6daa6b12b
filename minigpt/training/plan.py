"""A corpus and what the user chose in; everything that a run needs out: tokenizer, ids, model and training settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from minigpt.config import PRESETS, Choices, ModelConfig, TrainConfig, require
from minigpt.models.device import resolve_precision
from minigpt.text.corpus import Corpus
from minigpt.text.shards import TokenData, encode_split, fitting_context, split_documents
from minigpt.text.tokenizer import Tokenizer, train_tokenizer
from minigpt.training.evaluate import EVALUATED_TOKENS

T = TypeVar("T")


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

    @property
    def has_validation(self) -> bool:
        """Whether there is a token to predict in the validation text."""
        return len(self.data.validation) > 1


def make_plan(
    corpus: Corpus,
    held_out: Corpus | None,
    choices: Choices,
    settings: TrainConfig,
    device: torch.device | str = "cpu",
) -> Plan:
    """Tokenize and size. `held_out`: the validation text, where it is not the end of the corpus.

    `settings` come with every value that depends neither on the preset nor on the device. Raises ConfigError and
    CorpusError.
    """
    choices = choices.filled()
    assert choices.preset is not None
    assert choices.tokenizer is not None
    assert choices.dropout is not None
    require(choices.preset in PRESETS, f"--preset must be one of {', '.join(PRESETS)}, not {choices.preset}.")
    preset = PRESETS[choices.preset]
    # Contradictions show before the work of reading and tokenizing is done; the vocabulary's size is known later.
    model = ModelConfig(
        vocab_size=choices.vocab_size or 1,
        context=_first(choices.context, preset.context),
        layers=_first(choices.layers, preset.layers),
        heads=_first(choices.heads, preset.heads),
        width=_first(choices.width, preset.width),
        dropout=choices.dropout,
    )
    train, validation = _split(corpus, held_out, choices.val_fraction)
    tokenizer = train_tokenizer(choices.tokenizer, train, choices.vocab_size)
    data = encode_split(tokenizer, train, validation)
    context = fitting_context(len(data.train), model.context)
    return Plan(
        corpus=corpus,
        tokenizer=tokenizer,
        data=data,
        model=replace(model, vocab_size=tokenizer.vocab_size, context=context),
        train=replace(
            settings,
            batch_size=_first(choices.batch_size, preset.batch_size),
            learning_rate=_first(choices.learning_rate, preset.learning_rate),
            precision=resolve_precision(settings.precision, torch.device(device), model.width),
        ),
        validation=_validation_name(held_out, choices.val_fraction, data),
        bytes_per_token=sum(len(document.encode()) for document in train) / len(data.train),
        notes=tuple(_notes(model.context, context, data, choices, tokenizer)),
    )


def _first(chosen: T | None, otherwise: T) -> T:
    return otherwise if chosen is None else chosen


def _split(corpus: Corpus, held_out: Corpus | None, fraction: float) -> tuple[Sequence[str], Sequence[str]]:
    if held_out is not None:
        return corpus.documents, held_out.documents
    return split_documents(corpus.documents, fraction)


def _validation_name(held_out: Corpus | None, fraction: float, data: TokenData) -> str:
    if len(data.validation) < 2:
        return "nothing"
    whole = f"the last {fraction * 100:g} % of the text" if held_out is None else held_out.sources[0].name
    if len(data.validation) - 1 > EVALUATED_TOKENS:
        return f"{whole} (its first {EVALUATED_TOKENS:,} tokens)"
    return whole


def _notes(asked: int, context: int, data: TokenData, choices: Choices, tokenizer: Tokenizer) -> list[str]:
    notes = []
    if context < asked:
        notes.append(f"The text has only {len(data.train):,} training tokens: context {context} instead of {asked}.")
    if choices.vocab_size is not None and tokenizer.vocab_size < choices.vocab_size:
        notes.append(f"The text gives only {tokenizer.vocab_size:,} tokens, not --vocab-size {choices.vocab_size:,}.")
    if len(data.validation) < 2:
        notes.append("There is no validation text: the latest model is kept, not the best.")
    return notes
