"""A corpus in; out what of it trains and what validates, to be gone through as often as needed, never held."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from minigpt.config import require
from minigpt.text.blocks import Block, beyond, cut, up_to, utf8_length
from minigpt.text.corpus import Corpus

LARGE = 1 << 24  # characters: a tokenizer learns from no more, and the ids of a longer text are kept on disk
_SAMPLED = 1 << 16  # characters of each place that a sample is taken from
_GOLDEN = 0x9E3779B1  # 2**32 divided by the golden ratio: its multiples are spread evenly, without a rhythm


@dataclass(frozen=True)
class Split:
    """A corpus whose last `fraction` of all characters validates, or all of which trains where a text is `held_out`.

    A document may be divided. Raises ConfigError for a fraction that is none.
    """

    corpus: Corpus
    held_out: Corpus | None = None
    fraction: float = 0.0

    def __post_init__(self) -> None:
        told = f"--val-fraction must be at least 0 (no validation) and below 1, not {self.fraction}."
        require(0 <= self.fraction < 1, told)

    @property
    def train_characters(self) -> int:
        return self.corpus.characters if self.held_out else int(self.corpus.characters * (1 - self.fraction))

    @cached_property
    def train_bytes(self) -> int:
        """Of UTF-8."""
        if self.train_characters == self.corpus.characters:
            return self.corpus.utf8_bytes
        return sum(utf8_length(block.text) for block in self.train())

    @property
    def characters(self) -> int:
        """All that is to be tokenized."""
        return self.corpus.characters + (self.held_out.characters if self.held_out else 0)

    @property
    def is_large(self) -> bool:
        return self.characters > LARGE

    def train(self) -> Iterator[Block]:
        return up_to(self.corpus.blocks(), self.train_characters)

    def validation(self) -> Iterator[Block]:
        if self.held_out is not None:
            return self.held_out.blocks()
        return beyond(self.corpus.blocks(), self.train_characters)

    @property
    def sampled_characters(self) -> int:
        """What a tokenizer learns from."""
        return min(LARGE, self.train_characters)

    def sample(self, characters: int | None = None) -> Iterator[Block]:
        """What a tokenizer learns from: all that trains, or, of a large text, about so many from all over it."""
        characters = self.sampled_characters if characters is None else characters
        if characters >= self.train_characters:
            yield from self.train()
            return
        share = int(2**32 * characters / self.train_characters)
        parts = (part for block in self.train() for part in cut([block.text], _SAMPLED, 2 * _SAMPLED))
        for number, part in enumerate(parts):
            if number * _GOLDEN % 2**32 < share:
                yield Block(part, begins=True)
