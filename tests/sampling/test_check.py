"""The check finds nothing where the cache is right, and every step at which it is not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from minigpt.models.baselines import Baseline
from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT
from minigpt.sampling.check import CacheCheck
from minigpt.sampling.engine import generate
from minigpt.settings import SampleConfig
from minigpt.text.tokenizer import Tokenizer

PROMPT = "The quick brown"


@pytest.mark.parametrize("count", [1, 3])
def test_cached_steps_equal_full_passes_also_beyond_the_context(model: GPT, bpe: Tokenizer, count: int) -> None:
    check, config = CacheCheck(model), SampleConfig(max_tokens=50, ignore_end_of_text=True)
    list(generate(model, bpe, PROMPT, config, count=count, watch=check.watch))
    report = check.report()
    assert report.steps == 50 * count
    assert report.largest_difference < 1e-4


@pytest.mark.parametrize("count", [1, 3])
def test_steps_from_a_state_equal_one_pass_over_the_whole_text(
    make_baseline: Callable[..., Baseline], bpe: Tokenizer, kind: str, count: int
) -> None:
    model = make_baseline(kind, bpe.vocab_size)
    check, config = CacheCheck(model), SampleConfig(max_tokens=50, ignore_end_of_text=True)
    list(generate(model, bpe, PROMPT, config, count=count, watch=check.watch))
    report = check.report()
    assert report.steps == 50 * count
    assert report.largest_difference < 1e-4


@pytest.mark.parametrize("wrong", [0, 3, 15, 16, 17, 24, 39])
def test_one_wrong_step_is_found_where_it_is(model: GPT, wrong: int) -> None:
    check = CacheCheck(model)
    ids = torch.randint(model.config.vocab_size, (41,), generator=torch.Generator().manual_seed(1)).tolist()
    decoder = CachedDecoder(model)
    logits_V = decoder.prefill(ids[:1])[0]
    for step in range(40):
        told = logits_V.copy()
        if step == wrong:
            told[7] += 0.5
        check.watch(0, ids[: step + 1], told)
        logits_V = decoder.step([ids[step + 1]])[0]
    report = check.report()
    assert report.largest_difference == pytest.approx(0.5, abs=1e-4)
    assert (report.sample, report.position) == (0, wrong + 1)


def test_the_sample_that_differs_is_named(model: GPT) -> None:
    check = CacheCheck(model)
    with torch.inference_mode():
        logits_V = model(torch.tensor([[1, 2]]))[0, -1].numpy()
    check.watch(0, [1, 2], logits_V)
    check.watch(1, [1, 2], logits_V + 1)
    report = check.report()
    assert (report.steps, report.sample, report.position) == (2, 1, 2)


def test_a_nan_is_the_largest_difference(model: GPT) -> None:
    check = CacheCheck(model)
    check.watch(0, [1], np.full(model.config.vocab_size, np.nan, np.float32))
    assert not check.report().largest_difference < 1e-4


def test_no_more_is_held_than_a_window(make_model: Callable[..., GPT]) -> None:
    model = make_model(50, 8)
    check = CacheCheck(model)
    for length in range(1, 100):
        check.watch(0, [1] * length, np.zeros(model.config.vocab_size, np.float32))
        assert sum(len(held.logits) for held in check._held.values()) <= 8
    assert check.report().steps == 99
