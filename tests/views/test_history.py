"""A row for each model of a training, against what each of them says when asked alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from minigpt.checkpoint.listing import Snapshot
from minigpt.models.gpt import GPT
from minigpt.sampling.distribution import divergence_bits
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.history import HistoryRow, by_layer, history, history_by_layer
from minigpt.views.probs import next_token

IDS = [5, 9, 40]


@pytest.fixture
def models(make_model: Callable[..., GPT], bpe: Tokenizer) -> dict[int, GPT]:
    return {step: make_model(bpe.vocab_size, seed=step) for step in (0, 3, 10)}


def rows(models: dict[int, GPT], tokenizer: Tokenizer, **options: object) -> list[HistoryRow]:
    kept = [Snapshot(Path(str(step)), step, step + 0.5, None) for step in models]
    return list(history(kept, lambda s: models[s.step], tokenizer, IDS, **options))  # type: ignore[arg-type]


def test_each_row_is_what_its_model_says_alone(models: dict[int, GPT], bpe: Tokenizer) -> None:
    found = rows(models, bpe, tracked=[7, 300])
    assert [row.step for row in found] == [0, 3, 10]
    assert [row.final for row in found] == [False, False, True]
    assert [row.validation_loss_nats for row in found] == [0.5, 3.5, 10.5]
    for row in found:
        whole = next_token(models[row.step], bpe, IDS, top=bpe.vocab_size)
        alone = {candidate.id: candidate for candidate in whole.candidates}
        assert row.entropy_bits == pytest.approx(whole.entropy_bits)
        assert [c.id for c in row.tracked] == [7, 300]
        for candidate in row.tracked:
            assert candidate.raw_prob == pytest.approx(alone[candidate.id].raw_prob, abs=1e-9)
            assert candidate.rank == alone[candidate.id].rank


def test_without_a_choice_the_final_models_best_are_followed(models: dict[int, GPT], bpe: Tokenizer) -> None:
    best = [candidate.id for candidate in next_token(models[10], bpe, IDS, top=3).candidates]
    assert all([c.id for c in row.tracked] == best for row in rows(models, bpe, top=3))


def test_the_divergence_is_from_the_final_model(models: dict[int, GPT], bpe: Tokenizer) -> None:
    with torch.inference_mode():
        logits = {step: model(torch.tensor([IDS]))[0, -1].numpy() for step, model in models.items()}
    for row in rows(models, bpe):
        assert row.divergence_bits == pytest.approx(divergence_bits(logits[10], logits[row.step]), abs=1e-5)
    assert rows(models, bpe)[-1].divergence_bits == 0


@pytest.mark.parametrize("token", [None, 7])
def test_every_layer_of_every_model_is_what_the_lens_shows(
    models: dict[int, GPT], bpe: Tokenizer, token: int | None
) -> None:
    kept = [Snapshot(Path(str(step)), step, None, None) for step in models]
    found = list(history_by_layer(kept, lambda s: models[s.step], bpe, IDS, token=token))
    followed = next_token(models[10], bpe, IDS, top=1).candidates[0].id if token is None else token
    assert [(row.step, row.final) for row in found] == [(0, False), (3, False), (10, True)]
    for row in found:
        lens = by_layer(models[row.step], bpe, IDS, tracked=[followed])
        assert list(row.layers) == [layer.tracked[0] for layer in lens]
