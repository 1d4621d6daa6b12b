"""A text in; which earlier tokens each of its tokens looks at, layer by layer and head by head, out.

Layers and heads count from 1; layer 0 is the embedding. A text beyond the context is read in its last window.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.errors import CorpusError, brief, named
from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import window_start
from minigpt.sampling.distribution import require_finite
from minigpt.settings import require
from minigpt.text.tokenizer import Tokenizer
from minigpt.text.wording import shown
from minigpt.views.probs import named_token
from minigpt.views.records import (
    AttentionGrid,
    HeadSummary,
    LookedAt,
    LookedAtWord,
    SharedWord,
    WordInContext,
    WordLayer,
)

NAMED = 0.5  # of a head's attention, for a kind to be its name


@dataclass(frozen=True)
class Attention:
    """What every layer did with a text: weights and scores [layers, H, T, T], the stream [layers + 1, T, C]."""

    ids: tuple[int, ...]
    start: int  # index in the text of the first of `ids`
    weights_LHTS: Tensor
    scores_LHTS: Tensor  # -inf where a token does not look, as it comes later
    stream_LTC: Tensor  # the embedding, then what each layer made of it


@torch.inference_mode()
def attend(model: GPT, ids: Sequence[int]) -> Attention:
    """One pass over `ids` (one or more) that writes down what the fused kernel keeps to itself.

    Raises CheckpointError where the logits are not finite.
    """
    start = window_start(len(ids), model.config.context)
    window = tuple(ids[start:])
    products: list[Tensor] = []
    stream: list[Tensor] = []
    hooks = [block.attn.c_attn.register_forward_hook(partial(_keep, products)) for block in model.blocks]
    hooks += [block.register_forward_hook(partial(_keep, stream)) for block in model.blocks]
    hooks.append(model.blocks[0].register_forward_pre_hook(lambda _, given: stream.append(given[0])))
    weights: list[Tensor] = []
    try:
        require_finite(model(torch.tensor([window], device=model.device), weights=weights).cpu())
    finally:
        for hook in hooks:
            hook.remove()
    return Attention(
        ids=window,
        start=start,
        weights_LHTS=torch.cat(weights).double().cpu(),
        scores_LHTS=torch.cat([_scores(qkv, model.config.heads) for qkv in products]).double().cpu(),
        stream_LTC=torch.cat(stream).double().cpu(),
    )


def _keep(kept: list[Tensor], module: torch.nn.Module, given: object, result: Tensor) -> None:
    kept.append(result)


def _scores(qkv_BTC: Tensor, heads: int) -> Tensor:
    """[B, H, T, T]: each query times each key, as the softmax is given them."""
    B, T, C3 = qkv_BTC.shape
    q, k, _ = qkv_BTC.view(B, T, 3, heads, C3 // 3 // heads).permute(2, 0, 3, 1, 4)
    scores: Tensor = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    return scores.masked_fill(torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(1), -torch.inf)


def head_summaries(attention: Attention) -> list[HeadSummary]:
    """Every head, by layer. Raises CorpusError where the window holds fewer than two tokens."""
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
    """[T, T]: whether the token of the column stands before that of the row and is the same."""
    row = torch.tensor(ids)
    return (row[:, None] == row[None, :]).tril(-1)


def _summary(weights_TS: Tensor, same_TS: Tensor, layer: int, head: int) -> HeadSummary:
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
    """One head, or the mean of a layer's heads (whose scores are means too). ConfigError where there is no such one."""
    layers, heads = attention.weights_LHTS.shape[:2]
    require(1 <= layer <= layers, f"{named('layer')} must be from 1 to {layers}, not {layer}.")
    require(head is None or 1 <= head <= heads, f"{named('head')} must be from 1 to {heads}, not {head}.")
    weights, scores = attention.weights_LHTS[layer - 1], attention.scores_LHTS[layer - 1]
    chosen = slice(None) if head is None else slice(head - 1, head)
    return AttentionGrid(
        layer=layer,
        head=head,
        tokens=tuple(named_token(tokenizer, token) for token in attention.ids),
        weights=_triangle(weights[chosen].mean(0)),
        scores=_triangle(scores[chosen].mean(0)),
    )


