"""BPE-dropout for ids: merges are undone at random, so that a model in training sees a text cut in many ways."""

import json
from collections.abc import Callable

import numpy as np

from minigpt.text.tokenizer import Tokenizer


def merge_parents(tokenizer: Tokenizer) -> np.ndarray:
    """The two tokens that each token was merged from, [V, 2] int64; -1 for a token that no merge makes."""
    model = json.loads(tokenizer.to_json())["model"]
    places, parents = model["vocab"], np.full((tokenizer.vocab_size, 2), -1, np.int64)
    for left, right in model.get("merges", ()):
        merged = places.get(left + right)
        # Of two merges that make the same token, the one learned first is the usual one.
        if merged is not None and left and right and parents[merged, 0] < 0:
            parents[merged] = places[left], places[right]
    return parents


def with_merges_undone(
    ids_BT: np.ndarray, parents: np.ndarray, share: float, random: Callable[[int], np.ndarray]
) -> np.ndarray:
    """`ids_BT` with each merge undone with probability `share`, the last one of a token first; as many ids a row.

    What no longer fits into its row is cut off. `random` gives so many numbers from 0 to 1. Provilkov et al.,
    "BPE-Dropout", 2020, skip merges while a text is encoded; this needs no text, and never merges otherwise.
    """
    rows, length = ids_BT.shape
    ids, row_of, is_new = ids_BT.ravel(), np.repeat(np.arange(rows), length), np.ones(ids_BT.size, bool)
    while True:
        undone = is_new & (parents[ids, 0] >= 0)
        undone[undone] = random(int(undone.sum())) < share
        if not undone.any():
            break
        counts = 1 + undone
        rights = np.cumsum(counts)[undone] - 1
        pairs = parents[ids[undone]]
        ids, row_of, is_new = (np.repeat(each, counts) for each in (ids, row_of, undone))
        ids[rights - 1], ids[rights] = pairs.T
    starts = np.searchsorted(row_of, np.arange(rows))
    kept: np.ndarray = ids[starts[:, None] + np.arange(length)]
    return kept
