"""The bytes of a token in; the merges that build it, in order, out."""

from collections.abc import Iterator
from itertools import pairwise

from minigpt.text.tokenizer import Tokenizer

NumberedMerge = tuple[int, bytes, bytes]  # its number from 1, left, right


class MergeTable:
    """A tokenizer's merges by what they join."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._numbers = {pair: number for number, pair in enumerate(tokenizer.merges(), 1)}

    def __len__(self) -> int:
        return len(self._numbers)

    def building(self, data: bytes) -> list[NumberedMerge]:
        """The merges that make `data` one token, the leftmost of the earliest learned first, as the encoder goes.

        Within a longer word the same ones are applied, as none of those may reach beyond a token of the result. Empty
        for a single byte, and for an added token, which no merges build. Sennrich et al., 2016.
        """
        parts = [data[i : i + 1] for i in range(len(data))]
        steps = list(self._steps(parts))
        return steps if len(parts) == 1 else []

    def _steps(self, parts: list[bytes]) -> Iterator[NumberedMerge]:
        """Joins neighbours in `parts`, one pair at a time, until none can be."""
        while len(parts) > 1:
            numbers = [self._numbers.get(pair) for pair in pairwise(parts)]
            number = min((n for n in numbers if n is not None), default=None)
            if number is None:
                return
            at = numbers.index(number)
            yield number, parts[at], parts[at + 1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
