"""Batches of sources give what one at a time gives: the same greedy targets, the same losses."""

from typing import Any

import numpy as np
import pytest
import torch

from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.kinds import new_model
from minigpt.models.translate import greedy, target_nats_of_each
from minigpt.sampling.engine import generate
from minigpt.sampling.records import StepRecord
from minigpt.settings import PAIR_MODELS, ModelConfig, SampleConfig
from minigpt.text.learning import ending_texts, train_tokenizer
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.choices import weigh

SOURCES = ["a cat", "the dog", "a", "the cat and the dog and a cat", "dog", "and a dog", "the the"] * 12
CONTEXT = 24


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return ending_texts(train_tokenizer("bpe", ["a cat and the dog. " * 9], 280)).of_sources()


@pytest.fixture(params=PAIR_MODELS)
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> EncoderDecoder:
    """A random model, whose targets end at different lengths, some not before the context does."""
    config = ModelConfig(
        model=request.param,
        vocab_size=tokenizer.vocab_size,
        context=CONTEXT,
        layers=2,
        heads=1,
        width=16,
        end=tokenizer.end_of_text,
    )
    made: Any = new_model(config).initialise(torch.Generator().manual_seed(1)).eval()
    with torch.no_grad():
        made.wte.weight[tokenizer.end_of_text] *= 2.0
    return made


def sampled(model: EncoderDecoder, tokenizer: Tokenizer, source: str) -> list[int]:
    pieces = generate(model, tokenizer, source, SampleConfig(temperature=0.0, max_tokens=CONTEXT))
    tokens = [piece.record.token for piece in pieces if isinstance(piece.record, StepRecord)]
    return [token.id for token in tokens if token is not None and token.id != tokenizer.end_of_text]


def test_greedy_targets_are_those_of_sampling(model: EncoderDecoder, tokenizer: Tokenizer) -> None:
    done: list[int] = []
    sources = [tokenizer.encode_prompt(source).ids for source in SOURCES]
    found = greedy(model, sources, done.append)
    assert found == [sampled(model, tokenizer, source) for source in SOURCES]
    assert sum(done) == len(SOURCES)
    assert max(map(len, found)) <= CONTEXT


def test_a_target_costs_what_it_costs_alone(model: EncoderDecoder, tokenizer: Tokenizer) -> None:
    texts = ["cat", "the dog and a cat", "a"]
    sources = [tokenizer.encode_prompt(source).ids for source in SOURCES[:7]]
    nats_NL = target_nats_of_each(model, sources, [tokenizer.encode(text) for text in texts])
    for ids, row in zip(sources, nats_NL, strict=True):
        alone = {choice.text: choice.total_nats for choice in weigh(model, tokenizer, ids, texts, whole=True)}
        np.testing.assert_allclose(row, [alone[text] for text in texts], rtol=1e-4)


def test_no_sources_give_nothing(model: EncoderDecoder) -> None:
    assert greedy(model, []) == []
