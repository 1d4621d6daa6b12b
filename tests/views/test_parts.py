"""What each part is worth to a token: against the logit, and against the lists of `--without`."""

import math
from collections.abc import Callable

import pytest
import torch

from minigpt.models.ablation import contributions, logits_without
from minigpt.models.gpt import GPT
from minigpt.models.parts import Part
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.parts import parts_worth
from minigpt.views.without import next_without

IDS = [5, 9, 40, 301, 77, 9, 9, 120, 3, 254]
EVERY = [Part("head", 1, 1), Part("head", 1, 2), Part("mlp", 1), Part("head", 2, 1), Part("head", 2, 2), Part("mlp", 2)]


@pytest.mark.parametrize("length", [1, 10, 16, 17, 60])
def test_contributions_add_up_to_the_logit_that_the_model_computes(model: GPT, bpe: Tokenizer, length: int) -> None:
    ids = (IDS * 6)[:length]
    record = parts_worth(model, bpe, ids, token=200)
    logit = float(logits_without(model, ids, ())[200])
    assert record.token.logit == pytest.approx(logit)
    assert record.contribution_sum == pytest.approx(logit, abs=1e-4)
    assert math.fsum(part.contribution for part in record.parts) == pytest.approx(record.contribution_sum, abs=1e-9)
    assert {part.part: part.contribution for part in record.parts} == pytest.approx(contributions(model, ids, 200))
    assert (record.position, record.unseen) == (length, 0 if length <= 16 else length - (8 + (length - 1) % 8 + 1))


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_a_change_is_that_of_the_list_without_the_part(model: GPT, bpe: Tokenizer, to: str) -> None:
    record = parts_worth(model, bpe, IDS, token=200, ablation=to)
    assert (record.ablation, record.token.id) == (to, 200)
    changes = {part.part: part.change_bits for part in record.parts if part.change_bits is not None}
    assert set(changes) == set(EVERY)
    for part, bits in changes.items():
        without = next_without(model, bpe, IDS, [part.name], ablation=to, tracked=[200], top=1).candidates[-1]
        assert bits == pytest.approx(without.change_bits, abs=1e-4)
    assert max(map(abs, changes.values())) > 0.1


def test_the_largest_change_comes_first_and_what_cannot_be_switched_off_last(model: GPT, bpe: Tokenizer) -> None:
    parts = parts_worth(model, bpe, IDS, token=200).parts
    changes = [abs(part.change_bits) for part in parts if part.change_bits is not None]
    assert changes == sorted(changes, reverse=True)
    assert [part.part for part in parts[len(changes) :]] == [
        Part("token_embedding"), Part("position_embedding"), Part("attention_bias", 1), Part("attention_bias", 2),
        Part("final_norm_bias"),
    ]  # fmt: skip


def test_without_a_choice_the_most_likely_token_is_explained(model: GPT, bpe: Tokenizer) -> None:
    record = parts_worth(model, bpe, IDS)
    assert (record.token.id, record.token.rank) == (int(logits_without(model, IDS, ()).argmax()), 1)
    assert record.surprisal_bits == pytest.approx(-math.log2(record.token.raw_prob))


def test_a_part_that_writes_nothing_is_worth_nothing(make_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    model = make_model(bpe.vocab_size, seed=2)
    with torch.no_grad():
        model.blocks[0].mlp.c_proj.weight.zero_()
        model.blocks[0].mlp.c_proj.bias.zero_()
        model.blocks[1].attn.c_proj.weight[:8] = 0  # the first of two heads of 16 columns
    found = {part.part: part for part in parts_worth(model, bpe, IDS).parts}
    for part in (Part("mlp", 1), Part("head", 2, 1)):
        assert found[part].contribution == 0
        assert found[part].change_bits == pytest.approx(0, abs=1e-5)


def test_progress_is_told_of_every_part(model: GPT, bpe: Tokenizer) -> None:
    told: list[int] = []
    parts_worth(model, bpe, IDS, progress=told.append)
    assert sum(told) == len(EVERY)
