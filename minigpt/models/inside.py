"""Records the inside of a model as it reads a text: of a GPT its attention and stream, of others gates and state."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minigpt.errors import CheckpointError
from minigpt.models.baselines import LSTM, RNN
from minigpt.models.gpt import GPT
from minigpt.models.window import window_start


@dataclass(frozen=True)
class Attention:
    """What happened in every layer: weights and scores [layers, H, T, T], the residual stream [layers + 1, T, C]."""

    ids: tuple[int, ...]
    start: int  # index in the text of the first of `ids`
    weights_LHTS: Tensor
    scores_LHTS: Tensor  # -inf where a token does not look, because the other comes later
    stream_LTC: Tensor  # the embedding, then the output of each layer


@torch.inference_mode()
def look_inside(model: GPT, ids: Sequence[int]) -> tuple[Attention, Tensor]:
    """One pass over `ids` (one or more) that records the attention; returns the logits [1, T, V] too."""
    start = window_start(len(ids), model.config.context)
    window = tuple(ids[start:])
    weights, products, stream = list[Tensor](), list[Tensor](), list[Tensor]()
    hooks = [block.attn.c_attn.register_forward_hook(lambda *args: products.append(args[-1])) for block in model.blocks]
    try:
        logits_BTV = model(torch.tensor([window], device=model.device), weights=weights, stream=stream)
    finally:
        for hook in hooks:
            hook.remove()
    attention = Attention(
        ids=window,
        start=start,
        weights_LHTS=torch.cat(weights).double().cpu(),
        scores_LHTS=torch.cat([_scores(qkv, model.config.heads) for qkv in products]).double().cpu(),
        stream_LTC=torch.cat(stream).double().cpu(),
    )
    return attention, logits_BTV


def _scores(qkv_BTC: Tensor, heads: int) -> Tensor:
    """[B, H, T, T]: each query times each key, the input of the softmax."""
    B, T, C3 = qkv_BTC.shape
    q, k, _ = qkv_BTC.view(B, T, 3, heads, C3 // 3 // heads).permute(2, 0, 3, 1, 4)
    scores: Tensor = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    return scores.masked_fill(torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(1), -torch.inf)


@torch.inference_mode()
def layer_logits(model: GPT, ids: Sequence[int]) -> list[Tensor]:
    """The logits [V] after `ids` in each layer: the embeddings first, the model's output last."""
    window = ids[window_start(len(ids), model.config.context) :]
    stream: list[Tensor] = []
    model(torch.tensor([window], device=model.device), last_only=True, stream=stream)
    return [model.unembed(x_BTC[:, -1:])[0, 0] for x_BTC in stream]


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
