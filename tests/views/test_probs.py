"""The same prefix has the same numbers, whoever asks; totals against a direct computation."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import torch

from minigpt.models.baselines import Baseline
from minigpt.models.gpt import GPT
from minigpt.models.window import window_start
from minigpt.sampling.engine import generate
from minigpt.sampling.records import BareToken, Candidate, StepRecord
from minigpt.settings import SampleConfig
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.probs import every_token, first_token, next_token, text_score


def assert_same_numbers(given: StepRecord, expected: StepRecord, token: bool = True) -> None:
    """Equal but for the rounding of float32."""
    assert given.position == expected.position
    assert [(c.id, c.text, c.bytes, c.rank) for c in given.candidates] == [
        (c.id, c.text, c.bytes, c.rank) for c in expected.candidates
    ]
    assert [c.raw_prob for c in given.candidates] == pytest.approx([c.raw_prob for c in expected.candidates], rel=1e-4)
    assert [c.logit for c in given.candidates] == pytest.approx([c.logit for c in expected.candidates], abs=1e-4)
    assert given.entropy_bits == pytest.approx(expected.entropy_bits, abs=1e-4)
    if token:
        assert given.chosen is not None
        assert expected.chosen is not None
        assert given.chosen.id == expected.chosen.id
        assert given.surprisal_bits == pytest.approx(expected.surprisal_bits, abs=1e-4)


def direct_nats(model: GPT, ids: list[int]) -> list[float]:
    """-ln p of every token but the first, each from a pass of its own over the window that sampling would see."""
    nats = []
    for position in range(1, len(ids)):
        start = window_start(position, model.config.context)
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:position]]))[0, -1].double()
        nats.append(-float(logits.log_softmax(-1)[ids[position]]))
    return nats


@pytest.fixture
def long_ids(bpe: Tokenizer, corpus: str) -> list[int]:
    """Six times the context, and a bit."""
    return bpe.encode(corpus)[:101]


@pytest.mark.parametrize("context", [1, 2, 5, 16, 17])
def test_every_token_is_seen_as_by_next_token(
    make_model: Callable[..., GPT], bpe: Tokenizer, long_ids: list[int], context: int
) -> None:
    model = make_model(bpe.vocab_size, context)
    records = list(every_token(model, bpe, long_ids, top=4))
    assert [r.position for r in records] == list(range(101))
    assert [r.token.id for r in records if r.token] == long_ids
    for position, record in enumerate(records[1:], start=1):
        expected = next_token(model, bpe, long_ids[:position], top=4)
        assert expected.token is None
        assert_same_numbers(replace(record, candidates=record.candidates[:4]), expected, token=False)


@pytest.mark.parametrize("length", [2, 3, 15, 16, 17, 18, 24, 25, 32, 33])
def test_no_token_is_left_out_at_the_edges_of_windows(
    model: GPT, bpe: Tokenizer, long_ids: list[int], length: int
) -> None:
    ids = long_ids[:length]
    records = list(every_token(model, bpe, ids, top=1))
    assert [r.position for r in records] == list(range(length))
    nats = [r.surprisal_bits * math.log(2) for r in records[1:] if r.surprisal_bits is not None]
    assert nats == pytest.approx(direct_nats(model, ids), abs=1e-4)


def test_every_token_shows_what_sampling_recorded(model: GPT, bpe: Tokenizer) -> None:
    prompt = "The quick brown"
    config = SampleConfig(temperature=1.0, top_p=1.0, max_tokens=70, ignore_end_of_text=True, top=5)
    recorded = [p.record for p in generate(model, bpe, prompt, config) if isinstance(p.record, StepRecord)]
    ids = [*bpe.encode(prompt), *(r.chosen.id for r in recorded if r.chosen)]
    inspected = list(every_token(model, bpe, ids, top=5))[len(bpe.encode(prompt)) :]
    assert len(inspected) == len(recorded) == 70
    for given, expected in zip(inspected, recorded, strict=True):
        assert_same_numbers(given, expected)


def test_the_totals_against_a_direct_computation(model: GPT, bpe: Tokenizer, long_ids: list[int]) -> None:
    nats = direct_nats(model, long_ids)
    byte_count = len(bpe.decode_bytes(long_ids[1:]))
    score = text_score(every_token(model, bpe, long_ids, top=3))
    assert (score.tokens, score.bytes) == (100, byte_count)
    assert score.total_nats == pytest.approx(sum(nats), rel=1e-5)
    assert score.bits_per_byte == pytest.approx(sum(nats) / math.log(2) / byte_count, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(sum(nats) / 100), rel=1e-4)


def test_the_perplexity_of_a_uniform_model_is_its_vocabulary(
    constant_model: Callable[..., GPT], bpe: Tokenizer, long_ids: list[int]
) -> None:
    score = text_score(every_token(constant_model([0.0] * bpe.vocab_size), bpe, long_ids, top=1))
    assert score.perplexity == pytest.approx(bpe.vocab_size)
    assert score.total_nats == pytest.approx(100 * math.log(bpe.vocab_size))


def test_the_first_token_has_no_numbers(model: GPT, bpe: Tokenizer) -> None:
    first, *rest = every_token(model, bpe, bpe.encode("The dog"), top=3)
    assert first.token is not None
    assert not isinstance(first.token, Candidate)
    assert (first.token.text, first.token.bytes) == ("T", "54")
    assert (first.candidates, first.other, first.stages) == ((), None, ())
    assert (first.entropy_bits, first.surprisal_bits, first.chosen) == (None, None, None)
    assert all(r.entropy_bits is not None and r.other is not None and r.chosen is not None for r in rest)


def test_a_first_token_that_is_half_a_character_shows_its_bytes(bpe: Tokenizer) -> None:
    token = bpe.encode("🦖")[0]
    assert first_token(bpe, token).token == BareToken(id=token, text=None, bytes=bpe.token_bytes(token).hex())
    assert bpe.token_bytes(token)[0] == 0xF0


def test_a_text_of_one_token(model: GPT, bpe: Tokenizer) -> None:
    (only,) = every_token(model, bpe, bpe.encode("a"), top=3)
    assert only.surprisal_bits is None
    score = text_score([only])
    assert (score.tokens, score.bytes, score.total_nats) == (0, 0, 0.0)
    assert (score.bits_per_byte, score.perplexity) == (None, None)


def test_a_text_of_two_tokens(model: GPT, bpe: Tokenizer) -> None:
    ids = [*bpe.encode("a"), *bpe.encode("b")]
    first, second = every_token(model, bpe, ids, top=3)
    with torch.no_grad():
        nats = -float(model(torch.tensor([ids[:1]]))[0, -1].double().log_softmax(-1)[ids[1]])
    assert first.surprisal_bits is None
    assert second.surprisal_bits == pytest.approx(nats / math.log(2), rel=1e-5)
    score = text_score([first, second])
    assert (score.tokens, score.bytes) == (1, 1)
    assert score.perplexity == pytest.approx(math.exp(nats), rel=1e-5)
    assert score.bits_per_byte == pytest.approx(nats / math.log(2), rel=1e-5)


def test_no_text_has_no_records(model: GPT, bpe: Tokenizer) -> None:
    assert list(every_token(model, bpe, [], top=3)) == []
    assert text_score([]).perplexity is None


def test_a_perplexity_beyond_all_numbers_is_none(constant_model: Callable[..., GPT], bpe: Tokenizer) -> None:
    """A diverged model can put 1,000 nats on a token; exp(1000) is no float, and JSON has no infinity."""
    logits = [0.0] * bpe.vocab_size
    logits[5] = 1000.0
    score = text_score(every_token(constant_model(logits), bpe, [1, 2, 3], top=1))
    assert score.total_nats == pytest.approx(2000)
    assert score.perplexity is None
    assert json.dumps(asdict(score), allow_nan=False)


def test_a_model_with_a_state_expects_at_each_token_what_it_would_draw_from(
    make_baseline: Callable[..., Baseline], bpe: Tokenizer, corpus: str, kind: str
) -> None:
    model, ids = make_baseline(kind, bpe.vocab_size, context=16), bpe.encode(corpus)[:50]
    records = list(every_token(model, bpe, ids, top=3))
    assert [record.position for record in records] == list(range(50))
    for position in (1, 15, 16, 17, 49):
        drawn_from = next_token(model, bpe, ids[:position], top=3)
        assert records[position].entropy_bits == pytest.approx(drawn_from.entropy_bits, abs=1e-4)
        assert [c.id for c in records[position].candidates][:3] == [c.id for c in drawn_from.candidates]
