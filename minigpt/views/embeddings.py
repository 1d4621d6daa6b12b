"""Vectors of tokens, with their nearest neighbours, and of positions, beside the sinusoidal table of the same size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import CheckpointError, named
from minigpt.settings import MANY, Range, Settings, setting
from minigpt.text.records import Token
from minigpt.views.view import Answer, Question, Stream, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from minigpt.models.gpt import GPT
    from minigpt.models.kinds import Model
    from minigpt.text.tokenizer import Tokenizer

_AT_ONCE = 64  # positions
_ALIKE = 0.01  # of a table's norm: rounding to bfloat16 changes less


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionVector:
    """A position's row of `wpe`, which the model adds to the vector of the token there; and the sinusoidal one."""

    position: int  # from 0
    norm: float
    vector: tuple[float, ...]
    cosines: tuple[float | None, ...]  # to the vectors of all positions; None for a zero vector
    sinusoidal: tuple[float, ...]  # Vaswani et al., "Attention Is All You Need", 2017
    sinusoidal_cosines: tuple[float, ...]


def position_vectors(model: GPT) -> Iterator[PositionVector]:
    """A record for each position of the context. Cosines are in float64.

    Raises CheckpointError if a number is not finite.
    """
    tables = _tables(model)
    norms = tables[0].norm(dim=-1).tolist()
    directions = [table_TC / table_TC.norm(dim=-1, keepdim=True) for table_TC in tables]
    for start in range(0, len(norms), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        cosines = ((one_TC[some] @ one_TC.T).clamp(-1, 1).tolist() for one_TC in directions)  # rounding goes beyond
        vectors = (table_TC[some].tolist() for table_TC in tables)
        for row, (mine, other, vector, sinusoidal) in enumerate(zip(*cosines, *vectors, strict=True)):
            yield PositionVector(
                position=start + row,
                norm=norms[start + row],
                vector=tuple(vector),
                cosines=tuple(mine) if all(norms) else tuple(None if math.isnan(x) else x for x in mine),
                sinusoidal=tuple(sinusoidal),
                sinusoidal_cosines=tuple(other),
            )


def position_kind(model: GPT) -> str:
    """`none` for a table of zeros, `sinusoidal` for a multiple of the sinusoidal table, otherwise `learned`."""
    table_TC, sinusoidal_TC = _tables(model)
    if not table_TC.any():
        return "none"
    scale = (table_TC * sinusoidal_TC).sum() / sinusoidal_TC.square().sum()
    return "sinusoidal" if (table_TC - scale * sinusoidal_TC).norm() < _ALIKE * table_TC.norm() else "learned"


def _tables(model: GPT) -> tuple[Tensor, Tensor]:
    """`wpe` and the sinusoidal table, [T, C] each."""
    from minigpt.models.functional import sinusoids

    table_TC = model.wpe.weight.detach().cpu().double()
    if not table_TC.isfinite().all():
        raise CheckpointError(
            "The table of positions holds numbers that are not finite: the model is damaged, or its training diverged."
        )
    return table_TC, sinusoids(*table_TC.shape).double()


@dataclass(frozen=True, kw_only=True)
class _TokenFlags(Settings):
    nearest: int = setting(
        10, flag="top", help="Nearest tokens to list.", range=Range(0, MANY, both=True), shows_range=True
    )


def _ask_tokens(question: Question) -> Answer:
    vectors = token_vectors(question.torch_model, question.tokenizer, question.ids, top=question.flags.nearest)
    return Answer(records=vectors, facts={"tied": question.model.config.tied})


TOKENS = View(
    command="inspect-embeddings",
    record=TokenVector,
    key="tokens",
    ask=_ask_tokens,
    title="The vectors of tokens, and the tokens with the most similar ones",
    settings=_TokenFlags,
    takes=("nearest",),
    tokens_ahead=None,
    of_tokens=True,
)


@dataclass(frozen=True, kw_only=True)
class _PositionFlags(Settings):
    positions: bool = setting(False, help="Show the table of positions as a picture, beside the sinusoidal one.")


def _ask_positions(question: Question) -> Answer:
    model = question.gpt(f"{named('positions')} shows the table of positions")
    kind, config = position_kind(model), model.config
    return Answer(
        records=Stream(lambda: position_vectors(model)),
        fields={"kind": kind},
        facts={"kind": kind, "positions": config.context, "dimensions": config.width},
    )


POSITIONS = View(
    command="inspect-embeddings",
    record=PositionVector,
    key="positions",
    ask=_ask_positions,
    title="The positions, learned and sinusoidal",
    settings=_PositionFlags,
    asked_by=("positions",),
    tokens_ahead=None,
    of_model=True,
)
