"""A scaling law: the bits per byte to expect of a training by its size, up to a factor that depends on the text.

A scaling law of the kind of Hoffmann et al., "Training Compute-Optimal Large Language Models", 2022, with repeated text
worth ever less (Muennighoff et al., "Scaling Data-Constrained Language Models", 2023) and a term for overfitting.
`scripts/fit law` fits it to measurements; law.json holds what came out.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from minigpt.settings import TrainConfig
from minigpt.training.difficulty import LEARNED

# What was measured (scripts/measurements.jsonl): training tokens; parameters of the blocks, and for each byte of text
# (but for a small model, which was trained on any text); bytes of text; times that it was seen; bytes of a token.
FEWEST_TOKENS, MOST_TOKENS = 50_176, 10_768_384
MOST_WEIGHTS, MOST_WEIGHTS_PER_BYTE, SMALL_MODEL = 10_616_832, 45, 786_432
SHORTEST_TEXT, MOST_EPOCHS, LONGEST_TOKENS = 4_999, 184.4, 6.17
SMALL_TEXT = 67_000  # bytes; below, the law has other coefficients, as one set did not fit texts of all sizes
MOST_DROPOUT, MOST_DECAY, MOST_BPE_DROPOUT = 0.2, 1.6, 0.3


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the law needs to know about a training."""

    block_parameters: int  # 12 L C²
    embedding_parameters: int  # V C
    tokens: float  # seen in training
    bytes_per_token: float  # 1 for characters of ASCII
    text_bytes: int  # of the training text
    dropout: float = 0.0
    weight_decay: float = TrainConfig.weight_decay  # of Muon and AdamW
    bpe_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Law:
    """bits = floor + model + data + overfit, where

    model   = model_scale (N / 10⁶) ^ -model_power b ^ -model_bytes            N: parameters of the blocks
                                                                               b: bytes of a token
    data    = data_scale (D / 10⁶) ^ -data_power b ^ data_bytes                D: bytes seen, repeated ones worth ever
                                                                               less, U r (1 - exp(-epochs / r));
                                                                               r: repeats
    overfit = overfit_scale (P b / U) ^ overfit_size epochs ^ overfit_epochs   U: bytes of the text
                                                                               P: N and the parameters of the embeddings

    A tokenizer that cuts longer tokens makes the model's work easier. Dropout reduces overfitting by
    exp(-overfit_dropout p), as do BPE-dropout, and weight decay above that which TrainConfig begins with. But both
    kinds of dropout make a model learn less from as many bytes, by 1 + data_dropout p, and weight decay makes it
    smaller, by 1 + model_decay w in what it cannot express.
    """

    floor: float
    model_scale: float
    model_power: float
    model_bytes: float
    model_decay: float
    data_dropout: float
    data_bpe: float
    data_scale: float
    data_power: float
    data_bytes: float
    repeats: float
    overfit_scale: float
    overfit_size: float
    overfit_epochs: float
    overfit_dropout: float
    overfit_decay: float
    overfit_bpe: float

    def has_seen(self, training: Training) -> bool:
        """Whether the law applies: trainings like this one were measured.

        Trainings that are too short, too often repeated, too large for their text or too strongly regularized are
        excluded. A law is meant to extrapolate, so up to ten times the largest model and the longest training measured
        are accepted.
        """
        t = training
        return (
            FEWEST_TOKENS <= t.tokens <= 10 * MOST_TOKENS
            and t.block_parameters <= 10 * MOST_WEIGHTS
            and t.text_bytes >= SHORTEST_TEXT
            and t.block_parameters <= most_weights(t.text_bytes)
            and t.tokens * t.bytes_per_token <= MOST_EPOCHS * t.text_bytes
            and t.bytes_per_token <= LONGEST_TOKENS
            and t.dropout <= MOST_DROPOUT
            and t.weight_decay <= MOST_DECAY
            and t.bpe_dropout <= MOST_BPE_DROPOUT
        )

    def bits_per_byte(self, training: Training) -> float:
        """The expected bits per byte on held-out text, but for a factor that depends on the text."""
        t = training
        epochs = t.tokens * t.bytes_per_token / t.text_bytes
        worth = t.text_bytes * self.repeats * (1 - math.exp(-epochs / self.repeats))
        model = self.model_scale * (t.block_parameters / 1e6) ** -self.model_power
        decay = t.weight_decay - TrainConfig.weight_decay
        model *= t.bytes_per_token**-self.model_bytes * (1 + self.model_decay * decay)
        data = self.data_scale * (worth / 1e6) ** -self.data_power * t.bytes_per_token**self.data_bytes
        data *= (1 + self.data_dropout * t.dropout) * (1 + self.data_bpe * t.bpe_dropout)
        tokens = t.text_bytes / t.bytes_per_token
        parameters = t.block_parameters + t.embedding_parameters
        overfit = self.overfit_scale * (parameters / tokens) ** self.overfit_size * epochs**self.overfit_epochs
        overfit *= math.exp(
            -self.overfit_dropout * t.dropout - self.overfit_decay * decay - self.overfit_bpe * t.bpe_dropout
        )
        return self.floor + model + data + overfit


def most_weights(text_bytes: int) -> float:
    """The parameters of the largest blocks that are trained on so short a text."""
    return max(SMALL_MODEL, MOST_WEIGHTS_PER_BYTE * text_bytes)


@cache
def fitted_law(text_bytes: int) -> Law:
    """The law for a text of this size, with the coefficients in law.json."""
    return Law(**_fitted(text_bytes)["law"])


def difficulty(simple_bits: float, text_bytes: int) -> float:
    """What the law's bits are multiplied by for a text, given those of simple models of it (difficulty.py).

    Simple models of less text make the text look harder than it is for a GPT that is trained on as little.
    """
    found = _fitted(text_bytes)["difficulty"]
    factor: float = found["share"] * simple_bits * (min(text_bytes, LEARNED) / LEARNED) ** found["power"]
    return factor


def _fitted(text_bytes: int) -> dict[str, Any]:
    """What scripts/fit law found for texts of this size."""
    found: dict[str, Any] = _all_fitted()["small" if text_bytes < SMALL_TEXT else "large"]
    return found


@cache
def _all_fitted() -> dict[str, Any]:
    fitted: dict[str, Any] = json.loads(files(__package__).joinpath("law.json").read_text())
    return fitted
