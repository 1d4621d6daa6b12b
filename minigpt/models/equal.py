"""Finds the shape at which another kind of model has as many weights as a given GPT."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from minigpt.errors import ConfigError, named
from minigpt.settings import DEFAULT_WINDOW, ModelConfig

TOLERANCE = 0.05  # of the weights
_CLOSE = 0.01  # near enough not to try widths that are less round
_LAYERS = 2  # of cells, or of dense layers


def equal_shape(shape: ModelConfig, model: str, window: int | None = None) -> ModelConfig:
    """A `model` of two layers, as wide as necessary; `shape` itself for the same kind.

    Widths that are multiples of 16, 8 ... are tried first, because products are faster there. Raises ConfigError if
    none has as many weights within TOLERANCE.
    """
    if model == shape.model:
        return shape
    if model == "window" and window is None:
        window = min(DEFAULT_WINDOW, shape.context)
    wanted = shape.parameter_count()

    def of(width: int) -> ModelConfig:
        return replace(shape, model=model, window=window, layers=_LAYERS, heads=1, width=width)

    def miss(width: int) -> float:
        return abs(of(width).parameter_count() / wanted - 1)

    for multiple in (16, 8, 4, 2, 1):
        best = min(_neighbours(lambda width: of(width).parameter_count() >= wanted, multiple), key=miss)
        if miss(best) <= _CLOSE:
            break
    if miss(best) > TOLERANCE:
        raise ConfigError(
            f"No {named('model', model)} has about as many weights as this GPT, {wanted:,}: give a {named('width')}."
        )
    return of(best)


def _neighbours(is_large: Callable[[int], bool], multiple: int) -> tuple[int, int]:
    """The first multiple that is too large, and the one before it, if there is one."""
    first = next(width for width in count(multiple, multiple) if is_large(width))
    return max(multiple, first - multiple), first
