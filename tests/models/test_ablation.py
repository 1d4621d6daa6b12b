"""Heads and MLPs switched off, against transformers without their weights; contributions, against the logit.

What decides: transformers 5.23's GPT2LMHeadModel. A head switched off to zero is a copy of the model in which the rows
of `attn.c_proj.weight` that multiply the head's output are zero; an MLP, one in which `mlp.c_proj` is zero, bias
included. A mean is that of the outputs of transformers' own modules, hooked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from minigpt.checkpoint.hf_gpt2 import config_to_json, weights_to_tensors
from minigpt.models import ablation
from minigpt.models.ablation import contributions, logits_without, logits_without_each_part
from minigpt.models.gpt import GPT
from minigpt.models.parts import Part, parts_of_layer
from minigpt.settings import ModelConfig

IDS = [5, 9, 40, 301, 77, 9, 120, 3]
USUAL = ModelConfig(vocab_size=320, context=16, layers=2, heads=4, width=32)
CONFIGS = {
    "tied": USUAL,
    "untied": replace(USUAL, tied=False),
    "relu": replace(USUAL, activation="relu"),
    "narrow MLP": replace(USUAL, inner_width=40),
    "one head, untied, another epsilon": replace(
        USUAL, heads=1, layers=3, tied=False, inner_width=96, layer_norm_epsilon=0.01, activation="gelu"
    ),
}
SETS = [
    (Part("head", 1, 1),),
    (Part("mlp", 1),),
    (Part("mlp", 2),),
    (Part("head", 2, 1), Part("mlp", 1)),
    (Part("head", 1, 1), Part("head", 2, 1), Part("mlp", 1), Part("mlp", 2)),
]


@pytest.fixture(params=CONFIGS.values(), ids=list(CONFIGS))
def gpt(request: pytest.FixtureRequest) -> GPT:
    """A random GPT none of whose weights and biases is zero."""
    model, generator = GPT(request.param), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.3, generator=generator)
    return model.eval()


def of_transformers(model: GPT) -> Any:
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**config_to_json(model.config, 0, torch.float32)))
    theirs.load_state_dict(weights_to_tensors(model, torch.float32), strict=False)
    return theirs.eval().requires_grad_(False)


def last_logits(theirs: Any, ids: Sequence[int]) -> Tensor:
    with torch.no_grad():
        return theirs(torch.tensor([ids])).logits[0, -1]


def without_weights(model: GPT, parts: Iterable[Part]) -> Any:
    theirs, size = of_transformers(model), model.config.width // model.config.heads
    with torch.no_grad():
        for part in parts:
            block = theirs.transformer.h[part.layer - 1]
            if part.head is None:
                block.mlp.c_proj.weight.zero_()
                block.mlp.c_proj.bias.zero_()
            else:
                block.attn.c_proj.weight[(part.head - 1) * size : part.head * size] = 0
    return theirs


@pytest.mark.parametrize("parts", SETS, ids=lambda parts: ", ".join(part.name for part in parts))
def test_switched_off_to_zero_is_without_the_weights(gpt: GPT, parts: tuple[Part, ...]) -> None:
    expected = last_logits(without_weights(gpt, parts), IDS)
    torch.testing.assert_close(logits_without(gpt, IDS, parts), expected, atol=1e-4, rtol=1e-5)
    assert (expected - logits_without(gpt, IDS, ())).abs().max() > 0.1


@pytest.mark.parametrize("parts", SETS, ids=lambda parts: ", ".join(part.name for part in parts))
def test_switched_off_to_the_mean_is_the_mean_of_the_same_pass(gpt: GPT, parts: tuple[Part, ...]) -> None:
    theirs, size = of_transformers(gpt), gpt.config.width // gpt.config.heads

    def head_mean(part: Part, module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        outputs = inputs[0].split(size, dim=-1)
        head = part.head - 1
        mean = torch.stack([outputs[head][0, t] for t in range(len(IDS))]).sum(0) / len(IDS)
        return (torch.cat([*outputs[:head], mean.expand(1, len(IDS), -1), *outputs[head + 1 :]], dim=-1),)

    for part in parts:
        block = theirs.transformer.h[part.layer - 1]
        if part.head is None:
            block.mlp.register_forward_hook(lambda module, inputs, y: torch.ones_like(y) * (y.sum(1) / y.size(1)))
        else:
            block.attn.c_proj.register_forward_pre_hook(partial(head_mean, part))
    expected = last_logits(theirs, IDS)
    torch.testing.assert_close(logits_without(gpt, IDS, parts, "mean"), expected, atol=1e-4, rtol=1e-5)
    assert (expected - logits_without(gpt, IDS, parts)).abs().max() > 1e-3


def test_without_parts_it_is_the_model_to_the_bit(gpt: GPT) -> None:
    with torch.inference_mode():
        usual = gpt(torch.tensor([IDS]), last_only=True)[0, 0]
    assert torch.equal(logits_without(gpt, IDS, ()), usual)
    assert torch.equal(logits_without(gpt, IDS, (), "mean"), usual)
    logits_without(gpt, IDS, [Part("mlp", 1)])
    with torch.inference_mode():
        assert torch.equal(gpt(torch.tensor([IDS]), last_only=True)[0, 0], usual)  # nothing is left switched off


@pytest.mark.parametrize("length", [16, 17, 24, 25, 60])
def test_only_the_window_is_read(length: int, gpt: GPT) -> None:
    ids, parts = (IDS * 8)[:length], [Part("mlp", 1)]
    window = ids[-(length if length <= 16 else 8 + (length - 1) % 8 + 1) :]
    expected = last_logits(without_weights(gpt, parts), window)
    torch.testing.assert_close(logits_without(gpt, ids, parts), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 99])
@pytest.mark.parametrize("to", ["zero", "mean"])
@pytest.mark.parametrize("ids", [IDS, [7]], ids=["text", "one token"])
def test_each_part_is_switched_off_on_its_own(
    gpt: GPT, to: str, rows: int, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "windows_at_once", lambda config, device: rows)
    found = list(logits_without_each_part(gpt, ids, to))
    layers, heads = gpt.config.layers, gpt.config.heads
    assert [part for part, _ in found] == [part for layer in range(layers) for part in parts_of_layer(layer + 1, heads)]
    for part, logits in found:
        torch.testing.assert_close(logits, logits_without(gpt, ids, [part], to), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("token", [0, 77, 319])
@pytest.mark.parametrize("length", [1, 8, 40])
def test_contributions_add_up_to_the_logit(gpt: GPT, token: int, length: int) -> None:
    ids = (IDS * 5)[:length]
    found = contributions(gpt, ids, token)
    assert sum(found.values()) == pytest.approx(float(logits_without(gpt, ids, ())[token]), abs=1e-4)
    exact = GPT(gpt.config).double().eval()
    exact.load_state_dict(gpt.state_dict())
    logit = float(logits_without(exact, ids, ())[token])
    assert sum(contributions(exact, ids, token).values()) == pytest.approx(logit, abs=1e-9)


@dataclass
class Seen:
    """The inputs and outputs of transformers' modules at the last token, and the stream before the final norm."""

    heads: dict[int, Tensor]
    mlps: dict[int, Tensor]
    stream: Tensor


