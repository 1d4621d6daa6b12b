"""How a text is tokenized, with the merges that built each token, and how else its end could have been tokenized."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from minigpt.errors import named
from minigpt.sampling.records import Other, ScoredToken, StepRecord
from minigpt.settings import Settings, setting
from minigpt.text.records import Token, token_text
from minigpt.views.probs import next_token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minigpt.models.network import AnyModel
    from minigpt.sampling.distribution import Distribution
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


# A word that the tokenizer has as one token is mostly cut into two or three where it stops short.
_FURTHEST = 3  # tokens
NO_BOUNDARY = (
    f"the prompt has fewer than two tokens: {named('boundary')} needs one before its end, from which to predict it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The end of a prompt, as predicted from before its last `tokens`: could it have been tokenized differently?

    `bytes` is what these tokens spell. raw_prob + longer + other_longer + others = 1.
    """

    text: str | None  # None when the bytes are not whole characters
    bytes: str  # hexadecimal
    position: int  # from 0, of the first of `tokens`
    tokens: tuple[ScoredToken, ...]
    raw_prob: float  # of `tokens`, one after the other
    share: float  # of raw_prob in itself and all longer tokens
    longer: tuple[ScoredToken, ...]  # the likeliest single tokens that begin with `bytes` and are longer
    other_longer: Other  # those of them that are not listed
    others: Other  # all that does not begin so; where there are several `tokens`, what else may follow all but the last


def boundary(model: AnyModel, tokenizer: Tokenizer, ids: Sequence[int], *, top: int) -> Boundary | None:
    """Compare the last one, two or three tokens of `ids` with the longer tokens that the model expected there.

    Of all tokens that begin with the same bytes, `share` is the probability of the prompt's own tokenization: near 1
    after a whole word, near 0 inside a word or after a space that belongs to the next word's token. Of the three
    possible pieces, the one with the smallest share is taken; the shortest, if no token continues any. `top` of the
    longer tokens are listed. None if no token has one before it, and for a source, which ends.
    """
    from minigpt.models.decoder import decoding_threads
    from minigpt.sampling.score import before_each, scored

    furthest = min(_FURTHEST, len(ids) - 1)
    if furthest < 1 or tokenizer.ends_prompts:  # nothing runs on beyond the end of a source
        return None
    tokens = ids[-furthest:]
    with decoding_threads(model):
        steps = list(before_each(model, ids[:-furthest], tokens))
    own = [scored(dist, tokenizer, token) for dist, token in zip(steps, tokens, strict=True)]
    ends = [_boundary(steps[-n], tokenizer, own[-n:], len(ids) - n, top) for n in range(1, furthest + 1)]
    return min(ends, key=lambda end: end.share)


def _boundary(
    dist: Distribution, tokenizer: Tokenizer, own: Sequence[ScoredToken], position: int, top: int
) -> Boundary:
    """The boundary as predicted from before all of `own`, where `dist` is the distribution."""
    from minigpt.sampling.score import scored
    from minigpt.sampling.vocabulary import best_ids

    data = bytes.fromhex("".join(token.bytes for token in own))
    ids, raw_prob = tokenizer.longer_tokens(data), math.prod(token.raw_prob for token in own)
    listed = [ids[i] for i in best_ids(dist.logits_V[ids], min(top, len(ids)))] if ids else []
    longer = float(dist.raw_V[ids].sum())
    rest_V = dist.raw_V.copy()
    rest_V[[*ids, own[0].id]] = 0
    others = float(rest_V.sum()) + own[0].raw_prob - raw_prob
    return Boundary(
        text=token_text(data),
        bytes=data.hex(),
        position=position,
        tokens=tuple(own),
        raw_prob=raw_prob,
        share=raw_prob / (raw_prob + longer) if longer else 1.0,
        longer=tuple(scored(dist, tokenizer, token) for token in listed),
        other_longer=_other(len(ids) - len(listed), float(dist.raw_V[sorted({*ids} - {*listed})].sum())),
        others=_other(len(dist.raw_V) - len(ids) - (len(own) == 1), others),
    )


def _other(count: int, raw_prob: float) -> Other:
    return Other(count=count, raw_prob=raw_prob, prob=raw_prob)


@dataclass(frozen=True, kw_only=True)
class _BoundaryFlags(Settings):
    boundary: bool = setting(False, help="Also show how the end of the prompt could be tokenized differently.")


def _ask_boundary(question: Question) -> Answer:
    model, tokenizer = question.model, question.tokenizer
    end = boundary(model, tokenizer, question.ids, top=question.top)
    if end is None:
        question.note(NO_BOUNDARY)
    record = next_token(model, tokenizer, question.ids, top=question.top)
    return Answer(records=(record,), text=question.text, fields={"boundary": end})


BOUNDARY = View(
    record=StepRecord,
    key="steps",
    ask=_ask_boundary,
    title="How else the end of the text could be tokenized",
    settings=_BoundaryFlags,
    asked_by=("boundary",),
    at_end=False,
    needs_torch=False,
)
