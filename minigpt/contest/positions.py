"""Measures a model's loss by the context it sees, and its gradient by the distance to a token."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt.contest.records import Points
from minigpt.models.kinds import Model
from minigpt.text.shards import Ids

LOSS_WINDOWS, GRADIENT_WINDOWS = 256, 32
_AT_ONCE = 16


def windows(ids: Ids, context: int, most: int) -> Tensor:
    """At most this many windows [N, T + 1], int64, evenly spaced over `ids` (two or more).

    Each has a token to predict and the length of a context, or of `ids` if that is less; they overlap if there are too
    few ids.
    """
    length = min(context, len(ids) - 1)
    starts = np.unique(np.linspace(0, len(ids) - length - 1, most).astype(int))
    return torch.from_numpy(np.stack([ids[start : start + length + 1].astype(np.int64) for start in starts]))


@torch.inference_mode()
def loss_by_position(model: Model, windows_NT: Tensor) -> Points:
    """(number of tokens seen, mean loss in nats of the token after them)."""
    total_T = torch.zeros(windows_NT.size(1) - 1, dtype=torch.float64)
    for batch in torch.split(windows_NT.to(model.device), _AT_ONCE):
        logits = model(batch[:, :-1]).float()
        losses = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
        total_T += losses.view(len(batch), -1).sum(0).cpu().double()
    return tuple((seen, nats) for seen, nats in enumerate((total_T / len(windows_NT)).tolist(), start=1))


def gradient_by_distance(model: Model, windows_NT: Tensor) -> Points:
    """(distance to the predicted token, gradient norm), the nearest first, averaged over the windows.

    It is the gradient of a window's last loss with respect to the vector [C] of an input token.
    """
    total_T = torch.zeros(windows_NT.size(1) - 1, dtype=torch.float64)
    for batch in torch.split(windows_NT.to(model.device), _AT_ONCE):
        stream: list[Tensor] = []
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has gradients of an RNN only where it is in training
            logits = model(batch[:, :-1], last_only=True, stream=stream)[:, 0].float()
        loss = F.cross_entropy(logits, batch[:, -1], reduction="sum")
        (gradient_BTC,) = torch.autograd.grad(loss, stream[0])
        total_T += gradient_BTC.cpu().double().norm(dim=-1).sum(0)  # the square of a small float32 is 0
    means = (total_T / len(windows_NT)).flip(0).tolist()
    return tuple((distance, norm) for distance, norm in enumerate(means, start=1))
