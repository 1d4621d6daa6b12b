"""Stores a model's weights in a smaller precision, for sampling.

A step of decoding reads every weight once, and so takes as long as that: half as many bytes, half of the time.
"""

import copy

import torch
from torch import Tensor, nn

from minigpt.errors import named
from minigpt.models.device import has_bfloat16
from minigpt.models.gpt import GPT, Conv1D
from minigpt.models.native import LARGEST_INT8
from minigpt.settings import check_stored, require

INT8_ROW = 16  # torch's kernel reads so many numbers at once, and beyond the end of a row that is no multiple


def stored(model: GPT, dtype: str = "float32", quantize: str = "none") -> GPT:
    """`model`, converted to bfloat16 or with int8 products. Raises ConfigError if the device does not support it."""
    check_stored(dtype, quantize)
    int8, bfloat16, device = named("quantize", "int8"), named("dtype", "bfloat16"), model.device.type
    if quantize == "int8":
        require(device == "cpu", f"{int8} runs on a CPU only, not on {device}: add {named('device', 'cpu')}.")
        for width in (model.config.width, model.config.mlp_width):
            fits = width % INT8_ROW == 0
            require(fits, f"{int8} needs a width that {INT8_ROW} divides, not this model's {width}.")
        return Int8GPT(model)
    if dtype == "bfloat16":
        can = device == "cpu" or has_bfloat16(model.device)
        require(can, f"{bfloat16}: this {device} device has no bfloat16. Leave it out.")
        model = model.to(torch.bfloat16)  # every weight, and so every activation
        for part in model.modules():
            if device == "cpu" and isinstance(part, Conv1D):  # a row times [out, in] is 2 to 3 times as fast, unlike
                part.weight.data = part.weight.data.T.contiguous().T  # in float32
    return model


class Int8Product(nn.Module):
    """`y = x W + b` with W in whole numbers from -127 to 127, [out, in], and a scale for each output.

    Its input and the product are rounded to bfloat16, which holds these whole numbers exactly.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """`weight` [out, in] in float32; INT8_ROW divides `in`."""
        super().__init__()
        scale = (weight.abs().amax(1).clamp_min(1e-30) / LARGEST_INT8).to(torch.bfloat16)
        whole = (weight / scale.float()[:, None]).round().clamp(-LARGEST_INT8, LARGEST_INT8)
        self.register_buffer("weight", whole.to(torch.int8).contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.size(-1)).to(torch.bfloat16)
        y = torch._weight_int8pack_mm(rows, self.weight, self.scale).float()
        if self.bias is not None:
            y += self.bias
        return y.view(*x.shape[:-1], -1)


class Int8GPT(GPT):
    """A GPT whose matrices, with the output head, are Int8Products.

    Embedding look-ups, norms, attention and sums are those of the original model, in float32.
    """

    @torch.no_grad()
    def __init__(self, model: GPT) -> None:
        nn.Module.__init__(self)
        self.config, self.wte, self.wpe, self.ln_f = model.config, model.wte, model.wpe, model.ln_f
        self.h = nn.ModuleList(_int8_block(block) for block in model.blocks)
        self.int8_head = Int8Product(model.unembedding.detach())
        self.gradient_checkpointing = False
        self.train(model.training)

    def head(self, x_BTC: Tensor) -> Tensor:
        logits: Tensor = self.int8_head(x_BTC)
        return logits


def _int8_block(block: nn.Module) -> nn.Module:
    """A copy of a block with its matrices replaced."""
    replaced = {id(part): Int8Product(part.weight.T, part.bias) for part in block.modules() if isinstance(part, Conv1D)}
    return copy.deepcopy(block, dict[int, nn.Module](replaced))
