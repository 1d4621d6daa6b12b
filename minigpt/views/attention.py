"""The attention weights of each token of a text, by layer and head.

Layers and heads count from 1; layer 0 is the embedding. A text beyond the context is read in its last window.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import CorpusError, brief, escaped, named
from minigpt.records import Record
from minigpt.settings import Range, Settings, require, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from minigpt.models.gpt import GPT
    from minigpt.models.inside import Attention
    from minigpt.text.tokenizer import Tokenizer

NAMED = 0.5  # of a head's attention, for a kind to be its name
_LOOKED_AT = 6  # tokens of a word's attention
_MOST_WEIGHTS = 400_000  # on a page: 1 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSummary:
    """Where one attention head looks, as shares from 0 to 1, averaged over the tokens of a text except the first."""

    layer: int  # from 1
    head: int  # from 1
    entropy_bits: float  # of its weights
    previous: float  # on the token just before
    first: float  # on the first token of the text, from the third token on
    same: float | None  # on earlier tokens that are the same, where there are any; None where nowhere are
    itself: float
    kind: str | None  # previous-token, first-token, same-token or itself, where that is half of its attention or more


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionGrid(Record):
    """The attention of each token of a text (a row) to itself and each one before it. Each row sums to 1."""

    layer: int  # from 1
    head: int | None  # from 1; None for the mean of the layer's heads
    tokens: tuple[Token, ...]
    weights: tuple[tuple[float, ...], ...]  # row t has t + 1 of them
    scores: tuple[tuple[float, ...], ...]  # query . key / sqrt(head width), before the softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """A token that another token attends to."""

    position: int
    token: Token
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAtWord:
    """A word that another word attends to; its tokens are joined."""

    position: int  # of its first token
    tokens: int
    text: str
    weight: float  # summed over its tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class WordLayer:
    """A word's vector (the mean over its tokens) after one layer, and its attention in that layer."""

    layer: int  # from 1; 0 is the embedding, token and position added
    cosine_to_embedding: float
    moved: float  # the length of the way from the embedding, in lengths of the embedding
    looked_at: tuple[LookedAt, ...]  # by its last token, mean of the layer's heads, the largest first; none in layer 0
    words: tuple[LookedAtWord, ...] = ()  # by the mean of its tokens, over whole words; words + other_weight = 1
    other_words: int = 0  # that are not listed
    other_weight: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WordInContext:
    """One word of a text, layer by layer. `position` and `token` are of its last token, which has seen all of it."""

    text: str
    word: str
    position: int
    token: Token
    layers: tuple[WordLayer, ...]
    tokens: int = 1  # that it is cut into
    first: bool = False  # whether nothing stands before it in what the model sees


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWord(Record):
    """A word in two texts, with the cosine similarity of its two vectors after each layer from 0."""

    first: WordInContext
    second: WordInContext
    cosines: tuple[float, ...]


def attend(model: GPT, ids: Sequence[int]) -> Attention:
    """One pass over `ids` (one or more) that keeps the attention weights.

    Raises CheckpointError if the logits are not finite.
    """
    from minigpt.models.inside import look_inside
    from minigpt.sampling.distribution import require_finite

    attention, logits_BTV = look_inside(model, ids)
    require_finite(logits_BTV.cpu())
    return attention


def head_summaries(attention: Attention) -> list[HeadSummary]:
    """A summary of every head, by layer. Raises CorpusError if the window holds fewer than two tokens."""
    if len(attention.ids) < 2:
        raise CorpusError("A single token can only look at itself: give a text of two tokens or more.")
    layers, heads = attention.weights_LHTS.shape[:2]
    same = _same_before(attention.ids)
    return [
        _summary(attention.weights_LHTS[layer, head], same, layer + 1, head + 1)
        for layer in range(layers)
        for head in range(heads)
    ]


def _same_before(ids: Sequence[int]) -> Tensor:
    """[T, T]: whether the column's token comes before the row's and is the same."""
    import torch

    row = torch.tensor(ids)
    return (row[:, None] == row[None, :]).tril(-1)


