"""Other kinds of model get as many weights as a GPT, within 5 %, or say that they cannot."""

import pytest

from minigpt.errors import ConfigError
from minigpt.models.kinds import TOLERANCE, equal_shape
from minigpt.settings import PRESETS, ModelConfig


def shape(preset: str, vocab_size: int, context: int = 256) -> ModelConfig:
    p = PRESETS[preset]
    return ModelConfig(vocab_size=vocab_size, context=context, layers=p.layers, heads=p.heads, width=p.width)


@pytest.mark.parametrize("preset", ["nano", "micro", "gpt2"])
@pytest.mark.parametrize("vocab_size", [1, 70, 1024, 50_257])
def test_the_weights_are_equal_within_the_tolerance(kind: str, preset: str, vocab_size: int) -> None:
    gpt = shape(preset, vocab_size)
    found = equal_shape(gpt, kind)
    assert abs(found.parameter_count() / gpt.parameter_count() - 1) <= TOLERANCE == 0.05
    assert (found.model, found.vocab_size, found.context) == (kind, vocab_size, 256)


def test_a_gpt_stays_what_it_is() -> None:
    assert equal_shape(shape("nano", 70), "gpt") == shape("nano", 70)


@pytest.mark.parametrize(("asked", "context", "window"), [(None, 256, 16), (None, 8, 8), (40, 256, 40), (5, 8, 5)])
def test_a_window_is_as_long_as_asked_and_else_no_longer_than_the_context(
    asked: int | None, context: int, window: int
) -> None:
    assert equal_shape(shape("nano", 70, context), "window", asked).window == window


def test_where_there_are_too_few_weights_to_be_equal_that_is_said() -> None:
    tiny = ModelConfig(vocab_size=3, context=100, layers=1, heads=1, width=1)
    with pytest.raises(ConfigError, match="No model=window has about as many weights as this GPT, 130"):
        equal_shape(tiny, "window", 100)
