"""Weights as text: every number comes back, to the precision of its type."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from minigpt.app.export_page import packed_config, packed_size, packed_weights
from minigpt.models.gpt import GPT
from minigpt.settings import PAGE_DTYPES, ModelConfig


def unpacked(tensor: dict[str, Any]) -> np.ndarray[Any, Any]:
    """As templates/model/weights.js reads it."""
    data = base64.b64decode(tensor["data"])
    if tensor["dtype"] == "bfloat16":
        numbers = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif tensor["dtype"] == "int8":
        scales = np.frombuffer(base64.b64decode(tensor["scales"]), "<f4")
        numbers = (np.frombuffer(data, np.int8).reshape(len(scales), -1) * scales[:, None]).reshape(-1)
    else:
        numbers = np.frombuffer(data, "<f4")
    return numbers.reshape(tensor["shape"])


def random_gpt(config: ModelConfig) -> GPT:
    torch.manual_seed(0)
    model = GPT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


@pytest.fixture
def untied(model: GPT) -> GPT:
    """A model whose output head is another matrix than the embedding."""
    return random_gpt(replace(model.config, tied=False, inner_width=27))


def test_float32_is_exact(untied: GPT) -> None:
    packed = packed_weights(untied, "float32")
    state = untied.state_dict()
    assert packed.keys() == state.keys()
    assert all(np.array_equal(unpacked(packed[name]), state[name].numpy()) for name in packed)


def test_bfloat16_is_that_of_torch(untied: GPT) -> None:
    packed = packed_weights(untied, "bfloat16")
    for name, tensor in untied.state_dict().items():
        assert np.array_equal(unpacked(packed[name]), tensor.to(torch.bfloat16).float().numpy())


def test_int8_is_within_half_a_step_of_its_rows_scale(untied: GPT) -> None:
    packed = packed_weights(untied, "int8")
    for name, tensor in untied.state_dict().items():
        away = np.abs(unpacked(packed[name]) - tensor.numpy())
        most = tensor.abs().amax(-1, keepdim=True).numpy() / 254 if tensor.dim() == 2 else np.zeros(1)
        assert (away <= most * 1.0001).all(), name


def test_rows_of_zeros_and_of_the_smallest_numbers_stay_finite(model: GPT) -> None:
    changed = random_gpt(model.config)
    with torch.no_grad():
        changed.wte.weight.zero_()
        changed.wte.weight[1] = 1e-45
        changed.wte.weight[2] = 3e38
    for dtype in PAGE_DTYPES:
        found = unpacked(packed_weights(changed, dtype)["wte.weight"])
        assert np.isfinite(found).all()
        assert not found[0].any()


@pytest.mark.parametrize("dtype", PAGE_DTYPES)
def test_the_size_is_known_beforehand_and_the_work_is_told(untied: GPT, dtype: str) -> None:
    told: list[int] = []
    text = json.dumps(packed_weights(untied, dtype, told.append), separators=(",", ":"))
    assert len(text) <= packed_size(untied, dtype) <= len(text) + 160 * len(untied.state_dict())
    assert sum(told) == untied.parameter_count()


def test_the_shape_is_told_in_words_of_the_page(make_model: Callable[..., GPT]) -> None:
    model = make_model(320, layers=3, heads=4, width=24)
    assert packed_config(model) == {
        "layers": 3,
        "heads": 4,
        "width": 24,
        "context": 16,
        "vocabulary": 320,
        "inside": 96,
        "activation": "gelu_new",
        "epsilon": 1e-5,
        "parameters": model.parameter_count(),
    }
