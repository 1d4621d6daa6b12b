"""What followed the end of a text in a corpus, and which spans of a sample occur there verbatim."""

from __future__ import annotations

import codecs
import math
from collections import Counter
from dataclasses import dataclass, fields
from itertools import groupby
from typing import TYPE_CHECKING, Any

from minigpt.errors import named
from minigpt.sampling.records import BareToken, Candidate, Other, StepRecord
from minigpt.settings import MANY, Range, Settings, setting
from minigpt.text.records import CorpusText, token_text
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from minigpt.models.kinds import Model
    from minigpt.sampling.distribution import Distribution
    from minigpt.text.occurrences import Followers
    from minigpt.text.shards import Ids
    from minigpt.text.tokenizer import Tokenizer

SHORTEST_SPAN = 2  # tokens: the single ones of a text stand everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSuffix:
    """The last tokens of a text, their occurrences in a corpus, and what follows them there."""

    tokens: int
    text: str | None  # None when its bytes are not whole characters
    bytes: str  # hexadecimal
    occurrences: int  # overlapping ones too
    followed: int  # of them, all but one at the very end of the corpus
    next_tokens: int  # different ones that follow
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
    suffixes: tuple[CorpusSuffix, ...]  # shortest first; of those with the very same occurrences, the longest
    suffix: CorpusSuffix | None  # that shares are taken from; None where the last token never stands in the corpus


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
    """The parts of a sample that occur verbatim in a corpus, in spans of `at_least` this many tokens, without the
    prompt.
    """

    sample: int
    corpus: CorpusText
    at_least: int
    sampled_tokens: int  # without an end-of-text that ended the sample
    verbatim_tokens: int  # of them, those in spans, which may overlap
    longest: VerbatimSpan | None  # the first of the longest
    spans: tuple[VerbatimSpan, ...]
    pieces: tuple[VerbatimPiece, ...]  # the whole sampled text


def corpus_step(
    model: Model,
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
    from minigpt.models.decoder import decoder_for
    from minigpt.sampling.distribution import distribution, step_record
    from minigpt.text.occurrences import OUTSIDE, followers, most_frequent, nested

    dist = distribution(decoder_for(model).prefill(ids)[0])
    rows = nested(followers(corpus, ids))
    suffixes = [_suffix(dist, tokenizer, ids[-tokens:], found) for tokens, found in rows]
    followed = [i for i, row in enumerate(suffixes) if row.followed]
    wanted = [i for i in followed if suffix is not None and suffixes[i].tokens >= suffix]
    chosen = (wanted or followed[-1:])[:1]
    found = rows[chosen[0]][1] if chosen else Counter[int]()
    del found[OUTSIDE]
    step = step_record(dist, tokenizer.token_bytes, position=len(ids), top=top, also=most_frequent(found, top))
    return _beside(step, found, text, tuple(suffixes), suffixes[chosen[0]] if chosen else None)


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
        divergence_bits=divergence_bits(dist, inside) if best else None,
    )


def divergence_bits(dist: Distribution, found: Followers) -> float:
    """The KL divergence of the corpus's shares from the model's raw softmax, D(corpus

    model), in bits.

    It is finite because the model gives every token some probability; the reverse divergence would not be.
    """
    import numpy as np

    tokens, total = list(found), found.total()
    bits_V = (dist.logits_V.log_softmax(-1) / math.log(2)).numpy()
    shares = np.array([found[token] for token in tokens]) / total
    return max(0.0, float((shares * (np.log2(shares) - bits_V[tokens])).sum()))  # not -1e-17


def _beside(
    step: StepRecord,
    found: Followers,
    text: CorpusText,
    suffixes: tuple[CorpusSuffix, ...],
    chosen: CorpusSuffix | None,
) -> CorpusStep:
    """`step` with the corpus's counts; its candidates by logit, ties by id."""
    total = found.total()

    def counted(count: int) -> dict[str, Any]:
        return {"corpus_count": count, "corpus_share": count / total if total else None}

    ordered = sorted(step.candidates, key=lambda candidate: (-candidate.logit, candidate.id))
    candidates = [CorpusCandidate(**_values(each), **counted(found[each.id])) for each in ordered]
    rest = total - sum(candidate.corpus_count for candidate in candidates)
    assert step.other is not None
    return CorpusStep(
        **{
            **_values(step),
            "candidates": tuple(candidates),
            "other": CorpusOther(**_values(step.other), **counted(rest)),
        },
        corpus=text,
        suffixes=suffixes,
        suffix=chosen,
    )


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


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

    if ids and ids[-1] == tokenizer.end_of_text:
        ids = ids[:-1]  # it ends the text, and is none of it
    spans = verbatim_spans(corpus, ids, at_least, tokenizer.end_of_text)
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


SOURCES = "run (what the checkpoint learned from), a run's folder, builtin, or a text. May be given several times."


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """The flags that ask for a comparison with a corpus."""

    corpus: tuple[str, ...] = setting(
        (), help=f"Compare with how often each token follows in {SOURCES}", metavar="SOURCE", completes="corpus"
    )
    suffix: int | None = setting(
        None,
        help=f"With {named('corpus')}, match this many of the last tokens. By default as many as occur there.",
        range=Range(1, MANY),
        shows_range=True,
    )


def _ask(question: Question) -> Answer:
    from minigpt.checkpoint.reference import find_reference

    checkpoint, flags = question.checkpoint, question.flags
    found = find_reference(flags.corpus, checkpoint, question.stages)
    if found.note:
        question.note(found.note)
    record = corpus_step(
        checkpoint.model,
        checkpoint.tokenizer,
        question.ids,
        found.ids,
        found.text,
        top=question.top,
        suffix=flags.suffix,
    )
    return Answer(records=(record,), text=question.text)


VIEW = View(
    record=CorpusStep,
    key="steps",
    ask=_ask,
    title="Beside what a text says",
    settings=Flags,
    asked_by=("corpus",),
    takes=("suffix",),
)
