"""Positions against the formulas, one number at a time."""

import math
from collections.abc import Callable

import pytest
import torch

from minigpt.errors import CheckpointError
from minigpt.models.gpt import GPT
from minigpt.models.kinds import give_positions
from minigpt.views.embeddings import position_kind, position_vectors


def cosine(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_every_number_is_that_of_the_table(model: GPT) -> None:
    rows = model.wpe.weight.double().tolist()
    records = list(position_vectors(model))
    assert [record.position for record in records] == list(range(len(rows)))
    for record, row in zip(records, rows, strict=True):
        assert list(record.vector) == row
        assert record.norm == pytest.approx(math.hypot(*row))
        assert record.cosines == pytest.approx([cosine(row, other) for other in rows])


def test_the_other_table_is_that_of_vaswani_et_al(model: GPT) -> None:
    """PE(pos, 2i) = sin(pos / 10000^(2i / d)), PE(pos, 2i + 1) = cos(the same): 2017, section 3.5."""
    context, width = model.wpe.weight.shape
    table = [
        [(math.cos if c % 2 else math.sin)(position / 10_000 ** (c // 2 * 2 / width)) for c in range(width)]
        for position in range(context)
    ]
    for record, row in zip(position_vectors(model), table, strict=True):
        assert record.sinusoidal == pytest.approx(row, abs=1e-6)
        assert record.sinusoidal_cosines == pytest.approx([cosine(row, other) for other in table], abs=1e-6)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal", "none"])
def test_what_kind_they_are_is_seen_in_the_weights(make_model: Callable[..., GPT], kind: str) -> None:
    model = give_positions(make_model(300, 32), kind)
    assert position_kind(model) == kind
    model.wpe.weight.data = model.wpe.weight.data.bfloat16().float()  # as it may be stored
    assert position_kind(model) == kind


def test_a_position_of_zeros_has_no_direction(make_model: Callable[..., GPT]) -> None:
    model = make_model(300)
    with torch.no_grad():
        model.wpe.weight[3] = 0
    records = list(position_vectors(model))
    assert set(records[3].cosines) == {None}
    assert [record.position for record in records if record.cosines[3] is None] == list(range(16))
    assert records[3].norm == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_damaged_table_is_refused(make_model: Callable[..., GPT], bad: float) -> None:
    model = make_model(300)
    with torch.no_grad():
        model.wpe.weight[3, 1] = bad
    for ask in (lambda: list(position_vectors(model)), lambda: position_kind(model)):
        with pytest.raises(CheckpointError, match="numbers that are not finite"):
            ask()
