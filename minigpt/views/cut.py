"""How a text is cut into tokens, and the merges that built each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.settings import Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two neighbours that a BPE tokenizer makes one. All in hexadecimal bytes."""

    number: int  # from 1: the order in which merges were learned, and in which they are applied
    left: str
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutToken(Token):
    """A token of a text, and how it came about."""

    position: int  # from 0
    merges: tuple[Merge, ...]  # in the order applied; none for a single byte


def cut(tokenizer: Tokenizer, text: str) -> list[CutToken]:
    """How `text` is cut into tokens."""
    from minigpt.text.merges import MergeTable

    table, tokens = MergeTable(tokenizer), []
    for position, token in enumerate(tokenizer.encode(text)):
        built = table.building(tokenizer.token_bytes(token))
        merges = tuple(Merge(number=number, left=left.hex(), right=right.hex()) for number, left, right in built)
        tokens.append(CutToken.of(tokenizer, token, position=position, merges=merges))
    return tokens


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """Asks how the text is cut."""

    cut: bool = setting(False, flag="tokens", help="How the text is cut, and which merges led there.")


def _ask(question: Question) -> Answer:
    tokenizer = question.checkpoint.tokenizer
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
