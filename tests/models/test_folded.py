"""Folded weights say what GPT.forward says, in one part or in several, with one thread or with several."""

from collections.abc import Callable, Iterator

import pytest
import torch

from minigpt.models.folded import LARGEST, FoldedStep, can_fold, count_parts
from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import KVCache

MakeModel = Callable[..., GPT]

TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def started(model: GPT, prompt: list[int], threads: int) -> FoldedStep:
    cache = KVCache(model.config)
    with torch.inference_mode():
        model(torch.tensor([prompt]), cache)
    step = FoldedStep(model, cache, threads)
    step.begin()
    return step


def assert_as_close_as_float32_is(logits: torch.Tensor, expected: torch.Tensor) -> None:
    """Random weights of this width amplify rounding: GPT.forward itself is 1e-5 of the largest logit off float64."""
    assert float((logits - expected).abs().max()) < 5e-5 * float(expected.abs().max())


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("vocab_size", [50, 51])
def test_every_step_equals_a_full_pass(make_model: MakeModel, threads: int, vocab_size: int) -> None:
    model = make_model(vocab_size, layers=3, heads=4, width=192)
    step = started(model, TEXT[:3], threads)
    for length in range(4, len(TEXT) + 1):
        with torch.inference_mode():
            logits, full = step(TEXT[length - 1]), model(torch.tensor([TEXT[:length]]))[0, -1]
        assert logits.shape == (vocab_size,)
        assert_as_close_as_float32_is(logits, full)


@pytest.mark.usefixtures("two_threads")
def test_several_threads_share_the_parts(make_model: MakeModel) -> None:
    model = make_model(50, width=128)
    with torch.inference_mode():
        logits, full = started(model, TEXT[:5], 2)(TEXT[5]), model(torch.tensor([TEXT[:6]]))[0, -1]
    assert_as_close_as_float32_is(logits, full)


def test_it_can_begin_again_with_another_text(make_model: MakeModel) -> None:
    model, cache = make_model(50), KVCache(make_model(50).config)
    step = FoldedStep(model, cache, 1)
    for text in (TEXT, TEXT[4:8]):
        cache.length = 0
        with torch.inference_mode():
            model(torch.tensor([text[:-1]]), cache)
            step.begin()
            torch.testing.assert_close(step(text[-1]), model(torch.tensor([text]))[0, -1], atol=1e-5, rtol=1e-5)


def test_settled_the_cache_holds_what_a_pass_over_all_would_put_there(make_model: MakeModel) -> None:
    model = make_model(50)
    stepped, whole = KVCache(model.config), KVCache(model.config)
    with torch.inference_mode():
        model(torch.tensor([TEXT[:3]]), stepped)
        step = FoldedStep(model, stepped, 1)
        step.begin()
        for length in (5, 8):  # twice: the second goes on where the first ended
            for token in TEXT[stepped.length : length]:
                step(token)
            step.settle()
            assert stepped.length == length
        model(torch.tensor([TEXT[:8]]), whole)
    torch.testing.assert_close(stepped.kv[..., :8, :], whole.kv[..., :8, :], atol=1e-4, rtol=1e-4)


def test_damaged_weights_show_in_the_logits_and_nowhere_else(make_model: MakeModel) -> None:
    for damage in (float("nan"), float("inf")):
        model = make_model(50)
        with torch.no_grad():
            model.h[0].mlp.c_fc.bias[3] = damage
        with torch.inference_mode():
            logits = started(model, TEXT[:3], 1)(TEXT[3])  # warnings are errors here
        assert logits.shape == (50,)
        assert not torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("width", "threads", "parts"),
    [(16, 1, 1), (16, 8, 1), (64, 8, 1), (128, 1, 1), (128, 2, 2), (128, 8, 2), (192, 2, 2), (384, 4, 4), (384, 5, 4)],
)
def test_a_part_is_a_thread_s_and_not_too_narrow(width: int, threads: int, parts: int) -> None:
    assert count_parts(width, threads) == parts


def test_small_models_in_float32_are_folded(make_model: MakeModel) -> None:
    model = make_model(50)
    assert model.config.parameter_count() <= LARGEST
    assert can_fold(model)
    assert not can_fold(make_model(50).to(torch.bfloat16))
