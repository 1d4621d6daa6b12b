"""Which spans of a sample occur verbatim in a corpus."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from minigpt.text.records import CorpusText, token_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minigpt.text.shards import Ids
    from minigpt.text.tokenizer import Tokenizer

SHORTEST_SPAN = 2  # tokens: single ones occur everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbatimSpan:
    """A maximal run of sampled tokens that occurs verbatim in the corpus."""

    position: int  # from 0, of its first token in the text
    tokens: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal
    occurrences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbatimPiece:
    """A part of a sampled text that occurs in the corpus, or that does not."""

    text: str
    verbatim: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbatimReport:
    """The parts of a sample, without its prompt, that occur verbatim in a corpus, in spans of `at_least` tokens."""

    sample: int
    corpus: CorpusText
    at_least: int
    sampled_tokens: int  # without an end-of-text that ended the sample
    verbatim_tokens: int  # of them, those in spans, which may overlap
    longest: VerbatimSpan | None  # the first of the longest
    spans: tuple[VerbatimSpan, ...]
    pieces: tuple[VerbatimPiece, ...]  # the whole sampled text


def verbatim(
    tokenizer: Tokenizer,
    ids: Sequence[int],
    corpus: Ids,
    text: CorpusText,
    *,
    at_least: int,
    position: int,
    sample: int,
) -> VerbatimReport:
    """The spans of `ids`, the sampled tokens, that occur verbatim in the corpus; the first is at `position`.

    Only sampled tokens are matched, because the prompt is the user's own text.
    """
    from minigpt.text.occurrences import verbatim_spans

    separator = tokenizer.end_of_text if tokenizer.stops else -1  # elsewhere a newline, which is text
    if ids and ids[-1] == separator:
        ids = ids[:-1]  # it ends the text and is no part of it
    spans = verbatim_spans(corpus, ids, at_least, separator)
    marked = [False] * len(ids)
    for start, tokens, _ in spans:
        marked[start : start + tokens] = [True] * tokens
    records = tuple(
        VerbatimSpan(
            position=position + start,
            tokens=tokens,
            text=token_text(data := tokenizer.decode_bytes(ids[start : start + tokens])),
            bytes=data.hex(),
            occurrences=occurrences,
        )
        for start, tokens, occurrences in spans
    )
    return VerbatimReport(
        sample=sample,
        corpus=text,
        at_least=at_least,
        sampled_tokens=len(ids),
        verbatim_tokens=sum(marked),
        longest=max(records, key=lambda span: span.tokens, default=None),
        spans=records,
        pieces=tuple(_pieces(map(tokenizer.token_bytes, ids), marked)),
    )


def _pieces(tokens: Iterable[bytes], marked: Iterable[bool]) -> Iterator[VerbatimPiece]:
    """The whole text in as few pieces as the marks allow. A character belongs to the token that completes it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for is_verbatim, group in groupby(zip(tokens, marked, strict=True), key=lambda pair: pair[1]):
        if text := decoder.decode(b"".join(data for data, _ in group)):
            yield VerbatimPiece(text=text, verbatim=is_verbatim)
    if text := decoder.decode(b"", final=True):
        yield VerbatimPiece(text=text, verbatim=False)