def _summary(weights_TS: Tensor, same_TS: Tensor, layer: int, head: int) -> HeadSummary:
    import torch

    entropy = torch.special.entr(weights_TS[1:]).sum(-1).mean() / math.log(2)
    repeated = same_TS.any(-1)
    shares = {
        "previous-token": float(weights_TS.diagonal(-1).mean()),
        "first-token": float(weights_TS[2:, 0].mean()) if len(weights_TS) > 2 else 0.0,
        "same-token": float((weights_TS * same_TS).sum(-1)[repeated].mean()) if repeated.any() else None,
        "itself": float(weights_TS.diagonal()[1:].mean()),
    }
    known = {kind: share for kind, share in shares.items() if share is not None}
    kind = max(known, key=lambda name: known[name])
    return HeadSummary(
        layer=layer,
        head=head,
        entropy_bits=float(entropy),
        previous=known["previous-token"],
        first=known["first-token"],
        same=shares["same-token"],
        itself=known["itself"],
        kind=kind if known[kind] >= NAMED else None,
    )


def attention_grid(attention: Attention, tokenizer: Tokenizer, layer: int, head: int | None) -> AttentionGrid:
    """The grid of one head, or the mean over a layer's heads (of scores too). Raises ConfigError if there is no such
    head.
    """
    layers, heads = attention.weights_LHTS.shape[:2]
    require(1 <= layer <= layers, f"{named('layer')} must be from 1 to {layers}, not {layer}.")
    require(head is None or 1 <= head <= heads, f"{named('head')} must be from 1 to {heads}, not {head}.")
    weights, scores = attention.weights_LHTS[layer - 1], attention.scores_LHTS[layer - 1]
    chosen = slice(None) if head is None else slice(head - 1, head)
    return AttentionGrid(
        layer=layer,
        head=head,
        tokens=tuple(Token.of(tokenizer, token) for token in attention.ids),
        weights=_triangle(weights[chosen].mean(0)),
        scores=_triangle(scores[chosen].mean(0)),
    )


def _triangle(values_TS: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row[: t + 1]) for t, row in enumerate(values_TS.tolist()))


def shared_word(model: GPT, tokenizer: Tokenizer, texts: tuple[str, str], word: str | None, *, top: int) -> SharedWord:
    """Compare a word that occurs in both texts, ignoring case; by default the longest. Raises ConfigError if they share
    none.
    """
    from torch.nn.functional import cosine_similarity

    word = _common_word(*texts) if word is None else word
    contexts: list[WordInContext] = []
    vectors: list[Tensor] = []
    for text in texts:
        attention = attend(model, ids := tokenizer.encode(text))
        place = _last_occurrence(text, word)
        at = _token_that_ends(tokenizer, ids, text[: place.end()]) - attention.start
        require(
            at >= 0,
            f'"{brief(escaped(word))}" stands outside the last {model.config.context} tokens, all that is seen.',
        )
        context = _in_context(attention, tokenizer, text, place[0], at, top)
        contexts.append(context)
        vectors.append(attention.stream_LTC[:, at + 1 - context.tokens : at + 1].mean(1))
    cosines = cosine_similarity(vectors[0], vectors[1], dim=-1)
    return SharedWord(first=contexts[0], second=contexts[1], cosines=tuple(cosines.tolist()))


def _common_word(one: str, other: str) -> str:
    words: list[str] = re.findall(r"\w+", one)
    others = {word.casefold() for word in re.findall(r"\w+", other)}
    common = [word for word in words if word.casefold() in others]
    require(bool(common), "The two texts share no word. Give texts that do, such as two meanings of one word.")
    return max(common, key=len)


def _last_occurrence(text: str, word: str) -> re.Match[str]:
    found = list(re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))
    require(bool(found), f'The word "{brief(escaped(word))}" does not stand in "{brief(escaped(text))}".')
    return found[-1]