def seen_by_transformers(theirs: Any, ids: Sequence[int]) -> Seen:
    seen = Seen({}, {}, torch.empty(0))
    for layer, block in enumerate(theirs.transformer.h, 1):
        block.attn.c_proj.register_forward_pre_hook(
            lambda module, inputs, layer=layer: seen.heads.update({layer: inputs[0][0, -1]})
        )
        block.mlp.register_forward_hook(lambda module, inputs, y, layer=layer: seen.mlps.update({layer: y[0, -1]}))
    theirs.transformer.ln_f.register_forward_pre_hook(lambda module, inputs: setattr(seen, "stream", inputs[0][0, -1]))
    last_logits(theirs, ids)
    return seen


def test_a_contribution_is_what_a_vector_adds_with_the_norm_frozen(gpt: GPT) -> None:
    """Each vector of transformers' residual stream, centred, divided by the stream's scale, and multiplied out."""
    theirs, token = of_transformers(gpt).double(), 77
    seen, size = seen_by_transformers(theirs, IDS), gpt.config.width // gpt.config.heads
    norm, output = theirs.transformer.ln_f, theirs.lm_head.weight[token]
    deviation = (seen.stream - seen.stream.mean()).square().mean().add(norm.eps).sqrt()
    vectors = {
        Part("token_embedding"): theirs.transformer.wte.weight[IDS[-1]],
        Part("position_embedding"): theirs.transformer.wpe.weight[len(IDS) - 1],
    }
    for layer, block in enumerate(theirs.transformer.h, 1):
        for head in range(1, gpt.config.heads + 1):
            columns = slice((head - 1) * size, head * size)
            vectors[Part("head", layer, head)] = seen.heads[layer][columns] @ block.attn.c_proj.weight[columns]
        vectors[Part("attention_bias", layer)] = block.attn.c_proj.bias
        vectors[Part("mlp", layer)] = seen.mlps[layer]
    expected = {
        part: float(((vector - vector.mean()) / deviation * norm.weight) @ output) for part, vector in vectors.items()
    }
    expected[Part("final_norm_bias")] = float(norm.bias @ output)
    found = contributions(gpt, IDS, token)
    assert list(found) == list(expected)
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=1e-4)
