"""The Transformer of Figure 1: the same whatever the way in which a pair is read, and as large as its formula says."""

from contextlib import suppress
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.errors import ConfigError
from minigpt.models.encoder_decoder import PADDING, EncoderDecoder
from minigpt.models.functional import masked_attention
from minigpt.models.kinds import TOLERANCE, equal_shape, new_model
from minigpt.models.transformer import position_table
from minigpt.settings import ModelConfig

END, V = 20, 21
SHAPE = ModelConfig(model="transformer", vocab_size=V, context=12, layers=2, heads=2, width=16, end=END)
KINDS = ("transformer", "seq2seq", "seq2seq-attention")
SOURCES = [[3, 1, 4, 1, 5, END], [9, END], [2, 6, 5, END]]
INPUTS = [[END, 7], [END, 8, 2, 8, 1], [END, 4, 4]]


def shape_of(kind: str) -> ModelConfig:
    return replace(SHAPE, model=kind, heads=2 if kind == "transformer" else 1)


def made(config: ModelConfig) -> EncoderDecoder:
    """A model whose every parameter is random, biases and gains too."""
    generator = torch.Generator().manual_seed(1)
    model = new_model(config).initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> EncoderDecoder:
    return made(shape_of(request.param))


def padded(rows: list[list[int]]) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])


@torch.no_grad()
def test_a_padded_batch_equals_its_rows_alone(model: EncoderDecoder) -> None:
    together = model(padded(SOURCES), padded(INPUTS))
    alone = [model(torch.tensor([s]), torch.tensor([t])) for s, t in zip(SOURCES, INPUTS, strict=True)]
    assert together.shape == (10, V)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_pair_as_one_sequence_equals_the_pair(model: EncoderDecoder) -> None:
    source, target = SOURCES[0], INPUTS[1]
    logits = model(torch.tensor([[*source, *target[1:]]]))[0]
    assert logits[: len(source) - 1].eq(0).all()  # before END nothing is written
    pair = model(torch.tensor([source]), torch.tensor([target]))
    torch.testing.assert_close(logits[len(source) - 1 :], pair, atol=1e-5, rtol=0)
    last, _ = model.read(torch.tensor([[*source, *target[1:]]]), None, last_only=True)
    torch.testing.assert_close(last[0], pair[-1:], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_reading_by_steps_equals_reading_at_once(model: EncoderDecoder, at_once: int) -> None:
    source, target = SOURCES[0], [8, 2, 8, 1, 3, 11]
    whole = model(torch.tensor([[*source, *target]]))[0, len(source) - 1 :]
    logits, state = model.read(torch.tensor([source]), None)
    parts = [logits[0, -1:]]
    for first in range(0, len(target), at_once):
        logits, state = model.read(torch.tensor([target[first : first + at_once]]), state)
        parts.append(logits[0])
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_later_token_of_the_target_changes_no_earlier_logit(model: EncoderDecoder) -> None:
    source = torch.tensor([SOURCES[0]])
    one, other = (model(source, torch.tensor([[END, 8, 2, last, 1]])) for last in (8, 9))
    torch.testing.assert_close(one[:3], other[:3], atol=1e-6, rtol=0)
    assert (one[3:] - other[3:]).abs().amax(dim=1).gt(1e-3).all()


@torch.no_grad()
def test_every_token_of_the_source_changes_every_logit(model: EncoderDecoder) -> None:
    inputs = torch.tensor([INPUTS[1]])
    usual = model(torch.tensor([SOURCES[0]]), inputs)
    for place in range(len(SOURCES[0]) - 1):
        changed = list(SOURCES[0])
        changed[place] = 13
        assert (model(torch.tensor([changed]), inputs) - usual).abs().amax(dim=1).gt(1e-4).all(), place


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 8, 21), (2, 2, 16, 33), (3, 4, 24, 100)], ids=str)
def test_the_number_of_parameters_is_that_of_the_formula(kind: str, shape: tuple[int, int, int, int]) -> None:
    layers, heads, width, vocabulary = shape
    config = replace(
        shape_of(kind), layers=layers, width=width, vocab_size=vocabulary, end=vocabulary - 1,
        heads=heads if kind == "transformer" else 1,
    )  # fmt: skip
    assert new_model(config).parameter_count() == config.parameter_count()


def test_parameters_of_a_transformer_by_hand() -> None:
    attention, mlp, norm = 4 * (16 * 16 + 16), 2 * 16 * 64 + 64 + 16, 32
    encoder, decoder = attention + mlp + 2 * norm, 2 * attention + mlp + 3 * norm
    assert SHAPE.parameter_count() == 21 * 16 + 2 * (encoder + decoder) == 15_696


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("width", [32, 64, 128, 192])
def test_an_equal_shape_has_as_many_parameters(kind: str, width: int) -> None:
    shape = replace(SHAPE, vocab_size=1000, end=999, width=width)
    equal = equal_shape(shape, kind)
    assert abs(equal.parameter_count() / shape.parameter_count() - 1) <= TOLERANCE
    assert (equal.model, equal.end, equal.context) == (kind, 999, 12)


