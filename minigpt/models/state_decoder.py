"""Decoding with a recurrent model, in torch."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from minigpt.models.baselines import Baseline, State
from minigpt.models.encoder_decoder import EncoderDecoder
from minigpt.models.functional import as_array
from minigpt.models.network import Autocast
from minigpt.models.torch_network import loss_of

Stateful = Baseline | EncoderDecoder


class StateDecoder:
    """A `Decoder` for a model whose state covers all tokens so far, without a window."""

    start = 0

    def __init__(self, model: Stateful, rows: int = 1) -> None:
        self.model, self._rows = model, rows
        self._state: State = ()

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        for logits_TV, state in read_stretches(self.model, ids, last_only=True):
            last_V, self._state = logits_TV[-1], state
        self._state = tuple(part.expand(self._rows, *part.shape[1:]) for part in self._state)
        return as_array(last_V)[None].repeat(self._rows, axis=0)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> np.ndarray:
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        logits_BTV, self._state = self.model.read(ids, self._state)
        return as_array(logits_BTV[:, 0])

    def keep(self, rows: Sequence[int]) -> None:
        self._state = tuple(part[list(rows)] for part in self._state)


@torch.inference_mode()
def read_stretches(model: Stateful, ids: Sequence[int], *, last_only: bool = False) -> Iterator[tuple[Tensor, State]]:
    """Logits [T, V] after each of `ids`, and the state; reads one context length at a time to limit memory.

    A pair is read at once. Raises ConfigError if its source or its target is longer than the model's context.
    """
    state: State | None = None
    size = model.config.context
    if isinstance(model, EncoderDecoder):
        size = model.fitting(ids)
    for first in range(0, len(ids), size):
        stretch = torch.tensor([ids[first : first + size]], device=model.device)
        logits_BTV, state = model.read(stretch, state, last_only=last_only)
        yield logits_BTV[0], state


@torch.inference_mode()
def stream_nats(
    model: Stateful, ids_T: np.ndarray, state: State | None, autocast: Autocast | None = None
) -> tuple[np.ndarray, State]:
    """The loss in nats [T - 1], float64, of all but the first of `ids_T` (int64), which continue from `state`; and the
    state before the last.
    """
    ids_BT = torch.from_numpy(ids_T).to(model.device)[None]
    with nullcontext() if autocast is None else autocast():
        logits_BTV, state = model.read(ids_BT[:, :-1], state)
    return loss_of(logits_BTV, ids_BT[:, 1:])[0], state
