"""Which source word each target word comes from: as attention weights suggest it, and how often that is wrong.

A link is (source word, target word), numbered from 0.
"""

from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

Links = AbstractSet[tuple[int, int]]
Spans = Sequence[tuple[int, int]]


def alignment_error_rate(links: AbstractSet[Hashable], truth: AbstractSet[Hashable]) -> float:
    """1 - 2 |A ∩ S| / (|A| + |S|) of the links A found and S true: 0 if they are the same, 1 if none is right.

    Och and Ney, "A Systematic Comparison of Various Statistical Alignment Models", 2003, where all links are sure.
    Links of several pairs can be pooled, as (pair, source word, target word).
    """
    return 1 - 2 * len(links & truth) / (len(links) + len(truth)) if links or truth else 0.0


def tokens_of_words(text: str, spans: Spans, token_bytes: Sequence[int]) -> list[list[int]]:
    """For each word of `text`, with its span in characters, the numbers of the tokens that have a byte in it.

    `token_bytes`: the lengths of the text's tokens.
    """
    ends = np.cumsum(token_bytes)
    starts = ends - token_bytes
    words = []
    for first, last in spans:
        begin, end = (len(text[:at].encode()) for at in (first, last))
        words.append(np.flatnonzero((starts < end) & (ends > begin)).tolist())
    return words


def links_of(
    weights_TS: np.ndarray, source_words: Sequence[Sequence[int]], target_words: Sequence[Sequence[int]]
) -> set[tuple[int, int]]:
    """Each target word with the source word that it attends to most.

    A word's weight is the sum over its tokens; a target word's is the mean over its own.
    """
    by_word = np.stack([weights_TS[:, list(tokens)].sum(axis=1) for tokens in source_words])  # [words, T]
    return {(int(by_word[:, list(tokens)].mean(axis=1).argmax()), word) for word, tokens in enumerate(target_words)}


def diagonal(source_words: int, target_words: int) -> set[tuple[int, int]]:
    """Each target word with the source word at the same part of its text: what needs no model."""
    return {(word * source_words // target_words, word) for word in range(target_words)}


def pooled(links: Iterable[Links]) -> set[tuple[int, int, int]]:
    """The links of several pairs, with the number of the pair."""
    return {(pair, *link) for pair, some in enumerate(links) for link in some}
