"""Products of rows: the same by either library, and which of them is called when."""

from collections.abc import Iterator
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models import functional as module
from minigpt.models.functional import linear


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """What torch says of the processor, to be changed by a test; an AMD one with AVX-512 unless it is."""
    told: dict[str, object] = {"cpu_name": "AMD Ryzen 7 9700X 8-Core Processor", "avx512_f": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    module._onednn.cache_clear()
    yield told
    module._onednn.cache_clear()


@pytest.fixture
def products(processor: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of all x that oneDNN was given."""
    shapes: list[tuple[int, ...]] = []
    product = torch.ops.mkldnn._linear_pointwise

    def spy(x: Tensor, *rest: object) -> Tensor:
        shapes.append(tuple(x.shape))
        y: Tensor = product(x, *rest)
        return y

    monkeypatch.setattr(module, "_onednn", cache(lambda: spy))
    return shapes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 16), (1, 2, 16), (3, 5, 48), (200, 64)])
def test_the_product_is_right_by_either_library(
    shape: tuple[int, ...], bias: bool, products: list[tuple[int, ...]]
) -> None:
    x, weight = numbers(*shape), numbers(shape[-1], 24, seed=2)  # [in, out], as GPT-2 stores it
    b = numbers(24, seed=3) if bias else None
    exact = x.double() @ weight.double() + (0 if b is None else b.double())
    for y in (linear(x, weight.T, b), F.linear(x, weight.T, b)):
        assert y.shape == (*shape[:-1], 24)
        torch.testing.assert_close(y.double(), exact, atol=1e-4, rtol=1e-5)
    assert products == [(x.numel() // x.size(-1), x.size(-1))]
    with torch.no_grad():
        linear(x, weight.T, b)
    assert products[1:] == [shape]


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_its_gradients_are_products_too(transposed: bool, bias: bool, products: list[tuple[int, ...]]) -> None:
    x, dy = numbers(3, 5, 16).requires_grad_(), numbers(3, 5, 24, seed=4)
    weight = numbers(*((16, 24) if transposed else (24, 16)), seed=2).requires_grad_()
    b = numbers(24, seed=3).requires_grad_() if bias else None
    leaves = [each for each in (x, weight, b) if each is not None]
    found = torch.autograd.grad(linear(x, weight.T if transposed else weight, b), leaves, dy)
    exact = [each.detach().double().requires_grad_() for each in leaves]
    y = exact[0] @ (exact[1] if transposed else exact[1].T) + (exact[2] if bias else 0)
    for ours, theirs in zip(found, torch.autograd.grad(y, exact, dy.double()), strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-5)
    assert products == [(15, 16), (15, 24), (16, 15)]


def test_only_gradients_that_are_needed_are_computed(products: list[tuple[int, ...]]) -> None:
    x, weight = numbers(3, 16), numbers(8, 16, seed=2).requires_grad_()
    linear(x, weight).sum().backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, x.sum(0).expand(8, 16), atol=1e-5)
    assert products == [(3, 16), (16, 3)]


def test_a_single_row_autocast_and_other_types_are_left_to_torch(products: list[tuple[int, ...]]) -> None:
    x, weight = numbers(3, 16), numbers(8, 16, seed=2).requires_grad_()
    with torch.no_grad():
        assert torch.equal(linear(x[:1], weight), F.linear(x[:1], weight))
        assert linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
        assert linear(x.double(), weight.double()).dtype == torch.float64
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x, weight).dtype == torch.bfloat16
    assert products == []


@pytest.mark.parametrize(
    ("name", "avx512", "chosen"),
    [
        ("AMD Ryzen 7 9700X 8-Core Processor", True, True),
        ("AMD EPYC 7763 64-Core Processor", False, False),
        ("Intel(R) Xeon(R) Platinum 8488C", True, False),
        ("", True, False),
    ],
)
def test_onednn_is_called_where_mkl_leaves_avx_512_unused(
    processor: dict[str, object], name: str, avx512: bool, chosen: bool
) -> None:
    processor.update(cpu_name=name, avx512_f=avx512)
    assert (module._onednn() is not None) == (chosen and torch.backends.mkldnn.is_available())


def test_a_torch_that_says_nothing_of_the_processor_is_taken_at_its_default(
    processor: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert module._onednn() is None
