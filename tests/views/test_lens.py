"""What each layer would predict, against a lens made of transformers' hidden states, and against the model's output."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import transformers

from minigpt.checkpoint.hf_gpt2 import config_to_json, weights_to_tensors
from minigpt.models import torch_network
from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT
from minigpt.models.inside import layer_logits
from minigpt.sampling.records import Candidate
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.history import by_layer
from minigpt.views.probs import next_token

IDS = [5, 9, 40, 301, 77]


@pytest.mark.parametrize("length", [1, 2, 5, 16, 17, 40])
def test_the_last_row_is_torchs_output_to_the_bit(model: GPT, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_network, "is_native", lambda config: False)
    ids = (IDS * 8)[:length]
    assert np.array_equal(layer_logits(model, ids)[-1], CachedDecoder(model).prefill(ids)[0])


@pytest.mark.parametrize("layers", [1, 4])
def test_each_layer_is_that_of_transformers_hidden_states(make_model: Callable[..., GPT], layers: int) -> None:
    model = make_model(320, layers=layers, heads=4, width=32)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config_to_json(model.config, 0, torch.float32)))
    theirs.load_state_dict(weights_to_tensors(model, torch.float32), strict=False)
    with torch.no_grad():
        states = theirs.eval()(torch.tensor([IDS]), output_hidden_states=True).hidden_states
        # The last of theirs has been through the final norm already; the others have not.
        normed = [*(theirs.transformer.ln_f(state) for state in states[:-1]), states[-1]]
        expected = [theirs.lm_head(state)[0, -1] for state in normed]
    found = layer_logits(model, IDS)
    assert len(found) == layers + 1
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


def test_the_numbers_of_a_row_are_those_of_its_logits(model: GPT, bpe: Tokenizer) -> None:
    rows = by_layer(model, bpe, IDS, tracked=[7, 300], top=3)
    logits = [layer.double() for layer in layer_logits(model, IDS)]
    output = logits[-1].log_softmax(-1)
    assert [row.layer for row in rows] == list(range(len(logits)))
    for row, layer in zip(rows, logits, strict=True):
        log_p, p = layer.log_softmax(-1), layer.softmax(-1)
        assert [c.id for c in row.candidates] == layer.topk(3).indices.tolist()
        assert sum(c.raw_prob for c in row.candidates) + row.other.raw_prob == pytest.approx(1, abs=1e-9)
        assert row.entropy_bits == pytest.approx(float(-(p * log_p).sum()) / math.log(2))
        divergence = float((output.exp() * (output - log_p)).sum()) / math.log(2)
        assert row.divergence_bits == pytest.approx(divergence, abs=1e-9)
        assert [c.id for c in row.tracked] == [7, 300]
        for candidate in row.tracked:
            assert candidate.raw_prob == pytest.approx(float(p[candidate.id]))
            assert candidate.rank == 1 + int((layer > layer[candidate.id]).sum())
    assert rows[-1].divergence_bits == 0


def test_the_last_row_is_what_inspect_probs_shows(model: GPT, bpe: Tokenizer) -> None:
    output, shown = by_layer(model, bpe, IDS, top=10)[-1], next_token(model, bpe, IDS, top=10)
    assert output.other is not None
    assert shown.other is not None
    assert_nearly_equal(output.candidates, shown.candidates)
    assert output.other.prob == pytest.approx(shown.other.prob, rel=1e-5)
    assert output.entropy_bits == pytest.approx(shown.entropy_bits, rel=1e-5)


def assert_nearly_equal(found: Sequence[Candidate], expected: Sequence[Candidate]) -> None:
    """The same tokens, with numbers that torch and C may round differently."""
    assert [c.id for c in found] == [c.id for c in expected]
    for name in ("logit", "raw_prob", "prob"):
        assert [getattr(c, name) for c in found] == pytest.approx([getattr(c, name) for c in expected], rel=1e-5)


def test_without_a_choice_the_most_likely_token_is_followed(model: GPT, bpe: Tokenizer) -> None:
    best = next_token(model, bpe, IDS, top=1).candidates[0].id
    assert {tuple(c.id for c in row.tracked) for row in by_layer(model, bpe, IDS)} == {(best,)}


def test_a_text_beyond_the_context_is_read_as_sampling_reads_it(model: GPT, bpe: Tokenizer) -> None:
    ids = IDS * 8
    rows, shown = by_layer(model, bpe, ids), next_token(model, bpe, ids, top=1)
    assert_nearly_equal(rows[-1].candidates, shown.candidates)
