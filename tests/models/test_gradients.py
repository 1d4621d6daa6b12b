"""The loss and gradients of train.c against autograd in float64, on odd sizes, and what dropout zeroes."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.models import gradients as module
from minigpt.models import train_library as library_module
from minigpt.models.gpt import GPT
from minigpt.models.gradients import Gradients, has_gradients
from minigpt.models.train_library import train_library
from minigpt.models.workers import Workers
from minigpt.settings import ModelConfig
from minigpt.training.finetune import freeze

pytestmark = pytest.mark.skipif(
    train_library() is None and shutil.which("cc") is None, reason="train.c was not compiled, without a C compiler"
)

ODD = {  # widths that no register divides, one token, one head, one window, more tokens or logits than fit at once
    "one token": ModelConfig(vocab_size=257, context=1, layers=1, heads=1, width=17),
    "odd": ModelConfig(vocab_size=301, context=7, layers=2, heads=3, width=21, tied=False),
    "blocks": ModelConfig(vocab_size=257, context=100, layers=1, heads=1, width=70, inner_width=50),
    "gpt2's vocabulary": ModelConfig(vocab_size=50_257, context=33, layers=1, heads=2, width=10),
    "usual": ModelConfig(vocab_size=512, context=128, layers=2, heads=2, width=64),
}


def model_of(config: ModelConfig) -> GPT:
    """Random weights, with biases and norms moved too, so that each of them matters."""
    generator = torch.Generator().manual_seed(1)
    model = GPT(config).initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.train()


def batch_of(config: ModelConfig, windows: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(config.vocab_size, (windows, config.context + 1), generator=generator)
    return ids[:, :-1], ids[:, 1:]


def autograd(model: GPT, x: Tensor, y: Tensor) -> tuple[float, dict[str, Tensor]]:
    """The loss and the gradients in float64, from the same weights."""
    exact = GPT(model.config).double()
    exact.load_state_dict(model.state_dict())
    loss = F.cross_entropy(exact(x).flatten(0, 1), y.flatten())
    loss.backward()
    return loss.item(), {name: p.grad for name, p in exact.named_parameters() if p.grad is not None}


def of(model: GPT) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def check(mine: dict[str, Tensor], exact: dict[str, Tensor]) -> None:
    assert mine.keys() == exact.keys()
    for name, gradient in exact.items():
        largest = float(gradient.abs().max())
        torch.testing.assert_close(mine[name].double(), gradient, atol=2e-5 * largest + 1e-9, rtol=0, msg=name)


@pytest.fixture(params=[1, 3, 4])
def level(request: pytest.FixtureRequest) -> Iterator[int]:
    """The kernels for older processors, and those for this one, whichever that is."""
    library = train_library()
    assert library is not None
    yield library.train_level(request.param)
    library.train_level(4)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_loss_and_its_gradients_are_those_of_autograd(name: str, threads: int, level: int) -> None:
    config = ODD[name]
    model, windows = model_of(config), 7 if config.context > 7 else 90
    x, y = batch_of(config, windows)
    assert has_gradients(model)
    loss = Gradients(model, Workers(threads))([(x, y)], 1)
    expected, exact = autograd(model, x, y)
    assert loss == pytest.approx(expected, rel=1e-6)
    check(of(model), exact)


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("threads", [1, 3])
def test_products_in_bfloat16_differ_by_their_rounding_alone(name: str, threads: int) -> None:
    """The gradients are less than a hundredth off, as those by autograd from rounded weights are.

    A processor that does not multiply in bfloat16 computes in float32 instead.
    """
    config = ODD[name]
    model, windows = model_of(config), 7 if config.context > 7 else 90
    x, y = batch_of(config, windows)
    library = train_library()
    assert library is not None
    gradients = Gradients(model, Workers(threads), bfloat16=True)
    loss = gradients([(x, y)], 1)
    expected, exact = autograd(model, x, y)
    assert loss == pytest.approx(expected, rel=1e-3)
    assert gradients.nats(x, y) == pytest.approx(expected * x.numel(), rel=1e-3)
    for name, gradient in of(model).items():
        difference = (gradient.double() - exact[name]).norm()
        assert difference <= 0.015 * exact[name].norm() + 1e-9, name
    in_float32 = Gradients(model, Workers(threads))([(x, y)], 1)
    assert (loss != in_float32) == bool(library.train_has_bfloat16())


@pytest.mark.parametrize("name", ODD)
def test_the_nats_are_summed_without_dropout_and_leave_the_gradients_alone(name: str) -> None:
    model = model_of(replace(ODD[name], dropout=0.4))
    x, y = batch_of(model.config, 5)
    gradients = Gradients(model, Workers(2))
    gradients([(x, y)], 1)
    before = of(model)
    expected, _ = autograd(model_of(ODD[name]), x, y)
    assert gradients.nats(x, y) == pytest.approx(expected * x.numel(), rel=1e-6)
    shorter = x[:1, : max(1, x.size(1) // 2)], y[:1, : max(1, x.size(1) // 2)]
    expected, _ = autograd(model_of(ODD[name]), *shorter)
    assert gradients.nats(*shorter) == pytest.approx(expected * shorter[0].numel(), rel=1e-6)
    assert all(torch.equal(before[name], gradient) for name, gradient in of(model).items())


def test_several_batches_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ODD["odd"]
    model = model_of(config)
    batches = [batch_of(config, 3, seed) for seed in (1, 2)]
    monkeypatch.setattr(module, "_LOGITS_AT_ONCE", 1)  # a row of logits at a time
    loss = Gradients(model, Workers(2))(batches, 1)
    expected, exact = autograd(model, *(torch.cat(each) for each in zip(*batches, strict=True)))
    assert loss == pytest.approx(expected, rel=1e-6)
    check(of(model), exact)


@pytest.mark.parametrize("frozen", [1, 2])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(frozen: int) -> None:
    config = ODD["odd"]
    model = model_of(config)
    x, y = batch_of(config, 4)
    _, exact = autograd(model, x, y)
    freeze(model, frozen)
    assert has_gradients(model)
    Gradients(model, Workers(2))([(x, y)], 1)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any(name.startswith("ln_f") for name in learning)
    assert not any(name.startswith("h.0.") for name in learning)
    check(of(model), {name: gradient for name, gradient in exact.items() if name in learning})


def test_fixed_positions_get_no_gradient() -> None:
    config = ODD["usual"]
    model = model_of(config)
    x, y = batch_of(config, 4)
    _, exact = autograd(model, x, y)
    model.wpe.weight.requires_grad_(False)
    Gradients(model, Workers(2))([(x, y)], 1)
    check(of(model), {name: gradient for name, gradient in exact.items() if name != "wpe.weight"})


def dropping(share: float) -> GPT:
    return model_of(ModelConfig(vocab_size=257, context=20, layers=2, heads=2, width=30, dropout=share))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_finite_differences_agree_with_dropout_too(share: float) -> None:
    """Which holds only if dropout zeroes the same elements forward and backward."""
    model = dropping(share)
    batch = batch_of(model.config, 5)
    gradients = Gradients(model, Workers(2))
    gradients([batch], 9)
    direction = [p.grad / gradients.squares**0.5 for p in model.parameters()]  # of length 1, the steepest

    def loss_at(distance: float) -> float:
        with torch.no_grad():
            for parameter, part in zip(model.parameters(), direction, strict=True):
                parameter += distance * part
        loss = gradients([batch], 9)
        with torch.no_grad():
            for parameter, part in zip(model.parameters(), direction, strict=True):
                parameter -= distance * part
        return loss

    length = gradients.squares**0.5
    slope = (loss_at(1e-3) - loss_at(-1e-3)) / 2e-3
    assert slope == pytest.approx(length, rel=2e-3)


def test_dropout_zeroes_its_share_and_keeps_the_mean() -> None:
    """With a single window, the gradient of a position's embedding is that of the sum, where it is not dropped."""
    model, other = dropping(0.3), dropping(0.0)
    batch = batch_of(model.config, 1)
    dropped, whole = [], []
    for key in range(40):
        Gradients(model, Workers(1))([batch], key)
        Gradients(other, Workers(1))([batch], key)
        dropped.append(model.wpe.weight.grad == 0)
        whole.append(other.wpe.weight.grad == 0)
    assert not torch.stack(whole).any()
    zeros = torch.stack(dropped).double()  # 24,000 of them: 5 standard deviations are 0.015
    assert float(zeros.mean()) == pytest.approx(0.3, abs=0.015)
    assert float((zeros[0] != zeros[1]).double().mean()) == pytest.approx(2 * 0.3 * 0.7, abs=0.11)
    places = zeros.mean(0)  # no element is dropped always or never
    assert float(places.min()) > 0
    assert float(places.max()) < 1


