#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): nn.Transformer, with its defaults, is not the Transformer of the paper that it cites.
#
# The documentation cites Figure 1 of "Attention Is All You Need", where the norm that ends each block is the last thing
# in a stack. nn.Transformer with norm_first=False has these norms, and one more at the end of the encoder and of the
# decoder: the output is normalised twice. The second norm has gains and biases of its own, so trained weights of the
# paper's model (of Marian, fairseq, tensor2tensor) do not fill it, and one that was trained does not fit there.
#
# Expected: two layers of an encoder have four norms, three of a decoder nine. Output seen:
#   encoder: 4 norms in its blocks, and 1 after them; decoder: 9 in its blocks, and 1 after them
#   without the further norm, the output of a trained model would differ by 0.10
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Transformer(16, 2, num_encoder_layers=2, num_decoder_layers=3, dim_feedforward=32, batch_first=True).eval()
counts = {}
for part in ("encoder", "decoder"):
    norms = [name for name, module in getattr(model, part).named_modules() if isinstance(module, nn.LayerNorm)]
    counts[part] = sum(name.startswith("layers.") for name in norms), sum(name == "norm" for name in norms)
with torch.no_grad():
    for parameter in model.parameters():  # as training would, move every gain and bias
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    source, target = torch.randn(1, 5, 16), torch.randn(1, 4, 16)
    whole = model(source, target)
    model.decoder.norm = None
    difference = float((whole - model(source, target)).abs().mean())
print("; ".join(f"{part}: {inside} {'norms ' if part == 'encoder' else ''}in its blocks, and {after} after them"
                for part, (inside, after) in counts.items()))  # fmt: skip
print(f"without the further norm, the output of a trained model would differ by {difference:.2f}")
if counts != {"encoder": (4, 1), "decoder": (9, 1)} or difference < 0.01:
    sys.exit("nn.Transformer no longer has further norms.")
PYTHON
