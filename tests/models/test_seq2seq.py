"""What the two LSTMs hand over: one vector for each layer, or besides it the whole source to search in."""

import pytest
import torch
from torch import Tensor

from minigpt.errors import ConfigError
from minigpt.models.encoder_decoder import PADDING
from minigpt.models.kinds import new_model
from minigpt.models.seq2seq import AttentiveSeq2Seq, Seq2Seq
from minigpt.settings import ModelConfig

END = 20


def config(kind: str, **more: int) -> ModelConfig:
    shape = {"vocab_size": 21, "context": 12, "layers": 2, "heads": 1, "width": 16} | more
    return ModelConfig(model=kind, end=END, **shape)


@pytest.fixture(scope="module")
def plain() -> Seq2Seq:
    model = new_model(config("seq2seq")).initialise(torch.Generator().manual_seed(1)).eval()
    assert isinstance(model, Seq2Seq)
    return model


@pytest.fixture(scope="module")
def attentive() -> AttentiveSeq2Seq:
    model = new_model(config("seq2seq-attention")).initialise(torch.Generator().manual_seed(1)).eval()
    assert isinstance(model, AttentiveSeq2Seq)
    return model


@pytest.mark.parametrize("length", [1, 5, 11])
def test_however_long_the_source_one_vector_is_handed_over(plain: Seq2Seq, length: int) -> None:
    h, c = plain.encode(torch.tensor([[*range(length), END]]))
    assert h.shape == c.shape == (1, 2, 16)


@torch.no_grad()
def test_the_source_is_read_backwards(plain: Seq2Seq) -> None:
    ids = torch.tensor([[3, 1, 4, END]])
    _, (h, c) = plain.encoder(plain.wte(ids.flip(1)))
    for part, expected in zip(plain.encode(ids), (h, c), strict=True):
        torch.testing.assert_close(part, expected.transpose(0, 1), atol=0, rtol=0)


@torch.no_grad()
def test_padding_is_read_in_no_direction(plain: Seq2Seq, attentive: AttentiveSeq2Seq) -> None:
    short, batch = torch.tensor([[3, END]]), torch.tensor([[3, END, PADDING], [1, 2, END]])
    for part, alone in zip(plain.encode(batch), plain.encode(short), strict=True):
        torch.testing.assert_close(part[:1], alone, atol=1e-6, rtol=0)
    together, alone = attentive.encode(batch), attentive.encode(short)
    torch.testing.assert_close(together[0][:1, :2], alone[0], atol=1e-6, rtol=0)
    for part, expected in zip(together[3:], alone[3:], strict=True):
        torch.testing.assert_close(part[:1], expected, atol=1e-6, rtol=0)


def test_the_other_keeps_a_vector_and_a_key_for_each_token_of_the_source(attentive: AttentiveSeq2Seq) -> None:
    source, keys, is_token, h, c = attentive.encode(torch.tensor([[3, 1, 4, END], [5, END, PADDING, PADDING]]))
    assert source.shape == keys.shape == (2, 4, 16)
    assert is_token.sum(1).tolist() == [4, 2]
    assert h.shape == c.shape == (2, 2, 16)


@torch.no_grad()
def test_its_weights_add_up_to_one_and_spare_the_padding(attentive: AttentiveSeq2Seq) -> None:
    weights = list[Tensor]()
    state = attentive.encode(torch.tensor([[3, 1, 4, END], [5, END, PADDING, PADDING]]))
    attentive.decode(torch.tensor([[END, 1, 2]] * 2), state, weights)
    assert [tuple(each.shape) for each in weights] == [(2, 1, 3, 4)]
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 1, 3))
    assert weights[0][1, :, :, 2:].eq(0).all()


def test_forget_gates_begin_open_and_recurrent_matrices_orthogonal(plain: Seq2Seq) -> None:
    assert plain.encoder.bias_ih_l1.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32
    for gate in plain.decoder.weight_hh_l0.split(16):
        torch.testing.assert_close(gate @ gate.T, torch.eye(16), atol=1e-5, rtol=0)


def test_an_odd_width_cannot_be_halved() -> None:
    with pytest.raises(ConfigError, match="15 must be even"):
        config("seq2seq-attention", width=15)
    assert config("seq2seq", width=15).width == 15