def _triangle(values_TS: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row[: t + 1]) for t, row in enumerate(values_TS.tolist()))


def shared_word(model: GPT, tokenizer: Tokenizer, texts: tuple[str, str], word: str | None, *, top: int) -> SharedWord:
    """A word of both texts, whatever its case; by default the longest. ConfigError where they share none."""
    word = _common_word(*texts) if word is None else word
    contexts: list[WordInContext] = []
    vectors: list[Tensor] = []
    for text in texts:
        attention = attend(model, ids := tokenizer.encode(text))
        place = _last_occurrence(text, word)
        at = _token_that_ends(tokenizer, ids, text[: place.end()]) - attention.start
        require(
            at >= 0, f'"{brief(shown(word))}" stands outside the last {model.config.context} tokens, all that is seen.'
        )
        context = _in_context(attention, tokenizer, text, place[0], at, top)
        contexts.append(context)
        vectors.append(attention.stream_LTC[:, at + 1 - context.tokens : at + 1].mean(1))
    cosines = F.cosine_similarity(vectors[0], vectors[1], dim=-1)
    return SharedWord(first=contexts[0], second=contexts[1], cosines=tuple(cosines.tolist()))


def _common_word(one: str, other: str) -> str:
    words: list[str] = re.findall(r"\w+", one)
    others = {word.casefold() for word in re.findall(r"\w+", other)}
    common = [word for word in words if word.casefold() in others]
    require(bool(common), "The two texts share no word. Give texts that do, such as two meanings of one word.")
    return max(common, key=len)


def _last_occurrence(text: str, word: str) -> re.Match[str]:
    found = list(re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))
    require(bool(found), f'The word "{brief(shown(word))}" does not stand in "{brief(shown(text))}".')
    return found[-1]


def _token_that_ends(tokenizer: Tokenizer, ids: Sequence[int], beginning: str) -> int:
    """The index of the token with which `beginning`, the first part of a text, ends."""
    end, seen = len(beginning.encode()), 0
    for index, token in enumerate(ids):
        seen += len(tokenizer.token_bytes(token))
        if seen >= end:
            return index
    raise CorpusError(
        "This model's tokenizer changes the text, such as its spaces, so the tokens of a word in it cannot be told."
    )


def joined_words(tokenizer: Tokenizer, ids: Sequence[int], start: int, text: str) -> list[range]:
    """The tokens from `start` on as words of `text`: letters and digits, or other signs, with the space before them.

    Ranges count from `start`. A token that reaches into two words is part of the first of which it has a letter.
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
    """How much a word looks at each of `words`: the mean over its tokens of the sum over the other's."""
    mean_S = weights_TS[list(word)].mean(0)
    return [float(mean_S[list(other)].sum()) for other in words]


def _in_context(attention: Attention, tokenizer: Tokenizer, text: str, word: str, at: int, top: int) -> WordInContext:
    weights_LTS, weights_LS = attention.weights_LHTS.mean(1), attention.weights_LHTS[:, :, at].mean(1)
    words = joined_words(tokenizer, tokenizer.encode(text), attention.start, text)
    mine = next(number for number, tokens in enumerate(words) if at in tokens)
    joined = range(words[mine].start, at + 1)
    words = [*words[:mine], joined]
    stream_LC = attention.stream_LTC[:, list(joined)].mean(1)
    embedding = stream_LC[0]
    tokens = [named_token(tokenizer, token) for token in attention.ids]
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
                cosine_to_embedding=float(F.cosine_similarity(vector, embedding, dim=0)),
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
    """The `top` words that the last of `words` looks at most, how many others there are, and their weight."""
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
