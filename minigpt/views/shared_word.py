"""One word in two texts: what it attends to, and what becomes of its vector, layer by layer."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from minigpt.errors import brief, escaped, named
from minigpt.records import Record
from minigpt.settings import Settings, require, setting
from minigpt.text.records import Token
from minigpt.text.words import joined_words
from minigpt.views.attention import INSTEAD, NEEDED_FOR, attend
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from minigpt.models.gpt import GPT
    from minigpt.models.inside import Attention
    from minigpt.text.tokenizer import Tokenizer


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
    """A word's vector (the mean over its tokens) after one layer, and its attention in that layer; none in layer 0."""

    layer: int  # from 1; 0 is the embedding, token and position added
    cosine_to_embedding: float
    moved: float  # its distance from the embedding, in lengths of the embedding
    looked_at: tuple[LookedAt, ...] = ()  # by its last token, mean of the layer's heads, the largest first
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
    tokens: int = 1  # that it consists of
    first: bool = False  # whether it begins what the model sees


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWord(Record):
    """A word in two texts, with the cosine similarity of its two vectors after each layer from 0."""

    first: WordInContext
    second: WordInContext
    cosines: tuple[float, ...]


def shared_word(
    model: GPT, tokenizer: Tokenizer, texts: tuple[str, str], word: str | None, *, top: int = 6
) -> SharedWord:
    """Compare a word that occurs in both texts, ignoring case; by default the longest. Raises ConfigError if they share
    none.

    `top`: how many of the tokens and words are listed that it attends to most.
    """
    from torch.nn.functional import cosine_similarity

    word = _common_word(*texts) if word is None else word
    (first, vectors_LC), (second, others_LC) = (_in_context(model, tokenizer, text, word, top) for text in texts)
    cosines = cosine_similarity(vectors_LC, others_LC, dim=-1)
    return SharedWord(first=first, second=second, cosines=tuple(cosines.tolist()))


def _common_word(one: str, other: str) -> str:
    words: list[str] = re.findall(r"\w+", one)
    others = {word.casefold() for word in re.findall(r"\w+", other)}
    common = [word for word in words if word.casefold() in others]
    require(bool(common), "The two texts share no word. Give texts that do, such as two meanings of one word.")
    return max(common, key=len)


def _in_context(model: GPT, tokenizer: Tokenizer, text: str, wanted: str, top: int) -> tuple[WordInContext, Tensor]:
    """The last occurrence of a word in a text, and its vectors [layers + 1, C]: the mean over its tokens."""
    occurrences = list(re.finditer(rf"(?<!\w){re.escape(wanted)}(?!\w)", text, re.IGNORECASE))
    require(bool(occurrences), f'The word "{brief(escaped(wanted))}" does not occur in "{brief(escaped(text))}".')
    found = occurrences[-1]
    read = tokenizer.encode_prompt(text)
    attention = attend(model, read.ids)
    at = bisect_left(list(accumulate(read.byte_counts)), len(text[: found.end()].encode())) - attention.start
    require(
        at >= 0,
        f'"{brief(escaped(wanted))}" is outside the last {model.config.context} tokens, which are all that the model '
        "sees.",
    )
    words = joined_words(read.byte_counts, attention.start, text, alone=len(tokenizer.prefix))
    number = next(number for number, tokens in enumerate(words) if at in tokens)
    word = range(words[number].start, at + 1)
    vectors_LC = attention.stream_LTC[:, list(word)].mean(1)
    context = WordInContext(
        text=text,
        word=found[0],
        position=attention.start + at,
        token=Token.of(tokenizer, attention.ids[at]),
        layers=tuple(_layers(attention, tokenizer, [*words[:number], word], vectors_LC, top)),
        tokens=len(word),
        first=number == 0,
    )
    return context, vectors_LC


def word_weights(weights_TS: Tensor, word: range, words: Sequence[range]) -> list[float]:
    """The attention of a word to each of `words`: the mean over its tokens of the sum over the other's tokens."""
    mean_S = weights_TS[list(word)].mean(0)
    return [float(mean_S[list(other)].sum()) for other in words]


def _layers(
    attention: Attention, tokenizer: Tokenizer, words: Sequence[range], vectors_LC: Tensor, top: int
) -> Iterator[WordLayer]:
    """The embedding and each layer of the last of `words`, which attends to all of them."""
    from torch.nn.functional import cosine_similarity

    embedding_C = vectors_LC[0]
    for layer, vector_C in enumerate(vectors_LC):
        attended = _attended(attention, tokenizer, words, layer, top) if layer else {}
        yield WordLayer(
            layer=layer,
            cosine_to_embedding=float(cosine_similarity(vector_C, embedding_C, dim=0)),
            moved=float((vector_C - embedding_C).norm() / embedding_C.norm()),
            **attended,
        )


def _attended(
    attention: Attention, tokenizer: Tokenizer, words: Sequence[range], layer: int, top: int
) -> dict[str, Any]:
    """What the last of `words` attends to in a layer, as fields of a WordLayer."""
    weights_TS, at = attention.weights_LHTS[layer - 1].mean(0), words[-1][-1]
    largest, positions = weights_TS[at, : at + 1].topk(min(top, at + 1))
    weights = word_weights(weights_TS, words[-1], words)
    order = sorted(range(len(words)), key=lambda number: -weights[number])
    return {
        "looked_at": tuple(
            LookedAt(
                position=attention.start + position, token=Token.of(tokenizer, attention.ids[position]), weight=weight
            )
            for weight, position in zip(largest.tolist(), positions.tolist(), strict=True)
        ),
        "words": tuple(
            LookedAtWord(
                position=attention.start + words[number].start,
                tokens=len(words[number]),
                text=tokenizer.decode([attention.ids[i] for i in words[number]]),
                weight=weights[number],
            )
            for number in order[:top]
        ),
        "other_words": len(order[top:]),
        "other_weight": math.fsum(weights[number] for number in order[top:]),
    }


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    other: str | None = setting(None, flag="with", help="Compare a word in two texts: another text that shares it.")
    word: str | None = setting(None, help="The shared word. By default the longest.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.other != "", f"{named('other')} needs a text that is not empty.")


def _ask(question: Question) -> Answer:
    from minigpt.text.losses import loss_note

    texts = question.text, question.flags.other
    if lost := loss_note(question.tokenizer, question.flags.other):
        question.note(lost)
    shared = shared_word(question.gpt(NEEDED_FOR, INSTEAD), question.tokenizer, texts, question.flags.word)
    return Answer(records=(shared,), text=question.text)


VIEW = View(
    command="inspect-attention",
    record=SharedWord,
    ask=_ask,
    title="A word in two texts",
    settings=_Flags,
    asked_by=("other",),
    takes=("word",),
    tokens_ahead=None,
)
