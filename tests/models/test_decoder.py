"""One token at a time gives what a full pass over the same window gives, also far beyond the context."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.models import torch_network
from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT
from minigpt.models.kv_cache import KVCache
from minigpt.models.window import window_start

MakeModel = Callable[..., GPT]


def ids(length: int, vocab_size: int = 50) -> list[int]:
    return torch.randint(vocab_size, (length,), generator=torch.Generator().manual_seed(5)).tolist()


def simulated_starts(context: int, length: int) -> list[int]:
    """The window's start for each length 1, 2, ...: a full window keeps its newer half before a token is added."""
    window: list[int] = []
    starts = []
    for token in range(length):
        if len(window) == context:
            window = window[len(window) - context // 2 :]
        window.append(token)
        starts.append(window[0])
    return starts


# window_start


@pytest.mark.parametrize("context", range(1, 10))
def test_a_full_window_keeps_its_newer_half(context: int) -> None:
    lengths = range(1, 20 * context)
    assert [window_start(n, context) for n in lengths] == simulated_starts(context, len(lengths))


@pytest.mark.parametrize("context", [*range(1, 10), 128, 1024])
def test_the_window_is_never_empty_nor_longer_than_the_context(context: int) -> None:
    sizes = [n - window_start(n, context) for n in range(1, 10 * context)]
    assert min(sizes) == 1
    assert max(sizes) == context
    assert min(sizes[context:]) == context // 2 + 1


@pytest.mark.parametrize("context", [1, 2, 7, 128])
def test_the_window_starts_at_the_beginning_while_all_fits(context: int) -> None:
    assert [window_start(n, context) for n in (0, 1, context)] == [0, 0, 0]
    assert window_start(context + 1, context) == context - context // 2


# One row


@pytest.fixture(params=["native", "flat"])
def step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of network, one after the other; the first is there where forward.c could be compiled."""
    if request.param == "flat":
        monkeypatch.setattr(torch_network, "is_native", lambda config: False)


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("context", [1, 2, 3, 8, 9])
def test_every_cached_step_equals_a_full_pass(make_model: MakeModel, context: int) -> None:
    model = make_model(50, context)
    text = ids(5 * context + 3)
    decoder = CachedDecoder(model)
    starts = set()
    for length in range(1, len(text) + 1):
        logits = decoder.prefill(text[:1])[0] if length == 1 else decoder.step([text[length - 1]])[0]
        start = window_start(length, context)
        with torch.no_grad():
            full = model(torch.tensor([text[start:length]]))[0, -1]
        np.testing.assert_allclose(logits, full.numpy(), atol=1e-5, rtol=1e-5)
        assert (decoder.ids, decoder.start) == ([text[:length]], start)
        starts.add(start)
    assert len(starts) >= 5


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 12, 13, 16, 17, 40])
def test_a_prefill_equals_the_same_ids_stepped(make_model: MakeModel, length: int) -> None:
    model, text = make_model(50, 8), ids(length + 10)
    prefilled, stepped = CachedDecoder(model), CachedDecoder(model)
    at_once = prefilled.prefill(text[:length])[0]
    one_by_one = stepped.prefill(text[:1])[0]
    for token in text[1:length]:
        one_by_one = stepped.step([token])[0]
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-5, rtol=1e-5)
    for token in text[length:]:  # and both go on alike
        np.testing.assert_allclose(prefilled.step([token])[0], stepped.step([token])[0], atol=1e-5, rtol=1e-5)
    assert (prefilled.ids, prefilled.start) == (stepped.ids, stepped.start)


def test_a_decoder_can_be_used_again(model: GPT) -> None:
    decoder = CachedDecoder(model)
    first = decoder.prefill(ids(30)).copy()
    decoder.step([1])
    np.testing.assert_allclose(decoder.prefill(ids(30)), first, atol=0, rtol=0)
    assert decoder.ids == [ids(30)]


def test_a_prefill_keeps_its_own_copy_of_the_ids(model: GPT) -> None:
    decoder, text = CachedDecoder(model), [1, 2, 3]
    decoder.prefill(text)
    decoder.step([4])
    assert text == [1, 2, 3]


@pytest.mark.usefixtures("step")
def test_a_step_never_changes_the_logits_of_an_earlier_one(model: GPT) -> None:
    decoder = CachedDecoder(model)
    decoder.prefill([1])
    first = decoder.step([2])[0]
    kept = first.copy()
    decoder.step([3])
    assert np.array_equal(first, kept)


@pytest.mark.usefixtures("step")
def test_a_step_leaves_the_weights_as_they_are(make_model: MakeModel) -> None:
    model = make_model(50)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    decoder = CachedDecoder(model)
    decoder.prefill([1])
    decoder.step([2])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_copied_head_of_a_large_vocabulary_gives_the_same_logits(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_network, "_HEAD_PARAMETERS", 1)
    monkeypatch.setattr(torch_network, "is_native", lambda config: False)
    model = make_model(50)
    decoder = CachedDecoder(model)
    decoder.prefill([1, 2])
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2, 3]]))[0, -1].numpy()
    np.testing.assert_allclose(decoder.step([3])[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("rows", [1, 2])
def test_logits_are_arrays_in_float32(model: GPT, rows: int) -> None:
    """Of the three ways to get them: a prefill, the step of one row, and that of several."""
    decoder = CachedDecoder(model, rows)
    for logits_BV in (decoder.prefill([1]), decoder.step([2] * rows)):
        assert (type(logits_BV), logits_BV.dtype, logits_BV.shape) == (np.ndarray, np.float32, (rows, 320))


# Cache


def test_the_model_reads_and_fills_a_cache(model: GPT) -> None:
    cache = KVCache(model.config, batch=2)
    text = torch.tensor([ids(6), ids(7)[1:]])
    with torch.no_grad():
        full = model(text)
        torch.testing.assert_close(model(text[:, :4], cache), full[:, :4], atol=1e-5, rtol=1e-5)
        assert cache.length == 4
        torch.testing.assert_close(model(text[:, 4:5], cache), full[:, 4:5], atol=1e-5, rtol=1e-5)
        weights: list[torch.Tensor] = []
        torch.testing.assert_close(model(text[:, 5:], cache, weights=weights), full[:, 5:], atol=1e-5, rtol=1e-5)
        assert cache.length == 6
        cache.length = 2
        torch.testing.assert_close(model(text[:, 2:], cache), full[:, 2:], atol=1e-5, rtol=1e-5)
    assert cache.length == 6
    assert [tuple(w.shape) for w in weights] == [(2, 2, 1, 6)] * 2
    cache.length = 0
    assert cache.length == 0


@pytest.mark.parametrize(("cached", "more"), [(16, 1), (13, 4)])
def test_a_cache_is_not_overrun(model: GPT, cached: int, more: int) -> None:
    cache = KVCache(model.config)
    with torch.no_grad():
        model(torch.tensor([ids(cached)]), cache)
        with pytest.raises(AssertionError, match="positions"):
            model(torch.tensor([ids(more)]), cache)


# Going back, and on from there


@pytest.mark.parametrize("length", [1, 7, 8, 9, 13])
def test_reading_a_window_gives_the_logits_after_each_of_its_tokens(make_model: MakeModel, length: int) -> None:
    model, text = make_model(50, 8), ids(length)
    decoder = CachedDecoder(model)
    logits_TV = decoder.read(text)
    with torch.no_grad():
        full = model(torch.tensor([text[window_start(length, 8) :]]))[0]
    np.testing.assert_allclose(logits_TV, full.numpy(), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(decoder.prefill(text)[0], logits_TV[-1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kept", [0, 3, 6])
@pytest.mark.parametrize("stepped", [0, 2, 5])
def test_columns_bring_a_decoder_back(make_model: MakeModel, kept: int, stepped: int) -> None:
    model, text = make_model(50, 16), ids(6)
    decoder = CachedDecoder(model)
    decoder.prefill(text[: 6 - stepped])
    for token in text[6 - stepped :]:
        decoder.step([token])
    columns = decoder.cache.columns(0)
    expected = decoder.step([7])[0]
    for token in (8, 9):  # goes on, and elsewhere
        decoder.step([token])
    if kept == 0:
        decoder.prefill([1, 2, 3])
    decoder.resume(text, kept, columns[kept:])
    assert (decoder.ids, decoder.start) == ([text], 0)
    np.testing.assert_allclose(decoder.step([7])[0], expected, atol=1e-5, rtol=1e-5)
    assert len(decoder.cache.columns(5)) == 2


def test_a_decoder_that_has_gone_back_moves_its_window_on_as_ever(make_model: MakeModel) -> None:
    model, text = make_model(50, 8), ids(20)
    decoder, straight = CachedDecoder(model), CachedDecoder(model)
    decoder.prefill(text[:7])
    decoder.step([9])
    decoder.resume(text[:6], 6, ())
    straight.prefill(text[:6])
    for token in text[6:]:
        np.testing.assert_allclose(decoder.step([token])[0], straight.step([token])[0], atol=1e-5, rtol=1e-5)
    assert decoder.ids == [text]
