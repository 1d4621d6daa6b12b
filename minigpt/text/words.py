"""The words of a text, and which of its tokens each consists of."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, groupby


def joined_words(byte_counts: Sequence[int], start: int, text: str, *, alone: int = 0) -> list[range]:
    """The tokens from `start` on, grouped into words of `text`: letters and digits, or other signs, with a space before
    them.

    `byte_counts`: how many bytes of `text` each token stands for; the first `alone` stand before it, each by itself.
    Ranges count from `start`. A token that spans two words belongs to the first of which it has a letter.
    """
    parts = re.findall(r"\s*\w+|\s*[^\w\s]+|\s+", text)
    numbers = word_numbers(byte_counts, text, list(accumulate(len(part.encode()) for part in parts)))
    numbers[:alone] = range(-alone, 0)
    words = (list(word) for _, word in groupby(range(len(numbers) - start), key=lambda index: numbers[start + index]))
    return [range(word[0], word[-1] + 1) for word in words]


def word_numbers(byte_counts: Sequence[int], text: str, ends: Sequence[int]) -> list[int]:
    """The number from 0 of the word to which each token of `text` belongs.

    `ends`: the byte of `text` at which each word ends; a token that stands for nothing comes after all words. White
    space belongs to the word behind it, a token that spans two words to the first.
    """
    numbers, at, whole = list[int](), 0, text.encode()
    for count in byte_counts:
        data = whole[at : at + count]
        spaces = len(data) - len(data.lstrip())
        numbers.append(bisect_right(ends, at + min(spaces, max(0, count - 1))))
        at += count
    return numbers