def _token_that_ends(tokenizer: Tokenizer, ids: Sequence[int], beginning: str) -> int:
    """The index of the token that completes `beginning`, the first part of a text."""
    end, seen = len(beginning.encode()), 0
    for index, token in enumerate(ids):
        seen += len(tokenizer.token_bytes(token))
        if seen >= end:
            return index
    raise CorpusError(
        "This model's tokenizer changes the text, such as its spaces, so the tokens of a word in it cannot be told."
    )


def joined_words(tokenizer: Tokenizer, ids: Sequence[int], start: int, text: str) -> list[range]:
    """The tokens from `start` on, grouped into words of `text`: letters and digits, or other signs, with a space before
    them.

    Ranges count from `start`. A token that spans two words belongs to the first of which it has a letter.
    """
    ends: list[int] = []
    for part in re.findall(r"\s*\w+|\s*[^\w\s]+|\s+", text):
        ends.append((ends[-1] if ends else 0) + len(part.encode()))
    words, last, at = list[range](), -1, 0
    for index, token in enumerate(ids):
        data = tokenizer.token_bytes(token)
        spaces = len(data) - len(data.lstrip())
        word = bisect_right(ends, at + min(spaces, max(0, len(data) - 1)))
        at += len(data)
        if index < start:
            continue
        if words and word == last:
            words[-1] = range(words[-1].start, index + 1 - start)
        else:
            words.append(range(index - start, index + 1 - start))
        last = word
    return words


def word_weights(weights_TS: Tensor, word: range, words: Sequence[range]) -> list[float]:
    """The attention of a word to each of `words`: the mean over its tokens of the sum over the other's tokens."""
    mean_S = weights_TS[list(word)].mean(0)
    return [float(mean_S[list(other)].sum()) for other in words]


def _in_context(attention: Attention, tokenizer: Tokenizer, text: str, word: str, at: int, top: int) -> WordInContext:
    from torch.nn.functional import cosine_similarity

    weights_LTS, weights_LS = attention.weights_LHTS.mean(1), attention.weights_LHTS[:, :, at].mean(1)
    words = joined_words(tokenizer, tokenizer.encode(text), attention.start, text)
    mine = next(number for number, tokens in enumerate(words) if at in tokens)
    joined = range(words[mine].start, at + 1)
    words = [*words[:mine], joined]
    stream_LC = attention.stream_LTC[:, list(joined)].mean(1)
    embedding = stream_LC[0]
    tokens = [Token.of(tokenizer, token) for token in attention.ids]
    layers = []
    for layer, vector in enumerate(stream_LC):
        listed, others, rest = _listed_words(attention, tokenizer, words, weights_LTS[layer - 1], top)
        looked_at = tuple(
            LookedAt(position=attention.start + position, token=tokens[position], weight=weight)
            for weight, position in _largest(weights_LS[layer - 1, : at + 1], top)
        )
        layers.append(
            WordLayer(
                layer=layer,
                cosine_to_embedding=float(cosine_similarity(vector, embedding, dim=0)),
                moved=float((vector - embedding).norm() / embedding.norm()),
                looked_at=looked_at if layer else (),
                words=listed if layer else (),
                other_words=others if layer else 0,
                other_weight=rest if layer else 0.0,
            )
        )
    return WordInContext(
        text=text,
        word=word,
        position=attention.start + at,
        token=tokens[at],
        layers=tuple(layers),
        tokens=len(joined),
        first=mine == 0,
    )


def _listed_words(
    attention: Attention, tokenizer: Tokenizer, words: Sequence[range], weights_TS: Tensor, top: int
) -> tuple[tuple[LookedAtWord, ...], int, float]:
    """The `top` words with the most attention from the last of `words`, how many others there are, and their weight."""
    weights = word_weights(weights_TS, words[-1], words)
    order = sorted(range(len(words)), key=lambda number: -weights[number])
    listed = tuple(
        LookedAtWord(
            position=attention.start + words[number].start,
            tokens=len(words[number]),
            text=tokenizer.decode([attention.ids[i] for i in words[number]]),
            weight=weights[number],
        )
        for number in order[:top]
    )
    return listed, len(words) - len(listed), math.fsum(weights[number] for number in order[top:])


