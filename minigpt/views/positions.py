"""The table of positions, its rows' cosine similarities, and the sinusoidal table of the same size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigpt.errors import CheckpointError, named
from minigpt.settings import Settings, setting
from minigpt.views.view import Answer, Question, Stream, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from minigpt.models.gpt import GPT

NEEDED_FOR = f"{named('positions')} shows the table of positions"
_AT_ONCE = 64  # positions
_ALIKE = 0.01  # of a table's norm: rounding to bfloat16 changes less


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
    from minigpt.models.sinusoids import sinusoids

    table_TC = model.wpe.weight.detach().cpu().double()
    if not table_TC.isfinite().all():
        raise CheckpointError(
            "The table of positions holds numbers that are not finite: the model is damaged, or its training diverged."
        )
    return table_TC, sinusoids(*table_TC.shape).double()


@dataclass(frozen=True, kw_only=True)
class _Flags(Settings):
    positions: bool = setting(False, help="Show the table of positions as a picture, beside the sinusoidal one.")


def _ask(question: Question) -> Answer:
    model = question.gpt(NEEDED_FOR)
    kind, config = position_kind(model), model.config
    return Answer(
        records=Stream(lambda: position_vectors(model)),
        fields={"kind": kind},
        facts={"kind": kind, "positions": config.context, "dimensions": config.width},
    )


VIEW = View(
    command="inspect-embeddings",
    record=PositionVector,
    key="positions",
    ask=_ask,
    title="The positions, learned and sinusoidal",
    settings=_Flags,
    asked_by=("positions",),
    tokens_ahead=None,
    at_end=False,
    of_model=True,
)
