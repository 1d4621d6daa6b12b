"""Greedy translations of many sources are those of each alone, by the decoder that `sample` uses."""

import numpy as np
import pytest
import torch

from minigpt.models.kinds import new_model
from minigpt.models.state_decoder import StateDecoder
from minigpt.sampling.translate import greedy
from minigpt.settings import ModelConfig

END = 10


def alone(model: object, source: list[int], most: int) -> list[int]:
    decoder, written = StateDecoder(model), []  # type: ignore[arg-type]
    logits = decoder.prefill(source)
    while len(written) < most and (token := int(logits[0].argmax())) != END:
        written.append(token)
        logits = decoder.step([token])
    return written


@pytest.mark.parametrize("kind", ["seq2seq", "seq2seq-attention", "transformer"])
def test_a_batch_is_translated_as_each_source_alone(kind: str) -> None:
    config = ModelConfig(model=kind, vocab_size=11, context=12, layers=1, heads=1, width=16, end=END)
    model = new_model(config).initialise(torch.Generator().manual_seed(3)).eval()
    with torch.no_grad():
        model.wte.weight[END] *= 1.5  # so that some end early
    random = np.random.default_rng(1)
    sources = [[*random.integers(10, size=length).tolist(), END] for length in (5, 1, 9, 3, 3, 7)]
    found = greedy(model, [np.array(source) for source in sources], 10)
    assert found == [alone(model, source, 10) for source in sources]
    assert greedy(model, [], 10) == []
    assert all(len(ids) <= 2 and END not in ids for ids in greedy(model, [np.array(s) for s in sources], 2))
