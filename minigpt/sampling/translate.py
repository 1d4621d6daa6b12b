"""Greedy translations by a model of pairs, many at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minigpt.models.encoder_decoder import EncoderDecoder

_AT_ONCE = 256  # sources


def greedy(model: "EncoderDecoder", sources: Sequence[np.ndarray], most: int) -> list[list[int]]:
    """For each source, whose ids include its END, the ids of its translation without END, at most `most`.

    Each token is the model's first choice.
    """
    from minigpt.models.pair_decoding import greedy_batch

    order = sorted(range(len(sources)), key=lambda number: len(sources[number]))  # so that little is padding
    found: dict[int, list[int]] = {}
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        found.update(zip(some, greedy_batch(model, [sources[number] for number in some], most), strict=True))
    return [found[number] for number in range(len(sources))]
