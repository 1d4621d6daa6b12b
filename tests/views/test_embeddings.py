"""Vectors, neighbours and cosines, against one dot product at a time."""

import math
from collections.abc import Callable

import pytest
import torch

from minigpt.models.gpt import GPT
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.embeddings import token_vectors


def cosine(a: list[float], b: list[float]) -> float:
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def test_every_number_is_that_of_the_table(model: GPT, bpe: Tokenizer) -> None:
    rows = model.wte.weight.double().tolist()
    records = token_vectors(model, bpe, [7, 300, 7], top=5)
    assert [record.id for record in records] == [7, 300, 7]
    for record in records:
        assert list(record.vector) == rows[record.id]
        assert bytes.fromhex(record.bytes) == bpe.token_bytes(record.id)
        assert record.norm == pytest.approx(math.hypot(*rows[record.id]))
        assert record.mean == pytest.approx(math.fsum(rows[record.id]) / len(rows[record.id]))
        by_hand = {i: cosine(rows[record.id], row) for i, row in enumerate(rows) if i != record.id}
        nearest = sorted(by_hand, key=lambda i: -by_hand[i])[:5]
        assert [neighbour.id for neighbour in record.neighbours] == nearest
        for neighbour in record.neighbours:
            assert neighbour.cosine == pytest.approx(by_hand[neighbour.id])
        assert record.cosines == pytest.approx([cosine(rows[record.id], rows[i]) for i in (7, 300, 7)])


def test_all_others_are_neighbours_when_asked_for(model: GPT, bpe: Tokenizer) -> None:
    (record,) = token_vectors(model, bpe, [7], top=10**6)
    assert sorted([7, *(neighbour.id for neighbour in record.neighbours)]) == list(range(bpe.vocab_size))
    assert token_vectors(model, bpe, [7], top=0)[0].neighbours == ()


def test_a_zero_vector_has_no_direction(bpe: Tokenizer, make_model: Callable[..., GPT]) -> None:
    model = make_model(bpe.vocab_size)
    with torch.no_grad():
        model.wte.weight[7] = 0
        model.wte.weight[8] = 3 * model.wte.weight[9]
    zero, nine = token_vectors(model, bpe, [7, 9], top=bpe.vocab_size)
    assert zero.neighbours == ()
    assert zero.cosines == (None, None)
    assert nine.cosines == (None, pytest.approx(1))
    assert nine.neighbours[0].id == 8
    assert 7 not in [neighbour.id for neighbour in nine.neighbours]
    assert len(nine.neighbours) == bpe.vocab_size - 2
