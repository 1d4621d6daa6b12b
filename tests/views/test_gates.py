"""The gates and states of a text, against the weights' own arithmetic, one number at a time."""

import math
import statistics
from collections.abc import Callable

import pytest

from minigpt.errors import ConfigError
from minigpt.models.baselines import RNN, Baseline
from minigpt.models.gpt import GPT
from minigpt.models.inside import layer_states
from minigpt.text.tokenizer import Tokenizer
from minigpt.views.gates import check_place, recurrent, state_steps, telling_units

MakeBaseline = Callable[..., Baseline]
TEXT = "The cat sat on the mat, and the cat saw the other cat."


@pytest.fixture
def make_recurrent(bpe: Tokenizer, make_baseline: MakeBaseline) -> Callable[[str], RNN]:
    def make(kind: str) -> RNN:
        model = make_baseline(kind, bpe.vocab_size)
        assert isinstance(model, RNN)
        return model

    return make


@pytest.mark.parametrize("layer", [1, 2])
def test_every_number_is_that_of_the_layer(bpe: Tokenizer, make_recurrent: Callable[[str], RNN], layer: int) -> None:
    model, ids = make_recurrent("lstm"), bpe.encode(TEXT)
    (state,) = layer_states(model, ids, layer)
    steps = list(state_steps(model, bpe, ids, layer=layer, units=[3, 16]))
    assert [step.id for step in steps] == ids
    assert [step.position for step in steps] == list(range(len(ids)))
    for step, hidden, cell in zip(steps, state.hidden_TC.tolist(), state.cell_TC.tolist(), strict=True):  # type: ignore[union-attr]
        assert step.hidden_norm == pytest.approx(math.hypot(*hidden))
        assert step.cell_norm == pytest.approx(math.hypot(*cell))
        assert [unit.unit for unit in step.units] == [3, 16]
        assert [(unit.hidden, unit.cell) for unit in step.units] == [(hidden[2], cell[2]), (hidden[15], cell[15])]
    for name in ("input", "forget", "output"):
        for step, values in zip(steps, getattr(state.gates, f"{name}_TC").tolist(), strict=True):
            gate = getattr(step, name)
            assert gate.mean == pytest.approx(sum(values) / 16)
            assert gate.closed == sum(value < 0.1 for value in values) / 16
            assert gate.open == sum(value > 0.9 for value in values) / 16
            assert getattr(step.units[0], name) == values[2]


def test_a_plain_rnn_has_a_hidden_state_alone(bpe: Tokenizer, make_recurrent: Callable[[str], RNN]) -> None:
    model, ids = make_recurrent("rnn"), bpe.encode(TEXT)
    (state,) = layer_states(model, ids, 2)
    for step, hidden in zip(state_steps(model, bpe, ids, layer=2, units=[1]), state.hidden_TC.tolist(), strict=True):
        assert (step.input, step.forget, step.output, step.cell_norm) == (None, None, None, None)
        assert step.units[0].hidden == hidden[0]
        assert step.units[0].cell is None


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
def test_the_units_that_vary_most_are_told(bpe: Tokenizer, make_recurrent: Callable[[str], RNN], kind: str) -> None:
    model, ids = make_recurrent(kind), bpe.encode(TEXT)
    (state,) = layer_states(model, ids, 2)
    variances = [statistics.pvariance(column) for column in zip(*state.memory_TC.tolist(), strict=True)]
    expected = sorted(range(1, 17), key=lambda unit: -variances[unit - 1])
    assert telling_units(model, ids, layer=2, count=4) == expected[:4]
    assert telling_units(model, ids, layer=2, count=99) == expected


def test_other_models_are_refused_in_a_line(
    model: GPT, bpe: Tokenizer, make_recurrent: Callable[[str], RNN], make_baseline: MakeBaseline
) -> None:
    with pytest.raises(
        ConfigError, match=r"this model is a GPT-2\.\nSee its attention with minigpt inspect-attention\."
    ):
        recurrent(model, "It")
    with pytest.raises(ConfigError, match=r"this model is a dense network over a window\.$"):
        recurrent(make_baseline("window", bpe.vocab_size), "It")
    lstm = recurrent(make_recurrent("lstm"), "It")
    assert check_place(lstm, None, []) == 2
    for layer, units in ((3, []), (0, []), (1, [17]), (1, [1, 0])):
        with pytest.raises(ConfigError, match="must be from 1 to"):
            check_place(lstm, layer, units)
