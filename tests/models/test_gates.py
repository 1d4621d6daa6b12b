"""The recomputed states of an LSTM and an RNN against the model's own, and gates against biases that decide them."""

from collections.abc import Callable

import pytest
import torch

from minigpt.errors import CheckpointError
from minigpt.models.baselines import LSTM, RNN, Baseline
from minigpt.models.inside import layer_states

V = 12
MakeBaseline = Callable[..., Baseline]


def ids_of(count: int) -> torch.Tensor:
    return torch.randint(V, (count,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
@torch.inference_mode()
def test_every_state_is_the_one_that_the_model_carries_on(make_baseline: MakeBaseline, kind: str) -> None:
    """PyTorch's own cells decide (nn.RNN, lstm_cell): read token by token, they hand out the state of every layer."""
    model, ids_T = make_baseline(kind, V, layers=3), ids_of(520)  # more than one stretch
    assert isinstance(model, RNN)
    states, state = [], None
    for token in ids_T:
        _, state = model.read(token.view(1, 1), state)
        states.append(state)
    for layer in (1, 2, 3):
        stretches = list(layer_states(model, ids_T.tolist(), layer))
        assert len(stretches) == 2
        hidden_TC = torch.cat([stretch.hidden_TC for stretch in stretches])
        torch.testing.assert_close(hidden_TC, torch.stack([s[0][0, layer - 1] for s in states]), atol=1e-5, rtol=0)
        memory_TC = torch.cat([stretch.memory_TC for stretch in stretches])
        torch.testing.assert_close(memory_TC, torch.stack([s[-1][0, layer - 1] for s in states]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
@torch.inference_mode()
def test_the_last_layer_puts_out_what_the_model_predicts_from(make_baseline: MakeBaseline, kind: str) -> None:
    model, ids_T = make_baseline(kind, V), ids_of(40)
    assert isinstance(model, RNN)
    (state,) = layer_states(model, ids_T.tolist(), 2)
    output_BTC, _ = model.advance(model.wte(ids_T[None]), None)
    torch.testing.assert_close(state.hidden_TC, output_BTC[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(state.hidden_TC @ model.wte.weight.T, model(ids_T[None])[0], atol=1e-4, rtol=0)
    assert (state.gates is not None) == (kind == "lstm")


@torch.inference_mode()
def test_each_gate_has_its_own_name(make_baseline: MakeBaseline) -> None:
    """The rows of weight_ih are W_ii, W_if, W_ig and W_io: torch.nn.LSTM, PyTorch 2.13."""
    width = 16
    for number, name in enumerate(("input", "forget", "content", "output")):
        model = make_baseline("lstm", V, layers=1, width=width)
        assert isinstance(model, LSTM)
        model.cells.bias_ih_l0[number * width : (number + 1) * width] = 50.0
        (state,) = layer_states(model, ids_of(20).tolist(), 1)
        assert state.gates is not None
        for other in ("input", "forget", "output"):
            gate_TC = getattr(state.gates, f"{other}_TC")
            assert bool((gate_TC > 0.999).all()) == (other == name)
            assert ((gate_TC >= 0) & (gate_TC <= 1)).all()


@torch.inference_mode()
def test_a_closed_forget_gate_leaves_nothing_of_before(make_baseline: MakeBaseline) -> None:
    model = make_baseline("lstm", V, layers=1)
    assert isinstance(model, LSTM)
    model.cells.bias_ih_l0[16:32] = -50.0
    (state,) = layer_states(model, ids_of(20).tolist(), 1)
    assert state.cell_TC is not None
    assert (state.cell_TC.abs() <= 1).all()  # i tanh(g) alone


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
@torch.inference_mode()
def test_damaged_weights_are_refused(make_baseline: MakeBaseline, kind: str) -> None:
    model = make_baseline(kind, V)
    assert isinstance(model, RNN)
    model.cells.weight_hh_l0[3, 2] = torch.nan
    with pytest.raises(CheckpointError, match="The state of layer 2 is not finite"):
        list(layer_states(model, ids_of(20).tolist(), 2))
