"""What the grids of attention share: which layers and heads there are, and how much fits on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minigpt.errors import named
from minigpt.settings import require, up_to

if TYPE_CHECKING:
    from torch import Tensor

_MOST_WEIGHTS = 400_000  # on a page: 1 MB


def check_head(weights_LHTS: Tensor, layer: int, head: int | None) -> None:
    """Raise ConfigError unless there is such a layer and, if one is given, such a head, both counted from 1."""
    layers, heads = weights_LHTS.shape[:2]
    why = "" if layers > 1 else ": there is one layer of attention"
    require(1 <= layer <= layers, f"{named('layer')} must be {up_to(layers)}, not {layer}{why}.")
    why = "" if heads > 1 else ": this layer has one head"
    require(head is None or 1 <= head <= heads, f"{named('head')} must be {up_to(heads)}, not {head}{why}.")


def check_page(layers: int, heads: int, tokens: int, weights: int) -> None:
    """Raise ConfigError if the grids of all heads, and the mean of each layer's, are too large for a page.

    `weights`: how many one grid has, which is of so many `tokens`.
    """
    count = layers * (heads + 1) * weights
    require(
        count <= _MOST_WEIGHTS,
        f"{named('html')}: a page holds {_MOST_WEIGHTS:,} attention weights at most. {tokens} tokens have {count:,}, "
        f"in {layers} layers of {heads} heads: give a shorter text.",
    )
