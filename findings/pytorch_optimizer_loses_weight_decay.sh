#!/usr/bin/env bash
# pytorch_optimizer 4.1.0 (torch 2.13.0, Python 3.11): with weight_decouple=False, RAdam and seven others decay nothing.
#
# Most optimizers of this library have weight_decay, and weight_decouple, which chooses between a decay of its own, as
# AdamW has it, and one that is added to the gradient, as in Adam and SGD. Eight of them add it when they have read the
# gradient already, and it is cleared before the next step: with weight_decouple=False, a weight decay of 0 and one of 10
# lead to the same weights, to the last bit. Others, such as SGDW and Yogi, do what they say. No warning is given.
#
# Expected: weights that a decay draws toward 0. Output seen, weights drawn from 1 toward 2 for 200 steps, without weight
# decay, and with one of 10 under weight_decouple=False:
#   SGDW: 1.06 and 0.01
#   Yogi: 1.97 and 0.02
#   AdamP: 1.98 and 1.98, all bits the same
#   AdamWSN: 1.98 and 1.98, all bits the same
#   Grams: 1.98 and 1.98, all bits the same
#   LaProp: 1.98 and 1.98, all bits the same
#   RAdam: 1.36 and 1.36, all bits the same
#   SGDP: 1.06 and 1.06, all bits the same
#   SGDSaI: 1.01 and 1.01, all bits the same
#   TAM: 1.29 and 1.29, all bits the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'pytorch_optimizer==4.1.0'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import pytorch_optimizer
import torch


def train(name, **settings):
    weights = torch.nn.Parameter(torch.ones(8, 8))
    optimizer = getattr(pytorch_optimizer, name)([weights], lr=0.01, weight_decouple=False, **settings)
    for _ in range(200):
        optimizer.zero_grad()
        (weights - 2).square().mean().backward()
        optimizer.step()
    return weights.detach()


losing = ["AdamP", "AdamWSN", "Grams", "LaProp", "RAdam", "SGDP", "SGDSaI", "TAM"]
for name in ["SGDW", "Yogi", *losing]:
    without, with_decay = train(name, weight_decay=0.0), train(name, weight_decay=10.0)
    same = without.equal(with_decay)
    print(f"{name}: {without.mean():.2f} and {with_decay.mean():.2f}{', all bits the same' if same else ''}")
    if same != (name in losing):
        sys.exit("pytorch_optimizer no longer loses weight decay as described here.")
PYTHON
