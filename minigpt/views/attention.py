"""The attention weights of each token of a text, of one head or averaged over a layer, and where each head looks.

Layers and heads count from 1; layer 0 is the embedding. A text beyond the context is read in its last window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import CorpusError, named
from minigpt.records import Record
from minigpt.settings import Range, Settings, require, setting
from minigpt.text.records import Token
from minigpt.views import alignment
from minigpt.views.alignment import check_head, check_page, grids_of
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from minigpt.models.gpt import GPT
    from minigpt.models.inside import Attention
    from minigpt.text.tokenizer import Tokenizer

NEEDED_FOR = "inspect-attention shows attention"
INSTEAD = {  # by the kind of model
    "lstm": f"minigpt inspect-probs TEXT {named('gates')} shows an LSTM's gates and state.",
    "rnn": f"minigpt inspect-probs TEXT {named('gates')} shows an RNN's state.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionGrid(Record):
    """The attention of each token of a text (a row) to itself and each one before it. Each row sums to 1."""

    layer: int  # from 1
    head: int | None  # from 1; None for the mean of the layer's heads
    tokens: tuple[Token, ...]
    weights: tuple[tuple[float, ...], ...]  # row t has t + 1 of them
    scores: tuple[tuple[float, ...], ...]  # query . key / sqrt(head width), before the softmax


def attend(model: GPT, ids: Sequence[int]) -> Attention:
    """One pass over `ids` (one or more) that keeps the attention weights.

    Raises CheckpointError if the logits are not finite.
    """
    from minigpt.models.functional import as_array
    from minigpt.models.inside import look_inside
    from minigpt.sampling.distribution import require_finite

    attention, logits_BTV = look_inside(model, ids)
    require_finite(as_array(logits_BTV))
    return attention


def attention_grid(attention: Attention, tokenizer: Tokenizer, layer: int, head: int | None) -> AttentionGrid:
    """The grid of one head, or the mean over a layer's heads (of scores too). Raises ConfigError if there is no such
    head.
    """
    check_head(attention.weights_LHTS, layer, head)
    weights, scores = attention.weights_LHTS[layer - 1], attention.scores_LHTS[layer - 1]
    chosen = slice(None) if head is None else slice(head - 1, head)
    return AttentionGrid(
        layer=layer,
        head=grids_of(len(weights))[0] if head is None else head,
        tokens=tuple(Token.of(tokenizer, token) for token in attention.ids),
        weights=_triangle(weights[chosen].mean(0)),
        scores=_triangle(scores[chosen].mean(0)),
    )


def _triangle(values_TS: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row[: t + 1]) for t, row in enumerate(values_TS.tolist()))


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
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


def attention_of(question: Question) -> Attention:
    """The attention in the text that is asked about, with a note if it is only its last window."""
    model, target = question.gpt(NEEDED_FOR, INSTEAD), question.flags.target
    require(target is None, f"{named('target')} is for a model of pairs: a GPT continues the text that it reads.")
    attention = attend(model, question.ids)
    if attention.start:
        count = len(attention.ids)
        shown = f"last {count} tokens are" if count > 1 else "last token is"
        question.note(f"the text is longer than the context: its {shown} shown.")
    return attention


def _ask(question: Question) -> Answer:
    attention, flags = attention_of(question), question.flags
    grid = attention_grid(attention, question.tokenizer, flags.layer, flags.head)
    facts = {"attention": attention, "scores": flags.scores, "chosen": (grid.layer, grid.head)}
    return Answer(records=(grid,), text=question.text, facts=facts)


def every_grid(question: Question, answer: Answer) -> Sequence[AttentionGrid]:
    """All grids of each layer. Raises ConfigError if they are too large for a page."""
    attention, config = answer.facts["attention"], question.model.config
    if question.flags.scores:
        question.note("the page shows the attention weights, not the scores before the softmax.")
    count = len(attention.ids)
    check_page(config.layers, config.heads, count, count * (count + 1) // 2)
    return [
        attention_grid(attention, question.tokenizer, layer, head)
        for layer in range(1, config.layers + 1)
        for head in grids_of(config.heads)
    ]


VIEW = View(
    command="inspect-attention",
    record=AttentionGrid,
    ask=_ask,
    title="Which earlier tokens each token attends to",
    settings=_Flags,
    asked_by=("layer",),
    takes=("head", "scores", "target"),
    page=every_grid,
    tokens_ahead=None,
    for_pairs=alignment.VIEW,
)


_NAMED = 0.5  # of a head's attention, for a kind to be its name


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSummary:
    """Where one attention head looks, as shares from 0 to 1, averaged over the tokens of a text except the first."""

    layer: int  # from 1
    head: int  # from 1
    entropy_bits: float  # of its weights
    previous: float  # on the token before
    first: float | None  # on the first token of the text, from the third token on; None if there is no third
    same: float | None  # on earlier tokens that are the same, over the tokens that have any; None if none has
    itself: float
    kind: str | None  # previous-token, first-token, same-token or itself, where that is half of its attention or more


def head_summaries(attention: Attention) -> list[HeadSummary]:
    """A summary of every head, by layer. Raises CorpusError if the window holds fewer than two tokens."""
    import torch

    if len(attention.ids) < 2:
        why = "the model's context is one token" if attention.start else "give a text of two tokens or more"
        raise CorpusError(f"A single token can only attend to itself: {why}.")
    ids_T = torch.tensor(attention.ids)
    same_TS = (ids_T[:, None] == ids_T).tril(-1)  # whether the column's token is an earlier one and the same
    return [
        _summary(weights_TS, same_TS, layer, head)
        for layer, weights_HTS in enumerate(attention.weights_LHTS, 1)
        for head, weights_TS in enumerate(weights_HTS, 1)
    ]


def _summary(weights_TS: Tensor, same_TS: Tensor, layer: int, head: int) -> HeadSummary:
    import torch

    entropy_nats = torch.special.entr(weights_TS[1:]).sum(-1).mean()
    repeated_T = same_TS.any(-1)
    previous = float(weights_TS.diagonal(-1).mean())
    first = float(weights_TS[2:, 0].mean()) if len(weights_TS) > 2 else None
    same = float((weights_TS * same_TS).sum(-1)[repeated_T].mean()) if repeated_T.any() else None
    itself = float(weights_TS.diagonal()[1:].mean())
    shares = {"previous-token": previous, "first-token": first or 0.0, "same-token": same or 0.0, "itself": itself}
    kind = max(shares, key=lambda name: shares[name])
    return HeadSummary(
        layer=layer,
        head=head,
        entropy_bits=float(entropy_nats / math.log(2)),
        previous=previous,
        first=first,
        same=same,
        itself=itself,
        kind=kind if shares[kind] >= _NAMED else None,
    )


def _ask_heads(question: Question) -> Answer:
    attention = attention_of(question)
    return Answer(records=head_summaries(attention), text=question.text, facts={"attention": attention})


HEADS = View(
    command="inspect-attention",
    record=HeadSummary,
    key="heads",
    ask=_ask_heads,
    title="Where each attention head looks",
    takes=("target",),
    page=every_grid,
    tokens_ahead=None,
    for_pairs=alignment.VIEW,
)
