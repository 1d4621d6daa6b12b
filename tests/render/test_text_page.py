"""The section of a text: what its script is given, and how large it is."""

import json
import struct
from typing import Any

import numpy as np
import pytest
import torch

from minigpt.render.html import page
from minigpt.render.text_page import text_section
from minigpt.sampling.distribution import distribution, step_record
from minigpt.sampling.filters import build_stages
from minigpt.sampling.page_steps import step_logits
from minigpt.sampling.records import BareToken, StepLogits, StepRecord
from minigpt.settings import SampleConfig


def spelled(token: int) -> bytes:
    return f" w{token}".encode()


def step(
    logits: np.ndarray, token: int | None, config: SampleConfig | None = None, best: int = 50, position: int = 1
) -> StepLogits:
    stages = build_stages(config or SampleConfig(temperature=1.0, top_p=1.0))
    record = step_record(distribution(logits, stages, [0]), spelled, position=position, top=1, token=token)
    return step_logits(logits, stages, [0], spelled, step=record, best=best)


def data(*steps: Any, config: SampleConfig | None = None) -> dict[str, Any]:
    """What the script is given, as JSON carries it."""
    return json.loads(json.dumps(text_section("A text", steps, config).data))


def test_logits_in_single_precision_are_short_and_the_same() -> None:
    logits = (torch.randn(500, generator=torch.Generator().manual_seed(0)) * 7).numpy()
    kept = step(logits, 3, best=200)
    (found,) = data(kept)["steps"]
    assert found["single"] is True
    rounded = [struct.unpack("f", struct.pack("f", logit))[0] for logit in found["logits"]]
    assert rounded == [candidate.logit for candidate in kept.listed.candidates]
    assert max(len(repr(logit)) for logit in found["logits"]) <= 15


@pytest.mark.parametrize("logits", [np.array([0.1, 0.2]), np.array([1e300, 0])])
def test_logits_in_double_precision_are_whole(logits: np.ndarray) -> None:
    (found,) = data(step(logits, None))["steps"]
    assert found["single"] is False
    assert found["logits"] == sorted(logits.tolist(), reverse=True)


def test_the_first_token_has_no_numbers() -> None:
    token = BareToken(id=0, text=" w0", bytes=b" w0".hex())
    first = StepRecord(
        sample=0, position=0, token=token, candidates=(), other=None, entropy_bits=None, surprisal_bits=None, stages=()
    )
    found, second = data(first, step(np.arange(9.0), 0))["steps"]
    assert found == {"token": 0, "position": 0}
    assert second["token"] == 0
    assert data(first)["temperatures"] == []  # a text of one token is a page too


def test_sliders_stand_where_the_text_was_drawn() -> None:
    config = SampleConfig(temperature=0.8, top_k=300, min_p=0.033, stages=("top-k", "temperature", "min-p"))
    found = data(step(np.arange(400.0), 3, config), config=config)
    sliders = {slider["name"]: slider for slider in found["sliders"]}
    assert list(sliders) == ["top-k", "temperature", "min-p", "top-n-sigma", "typical-p", "top-p"]
    assert {name: slider["used"] for name, slider in sliders.items()} == {
        "top-k": 300, "temperature": 0.8, "min-p": 0.033, "top-n-sigma": 0.0, "typical-p": 1.0, "top-p": 1.0,
    }  # fmt: skip
    assert all(slider["used"] in slider["values"] for slider in sliders.values())
    assert sliders["top-k"]["values"] == [*range(51), 300]
    assert all(slider["values"] == sorted(set(slider["values"])) for slider in sliders.values())


@pytest.mark.parametrize("config", [None, SampleConfig(top_k=40, min_p=0.01), SampleConfig(repetition_penalty=1.2)])
@pytest.mark.parametrize("size", [1_000, 50_257])
def test_a_page_of_500_tokens_is_at_most_a_megabyte(size: int, config: SampleConfig | None) -> None:
    """With a vocabulary that is used as words are: the n-th as often as 1 / n."""
    generator = torch.Generator().manual_seed(0)
    prior = -2 * torch.arange(1, size + 1).log()
    steps = []
    for position in range(500):
        logits = (prior + 2 * torch.randn(size, generator=generator)).numpy()
        steps.append(step(logits, int(logits.argmax()), config, position=position))
    text = page("A page", [text_section("A text", steps, config)])
    assert 300_000 < len(text.encode()) <= 1_000_000
