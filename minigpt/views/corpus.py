"""What follows the end of a text in a corpus, beside a model's prediction, and which spans of a sample occur there."""

from __future__ import annotations

import codecs
import math
from collections import Counter
from dataclasses import dataclass, fields
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from minigpt.errors import named
from minigpt.sampling.records import BareToken, Candidate, Other, StepRecord
from minigpt.settings import MANY, Range, Settings, setting
from minigpt.text.records import CorpusText, token_text
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minigpt.models.network import AnyModel
    from minigpt.sampling.distribution import Distribution
    from minigpt.text.occurrences import Followers
    from minigpt.text.shards import Ids
    from minigpt.text.tokenizer import Tokenizer

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSuffix:
    """The last tokens of a text, their occurrences in a corpus, and what follows them there."""

    tokens: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal
    occurrences: int  # overlapping ones too
    followed: int  # of them, all but one at the very end of the corpus
    next_tokens: int  # different tokens that follow
    likeliest: BareToken | None
    likeliest_share: float | None
    divergence_bits: float | None  # Kullback-Leibler, of the shares there from the model's raw softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusCandidate(Candidate):
    """A candidate, and how often it follows the suffix in the corpus."""

    corpus_count: int
    corpus_share: float | None  # of all that follows; None where nothing does


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusOther(Other):
    """All tokens that are not listed, summed in the corpus too."""

    corpus_count: int
    corpus_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusStep(StepRecord):
    """What a model predicts after a text, beside what followed the text's end, `suffix`, in a corpus.

    Candidates are the best of both, by logit; candidates + other = 1, also for corpus_share.
    """

    candidates: tuple[CorpusCandidate, ...]
    other: CorpusOther
    corpus: CorpusText
    suffixes: tuple[CorpusSuffix, ...]  # shortest first; of those with identical occurrences, the longest
    suffix: CorpusSuffix | None  # what follows it gives the shares; None if the last token does not occur in the corpus


def corpus_step(
    model: AnyModel,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    corpus: Ids,
    text: CorpusText,
    *,
    top: int,
    suffix: int | None = None,
) -> CorpusStep:
    """What the model predicts after `ids` (one or more), beside what followed their end in the corpus.

    Lists the `top` tokens of the model and the `top` most frequent of the corpus. Shares are of what followed the last
    `suffix` tokens, or as many of them as occur in the corpus; by default the longest suffix that occurs.
    """
    from minigpt.sampling.distribution import step_record
    from minigpt.sampling.score import distribution_after
    from minigpt.text.occurrences import OUTSIDE, followers, most_frequent, nested

    dist = distribution_after(model, ids)
    rows = [(_suffix(dist, tokenizer, ids[-tokens:], found), found) for tokens, found in nested(followers(corpus, ids))]
    followed = [(row, found) for row, found in rows if row.followed]
    longest = followed[-1] if followed else (None, Counter[int]())
    chosen, found = next(((row, found) for row, found in followed if suffix and row.tokens >= suffix), longest)
    del found[OUTSIDE]
    step = step_record(dist, tokenizer.token_bytes, position=len(ids), top=top, also=most_frequent(found, top))
    total = found.total()

    def counted(kind: type[T], record: Candidate | Other | None, count: int) -> T:
        return _extended(kind, record, corpus_count=count, corpus_share=count / total if total else None)

    ordered = sorted(step.candidates, key=lambda candidate: (-candidate.logit, candidate.id))
    candidates = tuple(counted(CorpusCandidate, candidate, found[candidate.id]) for candidate in ordered)
    rest = total - sum(candidate.corpus_count for candidate in candidates)
    return _extended(
        CorpusStep,
        step,
        candidates=candidates,
        other=counted(CorpusOther, step.other, rest),
        corpus=text,
        suffixes=tuple(row for row, _ in rows),
        suffix=chosen,
    )


def _extended(kind: type[T], record: Any, **more: Any) -> T:
    """`record` as one of a subclass, with more fields."""
    return kind(**{field.name: getattr(record, field.name) for field in fields(record)} | more)


def _suffix(dist: Distribution, tokenizer: Tokenizer, ids: Sequence[int], found: Followers) -> CorpusSuffix:
    from minigpt.text.occurrences import OUTSIDE, most_frequent

    inside = Counter({token: count for token, count in found.items() if token != OUTSIDE})
    followed, best = inside.total(), most_frequent(inside, 1)
    data = tokenizer.decode_bytes(ids)
    return CorpusSuffix(
        tokens=len(ids),
        text=token_text(data),
        bytes=data.hex(),
        occurrences=found.total(),
        followed=followed,
        next_tokens=len(inside),
        likeliest=BareToken.of(tokenizer, best[0]) if best else None,
        likeliest_share=inside[best[0]] / followed if best else None,
        divergence_bits=_divergence_bits(dist, inside) if best else None,
    )


def _divergence_bits(dist: Distribution, found: Followers) -> float:
    """The KL divergence D(corpus || model) of the corpus's shares from the model's raw softmax, in bits.

    It is finite because the model gives every token some probability; the reverse divergence would not be.
    """
    import numpy as np

    from minigpt.sampling.vocabulary import log_softmax

    tokens = list(found)
    bits_V = log_softmax(dist.logits_V) / math.log(2)
    shares = np.array([found[token] for token in tokens]) / found.total()
    return max(0.0, float((shares * (np.log2(shares) - bits_V[tokens])).sum()))  # not -1e-17


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    corpus: tuple[str, ...] = setting(
        (),
        help="Compare with how often each token follows in run (what the checkpoint learned from), a run's folder, "
        "builtin, or a text. May be given several times.",
        metavar="SOURCE",
        completes="corpus",
    )
    suffix: int | None = setting(
        None,
        help=f"With {named('corpus')}, match this many of the last tokens. By default as many as occur there.",
        range=Range(1, MANY),
        shows_range=True,
    )


def _ask(question: Question) -> Answer:
    from minigpt.checkpoint.reference import find_reference

    flags = question.flags
    found = find_reference(flags.corpus, question.checkpoint, question.stages)
    if found.note:
        question.note(found.note)
    asked = question.model, question.tokenizer, question.ids, found.ids, found.text
    return Answer(records=(corpus_step(*asked, top=question.top, suffix=flags.suffix),), text=question.text)


VIEW = View(
    record=CorpusStep,
    key="steps",
    ask=_ask,
    title="What the model predicts, and what follows in a corpus",
    settings=_Flags,
    asked_by=("corpus",),
    takes=("suffix",),
    needs_torch=False,
)


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
