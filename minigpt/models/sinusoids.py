"""The positions of "Attention Is All You Need": sines and cosines of many wavelengths."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sinusoids(context: int, width: int) -> "Tensor":
    """[T, C]: channels 2i and 2i + 1 hold the sine and cosine of position / 10,000^(2i / C).

    The wavelengths go from 2π to nearly 10,000 · 2π, and the row at a fixed offset is a rotation of this one, the same
    for every position. Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    import torch

    channels_C = torch.arange(width, dtype=torch.float64)
    rates_C = 10_000.0 ** -(channels_C.div(2, rounding_mode="floor") * 2 / width)
    angles_TC = torch.arange(context, dtype=torch.float64)[:, None] * rates_C
    # A cosine is a sine a quarter of a turn ahead.
    return (angles_TC + channels_C % 2 * (torch.pi / 2)).sin().float()
