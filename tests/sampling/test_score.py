"""What whole texts cost: every token once, the same numbers as elsewhere, whatever the parts and windows."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from minigpt.errors import CheckpointError, ConfigError
from minigpt.models import window
from minigpt.models.baselines import Baseline
from minigpt.models.decoder import target_nats
from minigpt.models.device import autocast
from minigpt.models.gpt import GPT
from minigpt.sampling import score as score_module
from minigpt.sampling.records import FileScore
from minigpt.sampling.score import Part, score, total_score
from minigpt.text.tokenizer import Tokenizer
from minigpt.training.evaluate import evaluate
from minigpt.views.probs import every_token, text_score


@pytest.fixture
def ids(bpe: Tokenizer, corpus: str) -> list[int]:
    """Six times the context, and a bit."""
    return bpe.encode(corpus)[:101]


@pytest.fixture
def lengths(bpe: Tokenizer) -> np.ndarray:
    return bpe.byte_lengths()


def document(ids: Sequence[int], lengths: np.ndarray, size: int | None = None) -> list[Part]:
    """One document, in parts of `size` ids; `lengths` [V]: bytes of each token."""
    size = size or max(1, len(ids))
    parts = {i: np.array(ids[i : i + size]) for i in range(0, len(ids), size)}
    return [Part(part, lengths[part], begins=i == 0) for i, part in parts.items()]


def direct_nats(model: GPT, ids: Sequence[int], stride: int) -> float:
    """-ln p of every token but the first, each from a pass of its own, from the window in which it is scored."""
    total, context = 0.0, model.config.context
    for position in range(1, len(ids)):
        start = max(0, -(-(position - context) // stride) * stride)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:position]]))[0, -1].double()
        total -= float(logits.log_softmax(-1)[ids[position]])
    return total


@pytest.mark.parametrize("context", [1, 2, 5, 16, 17])
def test_the_default_is_what_every_token_adds_up_to(
    make_model: Callable[..., GPT], bpe: Tokenizer, ids: list[int], lengths: np.ndarray, context: int
) -> None:
    model = make_model(bpe.vocab_size, context)
    result, expected = score(model, document(ids, lengths)), text_score(every_token(model, bpe, ids, top=1))
    assert (result.tokens, result.bytes, result.documents) == (expected.tokens, expected.bytes, 1)
    assert result.total_nats == pytest.approx(expected.total_nats, rel=1e-6)
    assert result.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-6)
    assert result.perplexity == pytest.approx(expected.perplexity, rel=1e-5)


@pytest.mark.parametrize("count", [2, 15, 16, 17, 18, 31, 32, 33, 34, 48, 49, 101])
def test_a_stride_of_the_context_is_the_validation_loss(
    model: GPT, ids: list[int], lengths: np.ndarray, count: int
) -> None:
    result, expected = (
        score(model, document(ids[:count], lengths), stride=16),
        evaluate(model, np.array(ids[:count]), lengths),
    )
    assert expected is not None
    assert result.tokens == expected.tokens == count - 1
    assert result.nats_per_token == pytest.approx(expected.loss_nats, abs=1e-6)
    assert result.bits_per_byte == pytest.approx(expected.bits_per_byte, abs=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 7, 8, 9, 15, 16])
@pytest.mark.parametrize("count", [2, 16, 17, 18, 33, 60])
def test_every_token_is_scored_once_with_enough_before_it(
    model: GPT, ids: list[int], lengths: np.ndarray, stride: int, count: int
) -> None:
    result = score(model, document(ids[:count], lengths), stride=stride)
    assert (result.tokens, result.stride, result.context) == (count - 1, stride, 16)
    assert result.bytes == sum(lengths[ids[1:count]])
    assert result.total_nats == pytest.approx(direct_nats(model, ids[:count], stride), rel=1e-6)


@pytest.mark.parametrize("size", [1, 3, 16, 17, 50])
def test_parts_make_no_difference(model: GPT, ids: list[int], lengths: np.ndarray, size: int) -> None:
    assert score(model, document(ids, lengths, size)) == score(model, document(ids, lengths))


def test_documents_are_scored_apart(model: GPT, ids: list[int], lengths: np.ndarray) -> None:
    texts = [ids[:1], ids[:40], ids[40:42], [], ids[42:60], ids[60:101]]
    result = score(model, [part for text in texts for part in document(text, lengths, 7)], name="a.txt")
    alone = [score(model, document(text, lengths)) for text in texts if text]
    assert (result.file, result.documents, result.tokens) == ("a.txt", 5, sum(max(0, len(text) - 1) for text in texts))
    assert result.total_nats == pytest.approx(sum(one.total_nats for one in alone), rel=1e-6)


def test_batches_make_no_difference(
    model: GPT, ids: list[int], lengths: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = document(ids, lengths) + document(ids[:20], lengths) + document(ids[20:90], lengths)
    whole = score(model, parts)
    monkeypatch.setattr(score_module, "windows_at_once", lambda config, device: 1)
    assert score(model, parts).total_nats == pytest.approx(whole.total_nats, rel=1e-6)


def test_a_large_vocabulary_makes_small_batches(
    model: GPT, ids: list[int], lengths: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def watched(model: GPT, x_BT: np.ndarray, *others: Any) -> np.ndarray:
        seen.append(x_BT.shape)
        return target_nats(model, x_BT, *others)

    monkeypatch.setattr(window, "_LOGITS", 3 * 16 * model.config.vocab_size)
    monkeypatch.setattr(score_module, "target_nats", watched)
    score(model, document(ids, lengths))
    assert set(seen[:-1]) == {(3, 16)}


def test_only_a_batch_is_read_ahead(
    model: GPT, ids: list[int], lengths: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_module, "windows_at_once", lambda config, device: 2)
    taken = scored = furthest = 0

    def parts() -> Iterable[Part]:
        nonlocal taken, furthest
        for part in document(ids * 20, np.ones_like(lengths), 10):
            taken += len(part.ids)
            furthest = max(furthest, taken - scored)
            yield part

    def progress(byte_count: int) -> None:
        nonlocal scored
        scored += byte_count

    score(model, parts(), progress=progress)
    assert scored == 20 * 101 - 1
    assert furthest < 80


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_score_has_no_numbers(model: GPT, ids: list[int], lengths: np.ndarray, count: int) -> None:
    result = score(model, document(ids[:count], lengths))
    assert (result.documents, result.tokens, result.bytes, result.total_nats) == (count, 0, 0, 0.0)
    assert result.nats_per_token is result.bits_per_token is result.bits_per_byte is result.perplexity is None


def test_a_uniform_model_costs_the_logarithm_of_its_vocabulary(constant_model: Callable[..., GPT]) -> None:
    result = score(constant_model([0.0] * 8), document([0, 1, 2, 3, 4], np.full(8, 3)))
    assert result.nats_per_token == pytest.approx(math.log(8))
    assert (result.bits_per_token, result.bits_per_byte) == (pytest.approx(3), pytest.approx(1))
    assert result.perplexity == pytest.approx(8)


def test_a_model_without_sense_has_no_perplexity_but_no_crash(constant_model: Callable[..., GPT]) -> None:
    result = score(constant_model([1e4, 0.0]), document([0, 1, 1, 1], np.ones(2, np.int64)))
    assert result.perplexity is None
    assert result.nats_per_token == pytest.approx(1e4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_damaged_weights_are_refused(model: GPT, ids: list[int], lengths: np.ndarray, value: float) -> None:
    damaged = copy.deepcopy(model)
    with torch.no_grad():
        damaged.h[0].mlp.c_fc.weight[0, 0] = value
    with pytest.raises(CheckpointError, match="not finite"):
        score(damaged, document(ids, lengths))


def test_bfloat16_is_near(model: GPT, ids: list[int], lengths: np.ndarray) -> None:
    exact = score(model, document(ids, lengths))
    rough = score(model, document(ids, lengths), autocast=partial(autocast, torch.device("cpu"), "bfloat16"))
    assert rough.total_nats != exact.total_nats
    assert rough.total_nats == pytest.approx(exact.total_nats, rel=0.05)


@pytest.mark.parametrize("stride", [-1, 0, 17])
def test_a_stride_beyond_the_context_is_refused(model: GPT, lengths: np.ndarray, stride: int) -> None:
    with pytest.raises(ConfigError, match=f"stride= must be from 1 to the model's context, 16, not {stride}"):
        score(model, [], stride=stride)


def test_the_total_is_of_all_tokens_and_not_of_means(model: GPT, ids: list[int], lengths: np.ndarray) -> None:
    scores: list[FileScore] = [
        score(model, document(part, lengths), name="x") for part in (ids[:5], ids[5:90], ids[90:91])
    ]
    total = total_score(scores)
    assert (total.file, total.documents, total.tokens) == (None, 3, 4 + 84)
    assert total.total_nats == pytest.approx(sum(each.total_nats for each in scores))
    assert total.nats_per_token == pytest.approx(total.total_nats / 88)
    assert total.bits_per_byte == pytest.approx(total.total_nats / math.log(2) / total.bytes)


# As lm-evaluation-harness


def harness_windows(ids: Sequence[int], prefix: int, context: int) -> list[tuple[list[int], list[int]]]:
    """What a model reads, and what of it is scored: its convention in other words, for one document.

    The first window is the prefix and the text up to the context; then as many more tokens at once, and what the model
    reads before the last scored one always fills the context.
    """
    windows = [([prefix, *ids[: context - 1]][: len(ids)], list(ids[:context]))] if ids else []
    for start in range(context, len(ids), context):
        end = min(start + context, len(ids))
        windows.append((list(ids[end - context - 1 : end - 1]), list(ids[start:end])))
    return windows


def harness_nats(model: GPT, ids: Sequence[int], prefix: int) -> float:
    total = 0.0
    for read, scored in harness_windows(ids, prefix, model.config.context):
        with torch.no_grad():
            log_probs = model(torch.tensor([read]))[0].double().log_softmax(-1)[-len(scored) :]
        total -= float(log_probs[torch.arange(len(scored)), torch.tensor(scored)].sum())
    return total


def test_the_convention_in_words_is_the_one_in_the_harness_own_example() -> None:
    assert harness_windows(range(34), -100, 10) == [
        ([-100, *range(9)], [*range(10)]),
        ([*range(9, 19)], [*range(10, 20)]),
        ([*range(19, 29)], [*range(20, 30)]),
        ([*range(23, 33)], [*range(30, 34)]),
    ]


@pytest.mark.parametrize("size", [1, 7, 200])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 18, 31, 32, 33, 48, 101])
def test_rolling_is_the_harness_log_likelihood(
    model: GPT, bpe: Tokenizer, ids: list[int], lengths: np.ndarray, count: int, size: int
) -> None:
    result = score(model, document(ids[:count], lengths, size), prefix_token=bpe.end_of_text)
    assert (result.tokens, result.bytes) == (count, sum(lengths[ids[:count]]))
    assert (result.rolling, result.stride, result.context) == (True, 16, 16)
    assert result.total_nats == pytest.approx(harness_nats(model, ids[:count], bpe.end_of_text), rel=1e-6)


def test_rolling_scores_documents_apart(model: GPT, bpe: Tokenizer, ids: list[int], lengths: np.ndarray) -> None:
    texts = [ids[:1], ids[:40], [], ids[40:57], ids[57:90]]
    parts = [part for text in texts for part in document(text, lengths, 7)]
    result = score(model, parts, prefix_token=bpe.end_of_text)
    assert result.total_nats == pytest.approx(sum(harness_nats(model, t, bpe.end_of_text) for t in texts), rel=1e-6)
    assert total_score([result, result]).rolling


@pytest.mark.parametrize("size", [1, 7, None])
def test_a_model_with_a_state_reads_a_document_as_one_stream(
    monkeypatch: pytest.MonkeyPatch,
    make_baseline: Callable[..., Baseline],
    bpe: Tokenizer,
    ids: list[int],
    lengths: np.ndarray,
    kind: str,
    size: int | None,
) -> None:
    monkeypatch.setattr(score_module, "_STRETCH", 10)
    model = make_baseline(kind, bpe.vocab_size, context=16)
    result = score(model, [*document(ids, lengths, size), *document(ids[:9], lengths, size)])
    expected = [text_score(every_token(model, bpe, text, top=1)).total_nats for text in (ids, ids[:9])]
    assert result.total_nats == pytest.approx(sum(expected), rel=1e-5)
    assert (result.documents, result.tokens, result.context, result.stride) == (2, 108, None, None)
    assert result.bytes == lengths[ids[1:]].sum() + lengths[ids[1:9]].sum()


def test_with_a_stride_it_is_scored_in_windows_as_a_gpt_is(
    make_baseline: Callable[..., Baseline], bpe: Tokenizer, ids: list[int], lengths: np.ndarray, kind: str
) -> None:
    model = make_baseline(kind, bpe.vocab_size, context=16)
    result = score(model, document(ids, lengths), stride=16)
    direct = evaluate(model, np.array(ids, np.uint16), lengths)
    assert direct is not None
    assert result.nats_per_token == pytest.approx(direct.loss_nats, rel=1e-5)
    assert (result.context, result.stride) == (16, 16)
