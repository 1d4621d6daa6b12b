"""Activations in; the same with a share of them zero, and the others larger for it, out."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Zero a `share` of `x` at random, and scale the rest so that its mean stays; `x` itself where not `training`.

    Srivastava et al., "Dropout", 2014. torch's own draws a number of 53 bits for each element, on a CPU on one core
    only: a sixth of a training step of 5 layers x 256 on two. There a byte each will do, of which the generator gives
    eight at a time: the share is rounded to 256ths.
    """
    if not training or share == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, share)
    dropped = min(255, max(1, round(256 * share)))
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
    return x * kept.to(x.dtype).mul_(256 / (256 - dropped))
