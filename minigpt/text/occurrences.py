"""Finds the end of a text, or spans of it, in a corpus of ids.

The search is exact and needs no index: it reads the corpus once, a block at a time, in the memory of a block. It
compares tokens: the same letters cut into other tokens do not match.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from minigpt.text.shards import Ids

OUTSIDE = -1  # in place of the tokens before and after the corpus
_APART = -2  # the same for the text of a sample, where it also replaces ends of documents, which match nothing
_BLOCK = 1 << 17  # ids at once: few enough for the processor's cache, enough that most of the time is spent in numpy
_PAIRS = 1 << 18  # compared at once, about: repetitive texts have many
_TABLE_BITS = 20  # of a hash: with a thousand n-grams, one place in a thousand is compared in vain
_FACTOR, _MIXER = 0x85EBCA6B, 0x9E3779B1  # odd, with their bits spread: from MurmurHash3 and the golden ratio

Followers = Counter[int]  # id -> how often it follows; OUTSIDE where the corpus ends


def followers(corpus: Ids, ids: Sequence[int]) -> dict[int, Followers]:
    """The tokens that follow each occurrence of a suffix of `ids`, by the length of the suffix.

    Occurrences may overlap. `ids` contain no end-of-text, so no match spans two documents.
    """
    found: dict[int, Followers] = defaultdict(Counter)
    before = len(ids)
    for block in _blocks(corpus, before=before, after=1):
        places = before + np.flatnonzero(block[before:-1] == ids[-1])
        for depth in range(1, len(ids) + 1):
            if not places.size:
                break
            longer = block[places - depth] == ids[-1 - depth] if depth < len(ids) else np.zeros(len(places), bool)
            _count(found[depth], block[places[~longer] + 1])
            places = places[longer]
    return {depth: counter for depth, counter in found.items() if counter}


def _count(counter: Followers, ids: np.ndarray) -> None:
    values, counts = np.unique(ids, return_counts=True)
    counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def nested(found: Mapping[int, Followers]) -> list[tuple[int, Followers]]:
    """The suffixes, shortest first, each with everything that follows it.

    Of suffixes with identical occurrences, only the longest is included.
    """
    rows, running = list[tuple[int, Followers]](), Counter[int]()
    for depth in sorted(found, reverse=True):
        running.update(found[depth])
        rows.append((depth, Counter(running)))
    return rows[::-1]


def most_frequent(found: Followers, top: int) -> list[int]:
    """The `top` ids that follow most often, ties by id."""
    return sorted(found, key=lambda token: (-found[token], token))[:top]


def verbatim_spans(corpus: Ids, text: Sequence[int], at_least: int, border: int) -> list[tuple[int, int, int]]:
    """(start, tokens, occurrences) of the maximal spans of `text` that occur in the corpus, sorted by start.

    Spans have `at_least` tokens, may overlap, and contain no `border`, which ends documents. Every n-gram of `at_least`
    tokens in the corpus is hashed; if its hash occurs in the text, the tokens are compared.
    """
    if len(text) < at_least:
        return []
    ids = np.append(np.where(np.array(text) == border, _APART, text), _APART)
    hashes = _hashes(ids[:-1], at_least)
    table = np.zeros(1 << _TABLE_BITS, bool)
    table[hashes >> (32 - _TABLE_BITS)] = True
    longest: dict[int, tuple[int, int]] = {}
    for block in _blocks(corpus, before=1, after=len(text)):
        hashed = _hashes(block[1:], at_least)[: len(block) - 1 - len(text)]
        hits = np.flatnonzero(table[hashed >> (32 - _TABLE_BITS)])
        for starts, places in _pairs(hashes, hashed, hits):
            fresh = ids[starts - 1] != block[places]  # a match that could begin earlier is part of a longer one
            for start, tokens, count in _grown(ids, starts[fresh], block[1:], places[fresh]):
                most, times = longest.get(start, (at_least, 0))
                if tokens >= most:
                    longest[start] = (tokens, count + times * (tokens == most))
    return list(_outermost(longest))


def _pairs(hashes: np.ndarray, hashed: np.ndarray, hits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places in the text and in the block with equal hashes, among the `hits`, a limited number of pairs at a time."""
    hits = hits[hashed[hits].argsort(kind="stable")]
    lows, highs = (hashed[hits].searchsorted(hashes, side) for side in ("left", "right"))
    starts = np.flatnonzero(lows < highs)
    counts = (highs - lows)[starts]
    portions = counts.cumsum() // _PAIRS
    for portion in np.unique(portions).tolist():
        mine = portions == portion
        first, count = lows[starts[mine]], counts[mine]
        offsets = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
        yield np.repeat(starts[mine], count), hits[np.repeat(first, count) + offsets]


def _grown(
    ids: np.ndarray, starts: np.ndarray, block: np.ndarray, places: np.ndarray
) -> Iterator[tuple[int, int, int]]:
    """(start, tokens, pairs): how many places match from this start on for exactly this many tokens."""
    tokens, ended = 0, [starts[:0]]
    while starts.size:
        same = ids[starts + tokens] == block[places + tokens]
        ended.append(starts[~same] * len(ids) + tokens)
        starts, places, tokens = starts[same], places[same], tokens + 1
    keys, counts = np.unique(np.concatenate(ended), return_counts=True)
    yield from zip(*(each.tolist() for each in (*divmod(keys, len(ids)), counts)), strict=True)


def _outermost(longest: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Drop spans that are part of another."""
    end = 0
    for start in sorted(longest):
        tokens, count = longest[start]
        if count and start + tokens > end:
            end = start + tokens
            yield start, tokens, count


def _hashes(ids: np.ndarray, n: int) -> np.ndarray:
    """A uint32 [len(ids) - n + 1] for every n-gram: a polynomial in its tokens, by doubling (Karp and Rabin, 1987)."""
    if n == 1:
        return ids.astype(np.uint32) * np.uint32(_MIXER)
    half = n // 2
    part = _hashes(ids, half)
    whole = part[:-half] * np.uint32(pow(_FACTOR, half, 1 << 32))
    whole += part[half:]
    if n % 2:
        whole = whole[:-1] * np.uint32(_FACTOR)
        whole += _hashes(ids[n - 1 :], 1)
    return whole


def _blocks(ids: Ids, *, before: int, after: int) -> Iterator[np.ndarray]:
    """All ids as int32, in blocks, each with `before` and `after` this many of its neighbours, or OUTSIDE."""
    size = max(_BLOCK, 2 * (before + after))
    for start in range(0, len(ids), size):
        stop = min(start + size, len(ids))
        block = np.full(before + stop - start + after, OUTSIDE, np.int32)
        first = max(0, start - before)
        part = ids[first : stop + after]
        block[first - start + before :][: len(part)] = part
        yield block
