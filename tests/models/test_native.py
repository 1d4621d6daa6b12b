"""step.c says what GPT.forward says, in float32, bfloat16 and 8 bits, and the same with any number of threads."""

import shutil
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch

from minigpt.models import native
from minigpt.models.decoder import CachedDecoder
from minigpt.models.flat_step import FlatStep
from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import KVCache
from minigpt.models.native import NativeStep, is_native
from minigpt.models.precision import Int8GPT, Int8Product, stored
from minigpt.settings import ModelConfig

TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]
SHAPES = {
    "small": {"width": 16, "heads": 2},
    "odd heads": {"width": 48, "heads": 3, "layers": 3},
    "heads of 11": {"width": 176, "heads": 16},
    "as in use": {"width": 128, "heads": 4, "layers": 4},
    "narrow inside": {"width": 32, "heads": 1, "inner_width": 48},
    "another epsilon": {"width": 32, "heads": 2, "layer_norm_epsilon": 1e-3},
    "its own output": {"width": 32, "heads": 2, "tied": False},
}

needs_a_compiler = pytest.mark.skipif(
    not native.has_library() and shutil.which("cc") is None, reason="step.c was not compiled, without a C compiler"
)


def make_model(vocab_size: int, *, context: int = 16, layers: int = 2, **shape: Any) -> GPT:
    """Every parameter random, and large enough that the logits are far from flat."""
    config = ModelConfig(vocab_size=vocab_size, context=context, layers=layers, **{"width": 16, "heads": 2} | shape)
    model, generator = GPT(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.2, generator=generator)
    return model.eval()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def steps(model: GPT, prompt: list[int], rest: list[int]) -> torch.Tensor:
    """The logits [T, V] after each of `rest`."""
    return steps_behind(model, read(model, prompt), rest)


@torch.inference_mode()
def read(model: GPT, prompt: list[int]) -> KVCache:
    """The cache of `prompt`, which torch makes: with other threads its last bits may be others."""
    cache = KVCache(model.config, dtype=model.wte.weight.dtype)
    model(torch.tensor([prompt]), cache)
    return cache


@torch.inference_mode()
def steps_behind(model: GPT, cache: KVCache, rest: list[int]) -> torch.Tensor:
    before, step = cache.length, NativeStep(model, cache)
    found = [step(token) for token in rest]
    assert cache.length == before + len(rest)
    return torch.stack(found)


@torch.inference_mode()
def full_passes(model: GPT, prompt: list[int], rest: list[int]) -> torch.Tensor:
    return model(torch.tensor([prompt + rest]))[0, len(prompt) :].float()


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Of the largest logit: random weights amplify rounding."""
    return float((found - expected).abs().max() / expected.abs().max())


@needs_a_compiler
def test_it_is_there_where_there_is_a_compiler() -> None:
    assert native.has_library()


@needs_a_compiler
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("vocab_size", [50, 67])
def test_every_step_equals_a_full_pass(shape: dict[str, object], vocab_size: int) -> None:
    model = make_model(vocab_size, **shape)
    assert is_native(model)
    found, expected = steps(model, TEXT[:3], TEXT[3:]), full_passes(model, TEXT[:3], TEXT[3:])
    assert found.shape == (len(TEXT) - 3, vocab_size)
    assert difference(found, expected) < 2e-5


@needs_a_compiler
@pytest.mark.parametrize("how", [("float32", "none"), ("float32", "int8")])
def test_a_step_wider_than_a_stack_is_taken(how: tuple[str, str]) -> None:
    """Whoever made a checkpoint chooses its widths, and 8 MiB are the usual stack."""
    model = stored(make_model(3, context=3, layers=1, inner_width=4_000_000), *how)
    assert bool(steps(model, [1], [2]).isfinite().all())


@needs_a_compiler
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("how", [("float32", "none"), ("bfloat16", "none"), ("float32", "int8")])
def test_the_number_of_threads_changes_no_bit_behind_the_same_prompt(how: tuple[str, str]) -> None:
    model = stored(make_model(67, width=144, heads=3), *how)
    prompt, found = read(model, TEXT[:1]), []
    for count in (1, 2, 3, 8):
        torch.set_num_threads(count)
        found.append(steps_behind(model, deepcopy(prompt), TEXT[1:]))
    assert all(torch.equal(logits, found[0]) for logits in found[1:])
    assert bool((prompt.kv[..., 1:, :] == 0).all())  # each began behind the prompt alone


@pytest.mark.parametrize("library", [pytest.param(True, marks=needs_a_compiler), False])
def test_only_the_steps_of_c_change_their_number_of_threads(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's products would change their last bits, and a seed would give another text on a busy machine."""
    asked = list[int]()
    monkeypatch.setattr("minigpt.models.native.has_library", lambda: library)
    monkeypatch.setattr("minigpt.models.decoder.step_threads", lambda: 3)
    decoder = CachedDecoder(make_model(50))
    decoder.prefill(TEXT[:1])
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for token in TEXT[1:]:
        decoder.step([token])
    assert (3 in asked) == library
    assert library or not asked


