"""Documents in; rows of token ids out, split into training and validation, and cut into batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minigpt.config import require
from minigpt.errors import CorpusError
from minigpt.text.tokenizer import Tokenizer

SHORTEST_CONTEXT = 8


@dataclass(frozen=True)
class TokenData:
    """A corpus as ids, [N] uint16 or uint32. `validation` has fewer than two tokens when there is none."""

    train: np.ndarray
    validation: np.ndarray


def split_documents(documents: Sequence[str], fraction: float) -> tuple[list[str], list[str]]:
    """(training, validation): the last `fraction` of all characters is for validation; a document may be divided."""
    require(0 <= fraction < 1, f"--val-fraction must be at least 0 (no validation) and below 1, not {fraction}.")
    left = int(sum(map(len, documents)) * (1 - fraction))  # characters still to go to training
    train, validation = [], []
    for document in documents:
        train.append(document[:left])
        validation.append(document[left:])
        left = max(0, left - len(document))
    return [d for d in train if d], [d for d in validation if d]


def encode_split(tokenizer: Tokenizer, train: Sequence[str], validation: Sequence[str]) -> TokenData:
    """Both parts as ids, end-of-text between documents."""
    return TokenData(tokenizer.encode_documents(train), tokenizer.encode_documents(validation))


def fitting_context(tokens: int, context: int) -> int:
    """`context`, or the largest power of two that leaves at least two windows in a text of `tokens` training tokens.

    Raises CorpusError when even the shortest sensible context does not fit.
    """
    if tokens > context:
        return context
    if tokens < 2 * SHORTEST_CONTEXT:
        raise CorpusError(
            f"The text is too short to learn from: {tokens:,} training tokens, and at least {2 * SHORTEST_CONTEXT} are "
            f"needed (two windows of {SHORTEST_CONTEXT}). Give it a longer text."
        )
    return int(2 ** ((tokens // 2).bit_length() - 1))


def random_batch(ids: np.ndarray, batch: int, context: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows at random places: inputs [B, T] and, one token further on, targets [B, T], int64 on the CPU."""
    starts = torch.randint(len(ids) - context, (batch, 1), generator=generator).numpy()
    windows = torch.from_numpy(ids[starts + np.arange(context + 1)].astype(np.int64))  # [B, T + 1]
    return windows[:, :-1], windows[:, 1:]
