#!/usr/bin/env bash
# torchmetrics 1.9.0 (torch 2.13.0, Python 3.11): Perplexity of bfloat16 logits moves in steps of several percent.
#
# Perplexity keeps its total in float32, but softmax, logarithm and the sum over all tokens of an update are made in the
# type of the logits. In bfloat16 that sum has 8 binary digits, however many tokens there are: neighbours differ by up to
# 0.8 % of the loss, which stands in an exponent, so that is some percent of the perplexity. Batches of different
# difficulty get the very same number. The same logits, made float32 first, give what cross_entropy gives.
#
# Expected: float32 accumulation, as everywhere else in a metric. Output seen, for 20 batches of 1,000 tokens:
#   float32: 20 different perplexities, at most 0.00% from exp(cross_entropy)
#   bfloat16: 7 different perplexities, at most 3.23% from exp(cross_entropy)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'torchmetrics==1.9.0'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torchmetrics.text import Perplexity

torch.manual_seed(0)
batches = [((torch.randn(1, 1000, 500) * 2).bfloat16(), torch.randint(500, (1, 1000))) for _ in range(20)]
numbers = {}
for dtype in (torch.float32, torch.bfloat16):
    found, apart = set(), 0.0
    for logits, targets in batches:
        metric = Perplexity()
        metric.update(logits.to(dtype), targets)
        value = metric.compute().item()
        right = torch.nn.functional.cross_entropy(logits[0].float(), targets[0]).exp().item()
        found.add(value)
        apart = max(apart, abs(value / right - 1))
    numbers[dtype] = len(found), apart
    name = str(dtype).removeprefix("torch.")
    print(f"{name}: {len(found)} different perplexities, at most {apart:.2%} from exp(cross_entropy)")
if numbers[torch.float32][0] != 20 or numbers[torch.float32][1] > 1e-4:
    sys.exit("Perplexity is not exact in float32 either.")
if numbers[torch.bfloat16][0] > 10 or numbers[torch.bfloat16][1] < 0.01:
    sys.exit("Perplexity no longer loses digits in bfloat16 as described here.")
PYTHON