@needs_a_compiler
def test_weights_in_8_bits_are_whole_numbers_times_their_scale() -> None:
    """Against the same numbers in float32: what is left is the rounding of what meets them, to 12 bits or more."""
    plain = make_model(50, width=32, tied=False)
    quantized = stored(make_model(50, width=32, tied=False), quantize="int8")
    assert isinstance(quantized, Int8GPT)
    found = steps(quantized, TEXT[:1], TEXT[1:])
    assert difference(found, full_passes(plain, TEXT[:1], TEXT[1:])) > 3e-3
    with torch.no_grad():
        plain.unembedding.copy_(as_float(quantized.int8_head))
        for block, rounded in zip(plain.blocks, quantized.blocks, strict=True):
            for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
                block.get_submodule(name).weight.copy_(as_float(rounded.get_submodule(name)).T)
    assert difference(found, full_passes(plain, TEXT[:1], TEXT[1:])) < 2.5e-3


def as_float(part: torch.nn.Module) -> torch.Tensor:
    assert isinstance(part, Int8Product)
    return part.weight.float() * part.scale.float()[:, None]


@needs_a_compiler
def test_weights_in_bfloat16_are_used_as_they_are() -> None:
    """Against the same numbers in float32: what is left is the rounding of the cache."""
    half = stored(make_model(50, width=32, heads=2), "bfloat16")
    plain = make_model(50, width=32, heads=2)
    plain.load_state_dict({name: tensor.float() for name, tensor in half.state_dict().items()})
    found = steps(half, TEXT[:1], TEXT[1:])
    assert found.dtype == torch.float32
    assert difference(found, full_passes(plain, TEXT[:1], TEXT[1:])) < 0.02


@needs_a_compiler
@pytest.mark.parametrize("damage", [float("nan"), float("inf")])
@pytest.mark.parametrize("how", [("float32", "none"), ("bfloat16", "none"), ("float32", "int8")])
def test_damaged_weights_show_in_the_logits(damage: float, how: tuple[str, str]) -> None:
    model = make_model(50)
    with torch.no_grad():
        model.h[0].mlp.c_fc.bias[3] = damage
    assert not torch.isfinite(steps(stored(model, *how), TEXT[:3], TEXT[3:4])).all()


@needs_a_compiler
def test_large_numbers_do_not_overflow() -> None:
    model = make_model(50)
    with torch.no_grad():
        model.h[0].attn.c_attn.weight.mul_(1e4)
        model.h[0].mlp.c_fc.weight.mul_(1e4)
    expected = full_passes(model, TEXT[:3], TEXT[3:])
    assert torch.isfinite(expected).all()
    assert difference(steps(model, TEXT[:3], TEXT[3:]), expected) < 1e-3


@needs_a_compiler
def test_nothing_beyond_the_vocabulary_or_the_context_is_read() -> None:
    model = make_model(50)
    cache = KVCache(model.config)
    step = NativeStep(model, cache)
    for token in (-1, 50):
        with pytest.raises(IndexError, match="in a vocabulary of 50"):
            step(token)
    for _ in range(16):
        step(49)
    with pytest.raises(AssertionError, match="a full cache takes no more"):
        step(49)


def test_what_it_does_not_know_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (make_model(50, activation="gelu"), make_model(50, width=24), make_model(50).to("meta")):
        assert not is_native(model)
    monkeypatch.setattr(native, "has_library", lambda: False)
    model = make_model(50)
    assert not is_native(model)
    decoder = CachedDecoder(model)
    decoder.prefill([1])
    decoder.step([2])
    assert isinstance(decoder._single_step, FlatStep)


@needs_a_compiler
def test_a_library_of_another_age_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(native._Model):
        _fields_ = (("more", native.ctypes.c_long),)

    monkeypatch.setattr(native, "_Model", Longer)
    native._library.cache_clear()
    assert not native.has_library()
    monkeypatch.undo()
    native._library.cache_clear()
    assert native.has_library()
