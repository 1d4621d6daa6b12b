"""What a text consists of: tokens, and the files that it was read from."""

from dataclasses import dataclass

from minigpt.records import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the vocabulary."""

    id: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusText:
    """A text that answers are compared with, as tokens."""

    name: str
    part: str  # what of it: training text, or whole text
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """A file that a text is made of; hash and size are of its bytes as stored."""

    name: str
    sha256: str
    size: Count
    documents: Count
