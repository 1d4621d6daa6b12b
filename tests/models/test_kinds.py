"""Every name makes a model of its kind; what needs a GPT refuses all others."""

from collections.abc import Callable

import pytest

from minigpt.errors import ConfigError
from minigpt.models.baselines import Baseline
from minigpt.models.decoder import CachedDecoder, decoder_for
from minigpt.models.gpt import GPT
from minigpt.models.kinds import gpt_of
from minigpt.models.state_decoder import StateDecoder
from minigpt.settings import MODELS
from minigpt.settings.model import NAMES


def test_every_kind_has_a_name_for_people() -> None:
    assert set(NAMES) == set(MODELS)


def test_each_model_has_the_decoder_of_its_kind(make_baseline: Callable[..., Baseline], model: GPT, kind: str) -> None:
    baseline = make_baseline(kind, 20)
    assert isinstance(decoder_for(baseline, 2), StateDecoder)
    assert isinstance(decoder_for(model, 2), CachedDecoder)


def test_what_needs_a_gpt_refuses_others_in_one_line(make_baseline: Callable[..., Baseline], model: GPT) -> None:
    assert gpt_of(model, "A view shows attention") is model
    with pytest.raises(ConfigError, match=r"^A view shows attention, which only a GPT has: this model is an LSTM"):
        gpt_of(make_baseline("lstm", 20), "A view shows attention")
