"""Given positions: the table of the paper, number by number, and a model that keeps it and is still a GPT-2."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from minigpt.checkpoint.folder import load, save_description, save_weights
from minigpt.models.gpt import GPT
from minigpt.models.kinds import AMPLITUDE, give_positions
from minigpt.models.sinusoids import sinusoids
from minigpt.text.tokenizer import Tokenizer


@pytest.mark.parametrize(("context", "width"), [(1, 1), (7, 2), (16, 5), (64, 48), (1024, 768)])
def test_the_sinusoids_are_those_of_the_paper(context: int, width: int) -> None:
    table = sinusoids(context, width)
    assert table.shape == (context, width)
    for position in {0, context // 3, context // 2, context - 1}:
        for channel in range(width):
            angle = position / 10_000 ** (2 * (channel // 2) / width)
            expected = math.cos(angle) if channel % 2 else math.sin(angle)
            assert table[position, channel].item() == pytest.approx(expected, abs=1e-6)


def test_a_step_on_is_the_same_rotation_everywhere() -> None:
    table = sinusoids(100, 32).double()
    scores = table @ table.T
    for distance in (0, 1, 5, 50):
        torch.testing.assert_close(
            scores.diagonal(distance), scores[0, distance].expand(100 - distance), atol=1e-4, rtol=0
        )


def test_what_is_given_is_frozen_and_the_rest_is_as_it_was(make_model: Callable[..., GPT]) -> None:
    learned = make_model(50)
    for kind, expected in (("sinusoidal", sinusoids(16, 16) * AMPLITUDE), ("none", torch.zeros(16, 16))):
        model = give_positions(make_model(50), kind)
        assert torch.equal(model.wpe.weight, expected)
        assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["wpe.weight"]
        others = [n for n, p in model.named_parameters() if not torch.equal(p, learned.get_parameter(n))]
        assert others == ["wpe.weight"]
    assert all(p.requires_grad for p in give_positions(learned, "learned").parameters())


def test_without_positions_the_last_tokens_prediction_depends_on_no_order_before_it(
    make_model: Callable[..., GPT],
) -> None:
    model = give_positions(make_model(50, layers=1), "none")
    with torch.no_grad():
        one, other = model(torch.tensor([[3, 7, 11, 2]])), model(torch.tensor([[11, 3, 7, 2]]))
    torch.testing.assert_close(one[0, -1], other[0, -1], atol=1e-5, rtol=1e-5)  # with one layer, a bag of tokens


@pytest.mark.parametrize("kind", ["sinusoidal", "none"])
def test_transformers_loads_it_as_a_gpt2(
    make_model: Callable[..., GPT], bpe: Tokenizer, tmp_path: Path, kind: str
) -> None:
    model = give_positions(make_model(bpe.vocab_size), kind)
    save_description(tmp_path, model.config, bpe, torch.float32)
    save_weights(tmp_path, model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.tensor([bpe.encode("The quick")])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-5, rtol=1e-5)
    assert torch.equal(load(tmp_path).model.wpe.weight, model.wpe.weight)