def test_an_odd_width_is_never_tried_for_an_encoder_that_reads_both_ways() -> None:
    for width in range(2, 40, 2):
        shape = replace(SHAPE, vocab_size=1, end=0, width=width)
        found = None
        with suppress(ConfigError):  # where none has about as many weights
            found = equal_shape(shape, "seq2seq-attention")
        assert found is None or found.width % 2 == 0
    assert found is not None


@pytest.mark.parametrize(("context", "width"), [(64, 16), (10, 30), (512, 128)])
def test_positions_are_those_of_marian(context: int, width: int) -> None:
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

    theirs = MarianSinusoidalPositionalEmbedding(context, width)
    theirs.weight = torch.nn.Parameter(theirs.create_weight())
    torch.testing.assert_close(position_table(context, width), theirs.weight.detach(), atol=1e-6, rtol=0)


def test_its_state_holds_keys_and_values_of_source_and_target() -> None:
    model = made(SHAPE)
    is_token, *keys = model.encode(padded(SOURCES))
    assert is_token.tolist() == [[True] * 6, [True] * 2 + [False] * 4, [True] * 4 + [False] * 2]
    assert [tuple(each.shape) for each in keys] == [(3, 2, 2, 6, 8)] * 2  # of two layers
    _, after = model.decode(torch.tensor([[END, 1], [END, 2], [END, 3]]), (is_token, *keys))
    assert after[0] is is_token
    assert [tuple(each.shape) for each in after[1:]] == [(3, 2, 2, 6, 8)] * 2 + [(3, 2, 2, 2, 8)] * 2


@torch.no_grad()
def test_weights_over_the_source_add_up_to_one_and_spare_the_padding() -> None:
    model, found = made(SHAPE), list[Tensor]()
    model.decode(torch.tensor([[END, 1, 2]] * 3), model.encode(padded(SOURCES)), found)
    assert [tuple(each.shape) for each in found] == [(3, 2, 3, 6)] * 2
    for each in found:
        torch.testing.assert_close(each.sum(-1), torch.ones(3, 2, 3))
        assert each[1, :, :, 2:].eq(0).all()
        assert each[2, :, :, 4:].eq(0).all()


@torch.no_grad()
def test_logits_are_the_same_whether_weights_are_asked_for_or_not(model: EncoderDecoder) -> None:
    state, inputs, weights = model.encode(torch.tensor([SOURCES[0]])), torch.tensor([[END, 8, 2]]), list[Tensor]()
    explicit, fused = model.decode(inputs, state, weights)[0], model.decode(inputs, state)[0]
    torch.testing.assert_close(explicit, fused, atol=1e-5, rtol=0)
    assert len(weights) == {"transformer": 2, "seq2seq": 0, "seq2seq-attention": 1}[model.config.model]


def test_more_tokens_than_positions_are_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="13 tokens is more than the 12 that this model reads"):
        made(SHAPE)(torch.tensor([[1] * 12 + [END]]))


def test_dropout_is_of_training_alone(model: EncoderDecoder) -> None:
    config = replace(model.config, dropout=0.5)
    dropping = new_model(config)
    dropping.load_state_dict(model.state_dict())
    batch = padded(SOURCES), padded(INPUTS)
    torch.testing.assert_close(dropping.eval()(*batch), model(*batch), atol=1e-5, rtol=0)
    assert (dropping.train()(*batch) - model(*batch)).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_masked", [False, True])
def test_attention_has_the_gradients_of_torch(dtype: torch.dtype, is_masked: bool) -> None:
    """Of short texts on a CPU, where products are quicker: beside the fused kernel in float64."""
    generator = torch.Generator().manual_seed(4)
    shapes = ((3, 2, 5, 8), (3, 2, 7, 8), (3, 2, 7, 8))
    inputs = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    wanted = [each.detach().double().requires_grad_() for each in inputs]
    allowed = torch.ones(3, 1, 1, 7, dtype=torch.bool)
    allowed[1, ..., 4:] = allowed[2, ..., 1:] = False
    mask = allowed if is_masked else None
    y, expected = masked_attention(*inputs, mask), F.scaled_dot_product_attention(*wanted, attn_mask=mask)
    dy = torch.randn(y.shape, generator=generator).to(dtype)
    y.backward(dy)
    expected.backward(dy.double())
    tolerance = 1e-6 if dtype == torch.float32 else 3e-2
    assert torch.allclose(y.double(), expected, atol=tolerance, rtol=0)
    for ours, theirs in zip(inputs, wanted, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad.double(), theirs.grad, atol=3 * tolerance, rtol=0)
