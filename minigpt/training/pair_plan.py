"""The plan of a model of pairs: its shape and its context, and for a time budget what fits it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minigpt.errors import CorpusError, named
from minigpt.models.kinds import equal_shape
from minigpt.settings import Choices, ModelConfig, TextFormat, require
from minigpt.text.pairs import PairIds
from minigpt.text.shards import TokenData
from minigpt.training.speed import heads_of

PAIR_BATCH = 64
SHAPES = ((1, 64), (2, 64), (2, 128), (3, 192), (4, 256), (6, 384))  # layers of each stack, width
_USUAL = (2, 128)
_SHORTEST, _LONGEST = 64, 256  # contexts, unless one is given: positions cost nothing

# What does nothing, and why.
_NOT_FOR_PAIRS = {
    "preset": f"a model of pairs has its size by {named('layers')} and {named('width')}",
    "window": f"it goes with {named('model', 'window')}",
    "bpe_dropout": "it undoes merges in windows of a text, and pairs are not read in windows",
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
    longest, usual = int(lengths.max(initial=1)), int(lengths[lengths <= _LONGEST].max(initial=1))
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