def test_a_key_gives_the_same_on_any_number_of_threads_and_another_key_something_else() -> None:
    model = dropping(0.2)
    batch = batch_of(model.config, 6)
    gradients = Gradients(model, Workers(2))
    losses = [gradients([batch], key) for key in (1, 1, 2)]
    assert losses[0] == losses[1]  # to the bit
    assert abs(losses[0] - losses[2]) > 1e-4
    for threads in (1, 3, 8):
        assert Gradients(model, Workers(threads))([batch], 1) == pytest.approx(losses[0], rel=1e-6)


def test_the_same_threads_give_the_same_bits() -> None:
    model = dropping(0.2)
    batch = batch_of(model.config, 6)
    found = []
    for _ in range(2):
        Gradients(model, Workers(3))([batch], 1)
        found.append(of(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_not_a_number_is_not_hidden() -> None:
    model = dropping(0.0)
    with torch.no_grad():
        model.h[0].ln_1.weight[0] = torch.nan
    loss = Gradients(model, Workers(2))([batch_of(model.config, 3)], 1)
    assert loss != loss


def test_other_models_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ODD["odd"]
    model = model_of(config)
    assert has_gradients(model)
    assert not has_gradients(GPT(ModelConfig(**{**vars(config), "activation": "relu"})))
    assert not has_gradients(model_of(config).bfloat16())
    with torch.device("meta"):
        assert not has_gradients(GPT(config))
    without = model_of(config)
    without.h[1].attn = torch.nn.Identity()
    assert not has_gradients(without)
    gap = model_of(config)
    gap.h[1].requires_grad_(False)
    assert not has_gradients(gap)  # below it, something learns
    monkeypatch.setattr(module, "train_library", lambda: None)
    assert not has_gradients(model)


def test_a_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(library_module.Model):
        _fields_ = (("more", library_module.ctypes.c_long),)

    monkeypatch.setattr(library_module, "Model", Longer)
    train_library.cache_clear()
    assert train_library() is None
    monkeypatch.undo()
    train_library.cache_clear()
    assert train_library() is not None
