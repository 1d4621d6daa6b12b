"""Token ids in, one at a time or many at once; the logits of the next token out: a model with the state it carries."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from minigpt.models.baselines import Baseline, State


@torch.inference_mode()
def read_stretches(model: Baseline, ids: Sequence[int], *, last_only: bool = False) -> Iterator[tuple[Tensor, State]]:
    """Logits [T, V] after each of `ids`, and the state, a context's length at a time: so much is in memory at once."""
    state: State | None = None
    for first in range(0, len(ids), model.config.context):
        stretch = torch.tensor([ids[first : first + model.config.context]], device=model.device)
        logits_BTV, state = model.read(stretch, state, last_only=last_only)
        yield logits_BTV[0], state


class StreamDecoder:
    """As `Decoder`, for a model that has a state instead of a cache: no token is the last that it can read.

    `ids` are all tokens so far; `start` is 0, as the state is of them all.
    """

    start = 0

    def __init__(self, model: Baseline) -> None:
        self.model = model
        self.ids: list[int] = []
        self._state: State | None = None

    def prefill(self, ids: Sequence[int]) -> Tensor:
        """Read `ids` (one or more) from the start; the logits [V] after the last."""
        self.ids = list(ids)
        for logits_TV, state in read_stretches(self.model, ids, last_only=True):
            last_V, self._state = logits_TV[-1], state
        return last_V

    @torch.inference_mode()
    def step(self, token: int) -> Tensor:
        """Append one token; the logits [V] after it."""
        self.ids.append(token)
        logits_BTV, self._state = self.model.read(torch.tensor([[token]], device=self.model.device), self._state)
        return logits_BTV[0, 0]


class StreamBatchDecoder:
    """As `BatchDecoder`, for a model that has a state."""

    start = 0

    def __init__(self, model: Baseline, batch: int) -> None:
        self.model, self._batch = model, batch
        self._state: State = ()

    def prefill(self, ids: Sequence[int]) -> Tensor:
        """Read `ids` (one or more), the beginning of every row, once for all; the logits [B, V] after the last."""
        for logits_TV, state in read_stretches(self.model, ids, last_only=True):
            last_V, self._state = logits_TV[-1], state
        self._state = tuple(part.expand(self._batch, *part.shape[1:]) for part in self._state)
        return last_V.expand(self._batch, -1)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append a token to each row; the logits [B, V] after them."""
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        logits_BTV, self._state = self.model.read(ids, self._state)
        return logits_BTV[:, 0]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, numbered anew from 0."""
        self._state = tuple(part[list(rows)] for part in self._state)
