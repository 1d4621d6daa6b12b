"""How a text is tokenized, with the merges that built each token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from minigpt.settings import Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two adjacent tokens that BPE joins into one. All values are bytes in hexadecimal."""

    number: int  # from 1: the order in which merges were learned, and in which they are applied
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutToken(Token):
    """A token of a text, and the merges that built it."""

    position: int  # from 0
    merges: tuple[Merge, ...]  # in the order applied; none for a single byte


NumberedMerge = tuple[int, bytes, bytes]  # its number from 1, left, right


class MergeTable:
    """A tokenizer's merges, indexed by the pairs that they join."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._numbers = {pair: number for number, pair in enumerate(tokenizer.merges(), 1)}

    def __len__(self) -> int:
        return len(self._numbers)

    def building(self, data: bytes) -> list[NumberedMerge]:
        """The merges that build `data` into one token, in the encoder's order: the earliest learned first, from left to
        right.

        The same merges apply inside a longer word, because none of them can cross the borders of a resulting token.
        Empty for a single byte, and for an added token, which no merges build. Sennrich et al., 2016.
        """
        parts = [data[i : i + 1] for i in range(len(data))]
        steps = list(self._steps(parts))
        return steps if len(parts) == 1 else []

    def _steps(self, parts: list[bytes]) -> Iterator[NumberedMerge]:
        """Merge adjacent `parts`, one pair at a time, until no merge applies."""
        while len(parts) > 1:
            numbers = [self._numbers.get(pair) for pair in pairwise(parts)]
            number = min((n for n in numbers if n is not None), default=None)
            if number is None:
                return
            at = numbers.index(number)
            yield number, parts[at], parts[at + 1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]


def cut(tokenizer: Tokenizer, text: str) -> list[CutToken]:
    """The tokens of `text`, each with its merges."""
    table, tokens = MergeTable(tokenizer), []
    for position, token in enumerate(tokenizer.encode(text)):
        built = table.building(tokenizer.token_bytes(token))
        merges = tuple(Merge(number=number, left=left.hex(), right=right.hex()) for number, left, right in built)
        tokens.append(CutToken.of(tokenizer, token, position=position, merges=merges))
    return tokens


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """The flag that asks how the text is tokenized."""

    cut: bool = setting(False, flag="tokens", help="Show how the text is tokenized, with the merges behind each token.")


def _ask(question: Question) -> Answer:
    tokenizer = question.tokenizer
    sizes = tokenizer.vocab_size, len(tokenizer.merges())
    return Answer(records=cut(tokenizer, question.text), text=question.text, facts={"sizes": sizes})


VIEW = View(
    record=CutToken,
    key="tokens",
    ask=_ask,
    title="How the text is cut",
    settings=Flags,
    asked_by=("cut",),
    runs_model=False,
)
