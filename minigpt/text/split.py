"""Splits a corpus into training and validation text, which are streamed as often as needed and never loaded whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from minigpt.settings import check_ranges
from minigpt.text.blocks import Block, beyond, cut, up_to, utf8_length
from minigpt.text.corpus import Corpus

LARGE = 1 << 24  # characters: a tokenizer learns from no more, and the ids of a longer text are kept on disk
_SAMPLED = 1 << 16  # characters of each place that a sample is taken from
_GOLDEN = 0x9E3779B1  # 2**32 divided by the golden ratio: its multiples are spread evenly, without a rhythm


@dataclass(frozen=True)
class Split:
    """A corpus of which the last `fraction` validates, or which all trains if another text is `held_out`.

    A document may be divided. About a `part` of both texts is used, in pieces of 65,536 characters spread over them, at
    least one. Raises ConfigError for an invalid fraction or part.
    """

    corpus: Corpus
    held_out: Corpus | None = None
    fraction: float = 0.0
    part: float = 1.0

    def __post_init__(self) -> None:
        check_ranges({"val_fraction": self.fraction, "part": self.part})

    @property
    def _train_end(self) -> int:
        """The number of characters before the validation text, whether used or not."""
        return self.corpus.characters if self.held_out else int(self.corpus.characters * (1 - self.fraction))

    @property
    def train_characters(self) -> int:
        return self._train_size[0] if self.part < 1 else self._train_end

    @property
    def train_bytes(self) -> int:
        """The size of the training text in UTF-8."""
        whole = self.part == 1 and self._train_end == self.corpus.characters
        return self.corpus.utf8_bytes if whole else self._train_size[1]

    @cached_property
    def _train_size(self) -> tuple[int, int]:
        """Characters and bytes of the training text, counted in one pass."""
        sizes = [(len(block.text), utf8_length(block.text)) for block in self.train()]
        return sum(size[0] for size in sizes), sum(size[1] for size in sizes)

    @property
    def characters(self) -> int:
        """The number of characters to tokenize; approximate if only a part is used."""
        return int(self.part * (self.corpus.characters + (self.held_out.characters if self.held_out else 0)))

    @property
    def is_large(self) -> bool:
        return self.characters > LARGE

    def train(self) -> Iterator[Block]:
        return self._used(up_to(self.corpus.blocks(), self._train_end))

    def validation(self) -> Iterator[Block]:
        if self.held_out is not None:
            return self._used(self.held_out.blocks())
        return self._used(beyond(self.corpus.blocks(), self._train_end))

    def _used(self, blocks: Iterator[Block]) -> Iterator[Block]:
        return blocks if self.part == 1 else _spread(blocks, self.part)

    @property
    def sampled_characters(self) -> int:
        """The number of characters that a tokenizer learns from."""
        return min(LARGE, self.train_characters)

    def sample(self, characters: int | None = None) -> Iterator[Block]:
        """The text that a tokenizer learns from: the training text or, if that is large, a sample spread over it."""
        characters = self.sampled_characters if characters is None else characters
        if characters >= self.train_characters:
            return self.train()
        return _spread(self.train(), characters / self.train_characters)


def _spread(blocks: Iterator[Block], share: float) -> Iterator[Block]:
    """About a `share` of the text, in pieces spread over it, each a document."""
    pieces = (piece for block in blocks for piece in cut([block.text], _SAMPLED, 2 * _SAMPLED))
    for number, piece in enumerate(pieces):
        if number * _GOLDEN % 2**32 < int(2**32 * share):
            yield Block(piece, begins=True)
