"""Losses and gradients by position, against direct computations and finite differences on toys."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.contest.measures import gradient_by_distance, loss_by_position, windows
from minigpt.models.baselines import Baseline
from minigpt.models.gpt import GPT

V, T = 20, 8


def drawn(rows: int) -> Tensor:
    return torch.randint(V, (rows, T + 1), generator=torch.Generator().manual_seed(5))


def test_the_loss_at_a_position_is_the_mean_over_the_windows(make_model: Callable[..., GPT]) -> None:
    model, texts = make_model(V, T), drawn(20)
    found = loss_by_position(model, texts)
    assert [x for x, _ in found] == list(range(1, T + 1))
    for seen in (1, 4, T):
        with torch.no_grad():
            logits = model(texts[:, :seen])[:, -1]
        assert found[seen - 1][1] == pytest.approx(float(F.cross_entropy(logits, texts[:, seen])), rel=1e-5)


def test_the_gradient_of_each_input_agrees_with_finite_differences(
    make_baseline: Callable[..., Baseline], kind: str
) -> None:
    model, texts = make_baseline(kind, V, width=4).double(), drawn(3)
    expected = torch.zeros(T, dtype=torch.float64)
    for text in texts:
        x_TC = model.wte(text[:-1]).detach()

        def loss(at: Tensor, answer: Tensor = text[-1]) -> Tensor:
            y_BTC, _ = model.advance(at[None], None)
            return F.cross_entropy(F.linear(y_BTC[0, -1], model.wte.weight), answer)

        expected += differences(loss, x_TC).norm(dim=-1)
    found = gradient_by_distance(model, texts)
    assert [x for x, _ in found] == list(range(1, T + 1))
    torch.testing.assert_close(
        torch.tensor([y for _, y in found], dtype=torch.float64), (expected / 3).flip(0), rtol=1e-5, atol=1e-9
    )


def test_of_a_gpt_too(make_model: Callable[..., GPT]) -> None:
    model, (text,) = make_model(V, T, width=4).double(), drawn(1)
    table = model.wpe.weight.data.clone()  # what is added to the vector of a token there, and nowhere else

    def loss(at: Tensor) -> Tensor:
        model.wpe.weight.data = at
        return F.cross_entropy(model(text[None, :-1])[0, -1], text[-1])

    expected = differences(loss, table).norm(dim=-1)
    model.wpe.weight.data = table
    found = torch.tensor([y for _, y in gradient_by_distance(model, text[None])], dtype=torch.float64)
    torch.testing.assert_close(found, expected.flip(0), rtol=1e-5, atol=1e-9)


def differences(loss: Callable[[Tensor], Tensor], x_TC: Tensor, by: float = 1e-5) -> Tensor:
    """The gradient [T, C] of `loss`, by trying."""
    found = torch.zeros_like(x_TC)
    with torch.no_grad():
        for place in np.ndindex(*x_TC.shape):
            up, down = x_TC.clone(), x_TC.clone()
            up[place] += by
            down[place] -= by
            found[place] = (loss(up) - loss(down)) / (2 * by)
    return found


def test_beyond_a_window_the_gradient_is_nothing(make_baseline: Callable[..., Baseline]) -> None:
    found = gradient_by_distance(make_baseline("window", V, window=3), drawn(4))
    assert all(norm > 0 for _, norm in found[:3])
    assert [norm for _, norm in found[3:]] == [0.0] * (T - 3)


@pytest.mark.parametrize(
    ("count", "most", "shape"), [(100, 5, (5, 9)), (9, 5, (1, 9)), (10, 5, (2, 9)), (4, 5, (1, 4))]
)
def test_windows_lie_all_over_the_text(count: int, most: int, shape: tuple[int, int]) -> None:
    found = windows(np.arange(count, dtype=np.uint16), 8, most)
    assert found.shape == shape
    assert found[0, 0] == 0
    assert found[-1, -1] == count - 1
