"""A GPT without one of its parts: what is left is the same, and what is gone does nothing."""

import pytest
import torch

from minigpt.contest.ablation import PARTS, ablated, learned_parameters
from minigpt.settings import ModelConfig

CONFIG = ModelConfig(vocab_size=20, context=8, layers=2, heads=2, width=16)
C, L = CONFIG.width, CONFIG.layers
MISSING = {
    "gpt": 0,
    "no-positions": CONFIG.context * C,
    "one-head": 0,
    "no-attention": L * (4 * C * C + 4 * C),
    "no-mlp": L * (8 * C * C + 5 * C),
}


@pytest.mark.parametrize("part", PARTS)
def test_the_weights_of_a_missing_part_are_missing(part: str) -> None:
    model = ablated(CONFIG, part, 1)
    assert learned_parameters(model) == CONFIG.parameter_count() - MISSING[part]
    assert model(torch.arange(8)[None]).shape == (1, 8, 20)


def test_without_attention_no_token_knows_the_others() -> None:
    model, ids = ablated(CONFIG, "no-attention", 1), torch.arange(8)[None]
    changed = ids.clone()
    changed[0, 3] = 19
    same = [i for i in range(8) if i != 3]
    torch.testing.assert_close(model(ids)[:, same], model(changed)[:, same])


def test_without_positions_and_with_one_token_over_and_over_all_are_alike() -> None:
    logits = ablated(CONFIG, "no-positions", 1)(torch.full((1, 8), 5))
    torch.testing.assert_close(logits, logits[:, :1].expand_as(logits))


def test_without_an_mlp_and_attention_untouched_order_still_matters() -> None:
    model = ablated(CONFIG, "no-mlp", 1)
    assert not torch.allclose(model(torch.tensor([[1, 2, 3]]))[0, -1], model(torch.tensor([[2, 1, 3]]))[0, -1])


def test_one_head_is_as_wide_as_all() -> None:
    model = ablated(CONFIG, "one-head", 1)
    assert [block.attn.heads for block in model.blocks] == [1, 1]
