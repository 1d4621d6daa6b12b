"""What each layer of a model would predict after a text: the logit lens (nostalgebraist, 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import named
from minigpt.sampling.records import Candidate, Other
from minigpt.settings import Settings, setting
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minigpt.models.gpt import GPT
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class LensRow:
    """The prediction of one layer: its residual stream through the final norm and the output table.

    candidates + other = 1. The last layer's row is the model's output.
    """

    layer: int  # 0: the embeddings; n: after block n
    candidates: tuple[Candidate, ...]  # the best by logit
    other: Other
    entropy_bits: float
    divergence_bits: float  # D(output || this layer)
    tracked: tuple[Candidate, ...]  # the same tokens in every row


def by_layer(
    model: GPT, tokenizer: Tokenizer, ids: Sequence[int], *, tracked: Sequence[int] = (), top: int = 1
) -> list[LensRow]:
    """One row for the embeddings and for each block, predicting what follows `ids` (one or more).

    Each row is the residual stream of the last token, through the final layer norm and the output table, so the last
    row is the model's output, bit for bit. Only the last layer was trained to be read in this way. `tracked`: tokens
    whose probability and rank are followed, by default the most likely one.
    """
    from minigpt.models.arrays import as_array
    from minigpt.models.inside import layer_logits
    from minigpt.sampling.distribution import all_others, candidates, distribution, divergence_bits
    from minigpt.sampling.vocabulary import best_ids

    dists = [distribution(as_array(logits_V)) for logits_V in layer_logits(model, ids)]
    output = dists[-1]
    followed = tracked or best_ids(output.logits_V, 1)
    rows = []
    for layer, dist in enumerate(dists):
        best = best_ids(dist.logits_V, top)
        rows.append(
            LensRow(
                layer=layer,
                candidates=candidates(dist, best, tokenizer.token_bytes),
                other=all_others(dist, best),
                entropy_bits=dist.entropy_bits,
                divergence_bits=divergence_bits(output.logits_V, dist.logits_V),
                tracked=candidates(dist, followed, tokenizer.token_bytes),
            )
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    by_layer: bool = setting(False, help="Show what each layer would predict: the logit lens.")


def _ask(question: Question) -> Answer:
    tracked, model = question.tracked(), question.gpt(f"{named('by_layer')} reads the residual stream of every layer")
    rows = by_layer(model, question.tokenizer, question.ids, tracked=tracked, top=question.top)
    return Answer(records=rows, text=question.text)


VIEW = View(
    record=LensRow,
    key="rows",
    ask=_ask,
    title="What each layer would predict",
    settings=_Flags,
    asked_by=("by_layer",),
    takes=("track",),
)
