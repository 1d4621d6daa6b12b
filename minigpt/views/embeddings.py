"""The vectors of tokens, their nearest neighbours, and the cosine similarities between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.settings import MANY, Range, Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minigpt.models.kinds import Model
    from minigpt.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour(Token):
    """A token whose vector points in a similar direction."""

    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenVector(Token):
    """A token's row of `wte`, the table of input embeddings and, if tied, of output embeddings."""

    norm: float
    mean: float
    vector: tuple[float, ...]
    neighbours: tuple[Neighbour, ...]  # the nearest first; none where the vector is zero
    cosines: tuple[float | None, ...]  # to each of the tokens asked about, this one included; None for a zero vector


def token_vectors(model: Model, tokenizer: Tokenizer, tokens: Sequence[int], *, top: int) -> list[TokenVector]:
    """A record for each of `tokens`: its row of `wte`, and the `top` others by cosine similarity, ties by id.

    Cosines are in float64. If `wte` is tied, a token's logit is the product with the same vector, so tokens with
    similar vectors are predicted in similar contexts.
    """
    from minigpt.sampling.vocabulary import best_ids

    table_VC = model.wte.weight.detach().cpu().double()
    vectors_NC = table_VC[list(tokens)]
    lengths_NV = vectors_NC.norm(dim=-1)[:, None] * table_VC.norm(dim=-1)
    cosines_NV = (vectors_NC @ table_VC.T / lengths_NV).clamp(-1, 1)  # rounding goes beyond; NaN for a zero vector
    records = []
    for token, vector_C, cosines_V in zip(tokens, vectors_NC, cosines_NV, strict=True):
        others_V = cosines_V.nan_to_num(-math.inf)
        others_V[token] = -math.inf
        nearest = [i for i in best_ids(others_V.numpy(), top) if others_V[i] > -math.inf]
        numbers = {
            "norm": float(vector_C.norm()),
            "mean": float(vector_C.mean()),
            "vector": tuple(vector_C.tolist()),
            "neighbours": tuple(Neighbour.of(tokenizer, i, cosine=float(cosines_V[i])) for i in nearest),
            "cosines": tuple(None if cosine.isnan() else float(cosine) for cosine in cosines_V[list(tokens)]),
        }
        records.append(TokenVector.of(tokenizer, token, **numbers))
    return records


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    nearest: int = setting(
        10, flag="top", help="Nearest tokens to list.", range=Range(0, MANY, both=True), shows_range=True
    )


def _ask(question: Question) -> Answer:
    vectors = token_vectors(question.torch_model, question.tokenizer, question.ids, top=question.flags.nearest)
    return Answer(records=vectors, facts={"tied": question.model.config.tied})


VIEW = View(
    command="inspect-embeddings",
    record=TokenVector,
    key="tokens",
    ask=_ask,
    title="The vectors of tokens, and the tokens with the most similar ones",
    settings=_Flags,
    takes=("nearest",),
    tokens_ahead=None,
    at_end=False,
    of_tokens=True,
)
