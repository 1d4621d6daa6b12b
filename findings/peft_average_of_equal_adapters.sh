#!/usr/bin/env bash
# peft 0.21.2 (torch 2.13.0, Python 3.11): the average of two equal LoRA adapters is twice the adapter, or nothing.
#
# add_weighted_adapter with combination_type="linear" does not average what the adapters add to a weight. It adds up
# their factors, A to A and B to B, each times the root of its weight, and multiplies the sums: beside half of each
# product, half of every A with every other B. For an adapter and its copy, with weights of 0.5, that is twice the
# adapter. But the factors of a product are not unique: -A and -B are the same adapter, and then nothing is left; with A
# and B rotated, which changes nothing either, the result is something else. Adapters that were trained apart are as
# unrelated as that. combination_type="cat", which keeps all factors side by side, gives the average.
#
# Expected: the average of two equal adapters is that adapter. Output seen, along it, and the rest, relative to its size:
#   the second is a copy of the first: linear 2.00 and 0.00, cat 1.00 and 0.00
#   the second has A and B negated: linear 0.00 and 0.00, cat 1.00 and 0.00
#   the second has A and B rotated: linear 0.75 and 0.65, cat 1.00 and 0.00
#   two adapters that are unrelated: linear 1.03 and 1.00, cat 1.00 and 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'peft==0.21.2' 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import peft
import torch

WIDTH, RANK = 64, 8
torch.manual_seed(0)
config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["0"])


def averages(change):
    """The average of two adapters in both ways: how much of the true one it holds, and how much of something else."""
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH)), config, adapter_name="first")
    model.add_adapter("second", config)
    layer = model.base_model.model[0]
    a, b = torch.randn(RANK, WIDTH), torch.randn(WIDTH, RANK)
    for name, factors in {"first": (a, b), "second": change(a, b)}.items():
        layer.lora_A[name].weight.data, layer.lora_B[name].weight.data = factors
    true = (layer.get_delta_weight("first") + layer.get_delta_weight("second")) / 2
    for way in ("linear", "cat"):
        model.add_weighted_adapter(["first", "second"], [0.5, 0.5], way, combination_type=way)
        found = layer.get_delta_weight(way)
        along = ((found * true).sum() / true.square().sum()).item()
        yield along, ((found - along * true).norm() / true.norm()).item()


def rotated(a, b):
    turn = torch.linalg.qr(torch.randn(RANK, RANK)).Q
    return turn @ a, b @ turn.T


for name, change in {
    "the second is a copy of the first": lambda a, b: (a, b),
    "the second has A and B negated": lambda a, b: (-a, -b),
    "the second has A and B rotated": rotated,
    "two adapters that are unrelated": lambda a, b: (torch.randn_like(a), torch.randn_like(b)),
}.items():
    linear, cat = averages(change)
    words = (f"{way} {abs(along):.2f} and {rest:.2f}" for way, (along, rest) in {"linear": linear, "cat": cat}.items())
    print(f"{name}: {', '.join(words)}", flush=True)
    if abs(linear[0] - 1) + linear[1] < 0.3 or abs(cat[0] - 1) + cat[1] > 0.01:
        sys.exit("add_weighted_adapter no longer combines adapters as described here.")
PYTHON