def _largest(weights_S: Tensor, top: int) -> list[tuple[float, int]]:
    values, positions = weights_S.topk(min(top, len(weights_S)))
    return list(zip(values.tolist(), positions.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class GridFlags(Settings):
    """The flags that ask for a grid."""

    layer: int | None = setting(
        None, help="Show the grid of this layer, from 1: the mean of its heads.", range=Range(1, 10_000)
    )
    head: int | None = setting(
        None, help=f"Show the grid of this head of the {named('layer')}, from 1.", range=Range(1, 1 << 20)
    )
    scores: bool = setting(False, help="Show query times key, before the softmax, in the grid.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.head is None or self.layer is not None, f"{named('head')} needs a {named('layer')}.")
        require(
            not self.scores or self.layer is not None,
            f"{named('scores')} needs a {named('layer')}, and shows its grid.",
        )


@dataclass(frozen=True, kw_only=True)
class WordFlags(Settings):
    """The flags that ask for a word in two texts."""

    other: str | None = setting(None, flag="with", help="Compare a word in two texts: another text that shares it.")
    word: str | None = setting(None, help="The shared word. By default the longest.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.other != "", f"{named('other')} needs a text that is not empty.")


def _attention(question: Question) -> Attention:
    attention = attend(_gpt(question), question.ids)
    if attention.start:
        question.note(f"the text is longer than the context: its last {len(attention.ids)} tokens are shown.")
    return attention


def _gpt(question: Question) -> GPT:
    from minigpt.models.kinds import gpt_of

    return gpt_of(question.checkpoint.model, "inspect-attention shows attention")


def _ask_heads(question: Question) -> Answer:
    attention = _attention(question)
    return Answer(records=head_summaries(attention), text=question.text, facts={"attention": attention})


def _ask_grid(question: Question) -> Answer:
    attention, flags = _attention(question), question.flags
    grid = attention_grid(attention, question.checkpoint.tokenizer, flags.layer, flags.head)
    return Answer(records=(grid,), text=question.text, facts={"attention": attention, "scores": flags.scores})


def _ask_word(question: Question) -> Answer:
    texts = question.text, question.flags.other
    shared = shared_word(_gpt(question), question.checkpoint.tokenizer, texts, question.flags.word, top=_LOOKED_AT)
    return Answer(records=(shared,), text=question.text)


def _every_grid(question: Question, answer: Answer) -> Sequence[AttentionGrid]:
    """For each layer, the mean of its heads and every head. Raises ConfigError if they are too large for a page."""
    attention, config = answer.facts["attention"], question.checkpoint.model.config
    count = len(attention.ids)
    weights = config.layers * (config.heads + 1) * count * (count + 1) // 2
    require(
        weights <= _MOST_WEIGHTS,
        f"{named('html')}: a page holds {_MOST_WEIGHTS:,} attention weights at most. {count} tokens have {weights:,}, "
        f"in {config.layers} layers of {config.heads} heads: give a shorter text.",
    )
    return [
        attention_grid(attention, question.checkpoint.tokenizer, layer, head)
        for layer in range(1, config.layers + 1)
        for head in (None, *range(1, config.heads + 1))
    ]


HEADS = View(
    command="inspect-attention",
    record=HeadSummary,
    key="heads",
    ask=_ask_heads,
    title="Which earlier tokens each token looks at",
    page=_every_grid,
    tokens_ahead=None,
    at_end=False,
)
GRID = View(
    command="inspect-attention",
    record=AttentionGrid,
    ask=_ask_grid,
    title="Which earlier tokens each token looks at",
    settings=GridFlags,
    asked_by=("layer",),
    takes=("head", "scores"),
    page=_every_grid,
    tokens_ahead=None,
    at_end=False,
)
WORD = View(
    command="inspect-attention",
    record=SharedWord,
    ask=_ask_word,
    title="A word in two texts",
    settings=WordFlags,
    asked_by=("other",),
    takes=("word",),
    tokens_ahead=None,
    at_end=False,
)
