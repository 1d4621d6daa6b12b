"""The two ways of causal attention: equal values and equal gradients, and each where it is the faster one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models import functional as attention
from minigpt.models.functional import causal_attention


def inputs(dtype: torch.dtype, T: int = 24, grad: bool = True) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(2, 3, T, 8, generator=generator).to(dtype).requires_grad_(grad)  # [B, H, T, D]
        for _ in range(3)
    ]


def test_written_out_it_is_the_fused_kernel_with_its_gradients() -> None:
    ours, theirs = inputs(torch.float32), inputs(torch.float32)
    mine = attention._written_out(*ours)
    fused = F.scaled_dot_product_attention(*theirs, is_causal=True)
    torch.testing.assert_close(mine, fused)
    weights = torch.randn(mine.shape, generator=torch.Generator().manual_seed(2))
    (mine * weights).sum().backward()
    (fused * weights).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("T", [1, 2, 23, 24])
def test_the_last_tokens_alone_see_what_they_see_among_all(T: int) -> None:
    q, k, v = inputs(torch.float32, grad=False)
    whole = causal_attention(q, k, v)
    torch.testing.assert_close(causal_attention(q[:, :, -T:], k, v), whole[:, :, -T:])


def test_bfloat16_differs_by_its_rounding_alone() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mine = causal_attention(*inputs(torch.bfloat16))
    exact = F.scaled_dot_product_attention(*inputs(torch.float32), is_causal=True)
    assert mine.dtype == torch.bfloat16
    torch.testing.assert_close(mine.float(), exact, atol=0.03, rtol=0.03)


@pytest.mark.parametrize(
    ("dtype", "T", "grad", "written"),
    [
        (torch.bfloat16, 24, True, True),
        (torch.bfloat16, 24, False, False),
        (torch.float32, 24, True, False),
        (torch.bfloat16, 1, True, False),
        (torch.bfloat16, attention._LONGEST + 1, True, False),
    ],
)
def test_only_a_training_in_bfloat16_on_a_cpu_is_written_out(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, T: int, grad: bool, written: bool
) -> None:
    called: list[int] = []
    monkeypatch.setattr(attention, "_written_out", lambda q, k, v: called.append(1) or q)
    causal_attention(*inputs(dtype, T, grad))
    assert called == [1] * written
