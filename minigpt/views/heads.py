"""Where each attention head looks: at the token before, the first one, an earlier one that is the same, or itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import CorpusError
from minigpt.views import alignment
from minigpt.views.attention import attention_of, every_grid
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from torch import Tensor

    from minigpt.models.inside import Attention

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


def _ask(question: Question) -> Answer:
    attention = attention_of(question)
    return Answer(records=head_summaries(attention), text=question.text, facts={"attention": attention})


VIEW = View(
    command="inspect-attention",
    record=HeadSummary,
    key="heads",
    ask=_ask,
    title="Where each attention head looks",
    takes=("target",),
    page=every_grid,
    tokens_ahead=None,
    at_end=False,
    for_pairs=alignment.VIEW,
)
