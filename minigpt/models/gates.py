"""Records the inside of an LSTM or an RNN as it reads a text: the gates and the state of one layer, token by token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.errors import CheckpointError
from minigpt.models.baselines import LSTM, RNN

_AT_ONCE = 512  # tokens, so that a text of any length is read in little memory


@dataclass(frozen=True)
class Gates:
    """How much of the input and of the last cell state goes into the new one, and how much of that comes out: [T, C]
    each, from 0 to 1.
    """

    input_TC: Tensor
    forget_TC: Tensor
    output_TC: Tensor


@dataclass(frozen=True)
class LayerState:
    """What one layer holds after each token of a stretch of a text, [T, C] each; only an LSTM has gates and cells."""

    hidden_TC: Tensor
    cell_TC: Tensor | None = None
    gates: Gates | None = None

    @property
    def memory_TC(self) -> Tensor:
        """What is carried from token to token: the cell state of an LSTM, the hidden state of an RNN."""
        return self.hidden_TC if self.cell_TC is None else self.cell_TC


@torch.inference_mode()
def layer_states(model: RNN, ids: Sequence[int], layer: int) -> Iterator[LayerState]:
    """The states of `layer`, from 1, as the model reads `ids` from an empty state, in stretches of the text.

    Computed from the weights by the equations of the papers that baselines.py names. Raises CheckpointError if a state
    is not finite.
    """
    step = _lstm if isinstance(model, LSTM) else _rnn
    zeros_C = torch.zeros(model.config.width, device=model.device)
    before = [LayerState(zeros_C[None], zeros_C[None]) for _ in range(layer)]
    for start in range(0, len(ids), _AT_ONCE):
        x_TC = model.wte(torch.tensor(ids[start : start + _AT_ONCE], device=model.device))
        for number, weights in enumerate(model.cells.all_weights[:layer]):
            before[number] = step(x_TC, weights, before[number])
            x_TC = before[number].hidden_TC
        if not before[-1].memory_TC.isfinite().all():
            raise CheckpointError(
                f"The state of layer {layer} is not finite: the model's weights are damaged, or its training diverged."
            )
        yield before[-1]


def _lstm(x_TC: Tensor, weights: Sequence[Tensor], before: LayerState) -> LayerState:
    """i, f, o = σ(W x + U h + b), g = tanh(W x + U h + b), c' = f c + i g, h' = o tanh(c')."""
    assert before.cell_TC is not None
    from_input_GC, from_hidden_GC, b_G, also_b_G = weights  # G = 4 C: input, forget, new content, output
    h_C, c_C = before.hidden_TC[-1], before.cell_TC[-1]
    rows = []
    for known_G in x_TC @ from_input_GC.T + b_G + also_b_G:
        i_C, f_C, g_C, o_C = (known_G + from_hidden_GC @ h_C).chunk(4)
        i_C, f_C, o_C = i_C.sigmoid(), f_C.sigmoid(), o_C.sigmoid()
        c_C = f_C * c_C + i_C * g_C.tanh()
        h_C = o_C * c_C.tanh()
        rows.append((h_C, c_C, i_C, f_C, o_C))
    hidden_TC, cell_TC, *gates = map(torch.stack, zip(*rows, strict=True))
    return LayerState(hidden_TC, cell_TC, Gates(*gates))


def _rnn(x_TC: Tensor, weights: Sequence[Tensor], before: LayerState) -> LayerState:
    """h' = tanh(W x + U h + b)."""
    from_input_CC, from_hidden_CC, b_C, also_b_C = weights
    h_C = before.hidden_TC[-1]
    rows = []
    for known_C in x_TC @ from_input_CC.T + b_C + also_b_C:
        h_C = (known_C + from_hidden_CC @ h_C).tanh()
        rows.append(h_C)
    return LayerState(torch.stack(rows))
