"""How a text is tokenized, with the merges that built each token."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from minigpt.settings import Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def cut(tokenizer: Tokenizer, text: str) -> list[CutToken]:
    """The tokens of `text`, each with its merges."""
    numbers, tokens = merge_numbers(tokenizer), []
    for position, token in enumerate(tokenizer.encode_prompt(text).ids if text else ()):
        merges = tuple(building_merges(numbers, tokenizer.token_bytes(token)))
        tokens.append(CutToken.of(tokenizer, token, position=position, merges=merges))
    return tokens


def merge_numbers(tokenizer: Tokenizer) -> dict[tuple[bytes, bytes], int]:
    """The number of each merge, from 1, by the two tokens that it joins."""
    return {pair: number for number, pair in enumerate(tokenizer.merges(), 1)}


def building_merges(numbers: Mapping[tuple[bytes, bytes], int], data: bytes) -> list[Merge]:
    """The merges that build `data` into one token, in the encoder's order: the earliest learned first, from left to
    right.

    The same merges apply inside a longer word, because none of them can cross the borders of a resulting token.
    Empty for a single byte, and for an added token, which no merges build. Sennrich et al., 2016.
    """
    parts, merges = [data[i : i + 1] for i in range(len(data))], []
    while len(parts) > 1:
        found = [numbers.get(pair) for pair in pairwise(parts)]
        number = min((number for number in found if number is not None), default=None)
        if number is None:
            return []
        at = found.index(number)
        merges.append(Merge(number=number, left=parts[at].hex(), right=parts[at + 1].hex()))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return merges


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    cut: bool = setting(False, flag="tokens", help="Show how the text is tokenized, with the merges behind each token.")


def _ask(question: Question) -> Answer:
    tokenizer = question.tokenizer
    sizes = tokenizer.vocab_size, len(tokenizer.merges())
    facts = {"sizes": sizes, "bytes": len(question.text.encode())}
    return Answer(records=cut(tokenizer, question.text), text=question.text, facts=facts)


VIEW = View(
    record=CutToken,
    key="tokens",
    ask=_ask,
    title="How the text is tokenized",
    settings=_Flags,
    asked_by=("cut",),
    runs_model=False,
    needs_torch=False,
)
