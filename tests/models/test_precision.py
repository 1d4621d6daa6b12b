"""Weights in 16 and in 8 bits: close to float32, the same in steps as in one pass, and refused where they cannot be."""

from collections.abc import Callable

import pytest
import torch

from minigpt.errors import ConfigError
from minigpt.models.decoder import CachedDecoder
from minigpt.models.gpt import GPT
from minigpt.models.precision import INT8_ROW, Int8Product, stored
from minigpt.settings import ModelConfig

MakeModel = Callable[..., GPT]

TEXT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]
ROUNDING = {"bfloat16": 0.1, "int8": 0.05}  # of the largest logit, with weights as wild as these


@pytest.fixture(params=["bfloat16", "int8"])
def how(request: pytest.FixtureRequest) -> str:
    """The two ways, one after the other."""
    return request.param


def smaller(model: GPT, how: str) -> GPT:
    return stored(model, quantize="int8") if how == "int8" else stored(model, "bfloat16")


@torch.inference_mode()
def full_pass(model: GPT, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids]))[0, -1].float()


def largest_difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max() / second.abs().max())


def test_the_logits_are_close_to_those_in_float32(make_model: MakeModel, how: str) -> None:
    expected = full_pass(make_model(50), TEXT)
    assert 0 < largest_difference(full_pass(smaller(make_model(50), how), TEXT), expected) < ROUNDING[how]


def test_steps_equal_a_full_pass_up_to_rounding(make_model: MakeModel, how: str) -> None:
    model = smaller(make_model(50), how)
    decoder = CachedDecoder(model)
    decoder.prefill(TEXT[:1])
    for length in range(2, len(TEXT) + 1):
        logits = torch.from_numpy(decoder.step([TEXT[length - 1]])[0])
        assert largest_difference(logits, full_pass(model, TEXT[:length])) < ROUNDING[how]


def test_an_output_of_its_own_is_rounded_too_where_step_c_cannot_take_it() -> None:
    config = ModelConfig(vocab_size=50, context=16, layers=2, heads=2, width=16, tied=False, activation="gelu")
    model = smaller(GPT(config).eval().initialise(torch.Generator().manual_seed(1)), "int8")
    decoder = CachedDecoder(model)
    decoder.prefill(TEXT[:1])
    assert (
        largest_difference(torch.from_numpy(decoder.step([TEXT[1]])[0]), full_pass(model, TEXT[:2])) < ROUNDING["int8"]
    )


def test_float32_is_the_very_model(model: GPT) -> None:
    assert stored(model) is model


def test_bfloat16_halves_the_bytes_and_keeps_the_shapes(make_model: MakeModel) -> None:
    plain, half = make_model(50), stored(make_model(50), "bfloat16")
    assert {name: t.shape for name, t in half.state_dict().items()} == {
        name: t.shape for name, t in plain.state_dict().items()
    }
    assert {t.element_size() for t in half.state_dict().values()} == {2}


def test_int8_leaves_the_model_that_it_is_made_from(make_model: MakeModel) -> None:
    model = make_model(50)
    before = full_pass(model, TEXT)
    quantized = stored(model, quantize="int8")
    assert torch.equal(full_pass(model, TEXT), before)
    assert quantized.config == model.config
    assert not quantized.training


def test_a_product_in_8_bits_by_hand() -> None:
    weight = torch.zeros(3, INT8_ROW)
    weight[:, :2] = torch.tensor([[1.0, -0.5], [0.0, 0.0], [127.0, 3.0]])
    product, x = Int8Product(weight, torch.tensor([0.0, 0.25, 1.0])), torch.ones(1, INT8_ROW)
    assert product.weight[:, :3].tolist() == [[127, -64, 0], [0, 0, 0], [127, 3, 0]]
    assert product.scale[2] == 1
    torch.testing.assert_close(product(x), torch.tensor([[1 - 64 / 127, 0.25, 131.0]]), atol=0.01, rtol=0.01)


@pytest.mark.parametrize(
    ("dtype", "quantize", "reason"),
    [
        ("float16", "none", "dtype= must be float32 or bfloat16, not float16"),
        ("float32", "int4", "quantize= must be none or int8, not int4"),
        ("bfloat16", "int8", "leave out dtype=bfloat16"),
    ],
)
def test_what_there_is_not_is_refused(model: GPT, dtype: str, quantize: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        stored(model, dtype, quantize)


def test_int8_needs_a_cpu(make_model: MakeModel) -> None:
    with pytest.raises(ConfigError, match="add device=cpu"):
        stored(make_model(50).to("meta"), quantize="int8")


def test_int8_needs_whole_rows(make_model: MakeModel) -> None:
    with pytest.raises(ConfigError, match="a width that 16 divides, not this model's 24"):
        stored(make_model(50, width=24), quantize="int8")
