"""Dropout: the share that is zero, the mean that stays, and gradients through what is kept alone."""

import pytest
import torch

from minigpt.models.functional import dropout


@pytest.mark.parametrize("share", [0.001, 0.1, 0.25, 0.9, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_is_zero_and_the_mean_stays(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    y = dropout(torch.ones(401, 499, dtype=dtype), share, True)  # not a multiple of eight
    dropped = min(255, max(1, round(256 * share))) / 256
    assert y.dtype == dtype
    assert float((y == 0).float().mean()) == pytest.approx(dropped, abs=0.005)
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - dropped), dtype=dtype))}


def test_nothing_is_dropped_outside_of_training_or_with_a_share_of_none() -> None:
    x = torch.ones(3, 5)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True) is x


def test_the_seed_says_what_is_dropped_and_each_call_drops_other_elements() -> None:
    x = torch.ones(64, 64)
    torch.manual_seed(3)
    first, second = dropout(x, 0.5, True), dropout(x, 0.5, True)
    torch.manual_seed(3)
    assert dropout(x, 0.5, True).equal(first)
    assert not first.equal(second)


def test_gradients_pass_where_activations_do() -> None:
    torch.manual_seed(1)
    x = torch.randn(20, 20, requires_grad=True)
    y = dropout(x, 0.25, True)
    y.sum().backward()
    assert x.grad is not None
    assert (x * x.grad).detach().allclose(y.detach())


def test_a_compiled_model_has_torchs_own() -> None:
    compiled = torch.compile(lambda x: dropout(x, 0.5, True), backend="eager", fullgraph=True)
    torch.manual_seed(1)
    y = compiled(torch.ones(1000))
    assert set(y.unique().tolist()) == {0.0, 2.0}
