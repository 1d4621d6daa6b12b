"""Records of a text: its tokens, and the files that it was read from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from minigpt.records import Count

if TYPE_CHECKING:
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the vocabulary."""

    id: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal

    @classmethod
    def of(cls, tokenizer: "Tokenizer", token: int, **numbers: Any) -> Self:
        """The token with the id `token`; `numbers` are the additional fields of a subclass."""
        data = tokenizer.token_bytes(token)
        return cls(id=token, text=token_text(data), bytes=data.hex(), **numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusText:
    """A text, as tokens, with which a model's answers are compared."""

    name: str
    part: str  # what of it: training text, or whole text
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """A file of a text; hash and size are of its bytes as stored."""

    name: str
    sha256: str
    size: Count
    documents: Count


def token_text(data: bytes) -> str | None:
    """The text of a token, or None if its bytes are not whole characters."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
