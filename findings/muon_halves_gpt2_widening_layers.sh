#!/usr/bin/env bash
# torch 2.13.0, transformers 5.24.0 (Python 3.11): torch.optim.Muon trains GPT-2's layers at other rates than the same
# layers in torch.
#
# Muon scales its update by sqrt(max(1, rows / columns)). torch.nn.Linear keeps its weight as (out, in), as that formula
# assumes; transformers' GPT-2 keeps it in Conv1D as (in, out). So from the same weights and the same gradients, the
# layer that widens to four times the width moves half as far in a GPT-2 of transformers as in the same model built of
# Linear layers, and the one that narrows again moves twice as far: their ratio is off by four. The learning rate of a
# recipe for the one does not hold for the other. With adjust_lr_fn="match_rms_adamw", which looks at the larger side
# only, both agree.
#
# Expected: the same function, trained by the same step, stays the same function. Output seen:
#   widening 64 to 256, default: Linear moves by 13.88, Conv1D by 6.94, ratio 0.50
#   narrowing 256 to 64, default: Linear moves by 6.91, Conv1D by 13.82, ratio 2.00
#   widening 64 to 256, match_rms_adamw: Linear moves by 22.20, Conv1D by 22.20, ratio 1.00
#   narrowing 256 to 64, match_rms_adamw: Linear moves by 22.40, Conv1D by 22.40, ratio 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from transformers.pytorch_utils import Conv1D

torch.manual_seed(0)
for adjust in (None, "match_rms_adamw"):
    for name, (width, out), ratio in (("widening", (64, 256), 0.5), ("narrowing", (256, 64), 2.0)):
        linear, conv = torch.nn.Linear(width, out, bias=False), Conv1D(out, width)
        conv.weight.data = linear.weight.data.T.contiguous()
        x, moved = torch.randn(500, width), []
        for layer in (linear, conv):
            before = layer.weight.detach().clone()
            layer(x).square().mean().backward()
            torch.optim.Muon([layer.weight], lr=1.0, weight_decay=0.0, adjust_lr_fn=adjust).step()
            moved.append((layer.weight.detach() - before).norm().item())
        found = moved[1] / moved[0]
        print(
            f"{name} {width} to {out}, {adjust or 'default'}: "
            f"Linear moves by {moved[0]:.2f}, Conv1D by {moved[1]:.2f}, ratio {found:.2f}"
        )
        if abs(found - (1.0 if adjust else ratio)) > 0.02:
            sys.exit("Muon's step no longer depends on the layout of the weight as described here.")
PYTHON
