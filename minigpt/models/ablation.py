"""What the parts of a GPT are worth: its logits with some switched off, and what each adds to a logit directly.

A head is the D columns of its output, which `attn.c_proj` multiplies with its D rows; an MLP is the output of
`mlp.c_proj`, bias included. A part is switched off at every position of the text, to zero or to its mean over the
positions, the mean being that of the same pass, in which the parts before it are switched off already. Elhage et al.,
"A Mathematical Framework for Transformer Circuits", 2021; Wang et al., "Interpretability in the Wild", 2022.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from minigpt.models.gpt import GPT
from minigpt.models.parts import Part, parts_of_layer
from minigpt.models.window import window_start, windows_at_once


@torch.inference_mode()
def logits_without(model: GPT, ids: Sequence[int], parts: Collection[Part], to: str = "zero") -> Tensor:
    """The logits [V] after `ids` (one or more) with all `parts`, heads and MLPs, switched off `to` zero or mean.

    Of a text beyond the context, only the model's window is read. Without parts, these are the model's own logits.
    """
    with _seeing(model, _without([parts], model.config.heads, to)):
        logits_BTV: Tensor = model(_window(model, ids), last_only=True)
    return logits_BTV[0, 0]


@torch.inference_mode()
def logits_without_each_part(model: GPT, ids: Sequence[int], to: str = "zero") -> Iterator[tuple[Part, Tensor]]:
    """(part, the logits [V] after `ids` with only this part switched off) for every head and MLP, layer by layer.

    The parts of a layer are rows of a batch, which begins with the residual stream before that layer: half of the work
    of full passes.
    """
    stream: list[Tensor] = []
    model(_window(model, ids), last_only=True, stream=stream)
    # As many tokens as in full windows: only the last row of logits is computed.
    rows = windows_at_once(model.config, model.device) * model.config.context // stream[0].size(1)
    for layer, x_1TC in enumerate(stream[:-1], 1):
        every = parts_of_layer(layer, model.config.heads)
        for parts in (every[i : i + rows] for i in range(0, len(every), rows)):
            with _seeing(model, _without([[part] for part in parts], model.config.heads, to)):
                x_BTC = x_1TC.expand(len(parts), -1, -1)
                for block in model.blocks[layer - 1 :]:
                    x_BTC = block(x_BTC)
            yield from zip(parts, model.unembed(x_BTC[:, -1:])[:, 0], strict=True)


# Called with a layer, whether the outputs [B, T, C] are those of its heads, side by side, or of its MLP, and these.
_See = Callable[[int, str, Tensor], Tensor | None]


@contextmanager
def _seeing(model: GPT, see: _See) -> Iterator[None]:
    """While this is open, `see` is called with the outputs of heads and MLPs, and may return others in their place."""
    hooks = []
    for layer, block in enumerate(model.blocks, 1):
        before, after = partial(_before, see, layer), partial(_after, see, layer)
        hooks.append(block.attn.c_proj.register_forward_pre_hook(before))
        hooks.append(block.mlp.c_proj.register_forward_hook(after))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _before(see: _See, layer: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor | None:
    return see(layer, "head", inputs[0])


def _after(see: _See, layer: int, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    return see(layer, "mlp", output)


def _without(rows: Sequence[Collection[Part]], heads: int, to: str) -> _See:
    """Switches off, in each row of a batch, its parts of `rows`."""

    def see(layer: int, kind: str, y_BTC: Tensor) -> Tensor | None:
        here = [
            (row, p.head or 1) for row, parts in enumerate(rows) for p in parts if (p.layer, p.kind) == (layer, kind)
        ]
        if not here:
            return None
        y_BTHD = y_BTC.unflatten(-1, (heads if kind == "head" else 1, -1)).clone()
        for row, number in here:
            y_TD = y_BTHD[row, :, number - 1]
            y_TD[:] = y_TD.mean(0) if to == "mean" else 0
        return y_BTHD.flatten(-2)

    return see


@torch.inference_mode()
def contributions(model: GPT, ids: Sequence[int], token: int) -> dict[Part, float]:
    """What each part adds to the logit of `token` after `ids` (one or more): direct logit attribution, in float64.

    The residual stream of the last token is a sum of vectors, and the final norm is linear in them once its scale is
    that of this stream: it subtracts each vector's own mean, divides by the scale and multiplies by its weight. So the
    contributions add up to the logit, but for the rounding of the model's own arithmetic. They hold what a part adds
    directly, not what later layers make of it.
    """
    outputs: dict[tuple[int, str], Tensor] = {}

    def see(layer: int, kind: str, y_BTC: Tensor) -> None:
        outputs[layer, kind] = _exact(y_BTC[0, -1])

    window, stream = _window(model, ids), list[Tensor]()
    with _seeing(model, see):
        model(window, last_only=True, stream=stream)

    norm, unembedding_C = model.ln_f, _exact(model.unembedding[token])
    scale = (_exact(stream[-1][0, -1]).var(correction=0) + norm.eps).sqrt()
    weighted_C = _exact(norm.weight) * unembedding_C
    # A product with this vector is centring, scaling, weighting and a product with the token's output vector in one.
    towards_C = (weighted_C - weighted_C.mean()) / scale

    found = {
        Part("token_embedding"): _exact(model.wte.weight[window[0, -1]]) @ towards_C,
        Part("position_embedding"): _exact(model.wpe.weight[window.size(1) - 1]) @ towards_C,
    }
    for layer, block in enumerate(model.blocks, 1):
        *heads, mlp = parts_of_layer(layer, model.config.heads)
        products_C = outputs[layer, "head"] * (_exact(block.attn.c_proj.weight) @ towards_C)
        found |= zip(heads, products_C.view(len(heads), -1).sum(-1), strict=True)
        found[Part("attention_bias", layer)] = _exact(block.attn.c_proj.bias) @ towards_C
        found[mlp] = outputs[layer, "mlp"] @ towards_C
    found[Part("final_norm_bias")] = _exact(norm.bias) @ unembedding_C
    return {part: float(number) for part, number in found.items()}


def _exact(values: Tensor) -> Tensor:
    """In float64, which not every device has."""
    return values.cpu().double()


def _window(model: GPT, ids: Sequence[int]) -> Tensor:
    """What the model reads of `ids` [1, T]."""
    return torch.tensor([ids[window_start(len(ids), model.config.context) :]], device=model.device)
