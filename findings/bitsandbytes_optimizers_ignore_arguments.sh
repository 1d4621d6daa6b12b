#!/usr/bin/env bash
# bitsandbytes 0.50.2 (torch 2.13.0, Python 3.11): its optimizers take arguments of torch's and do nothing with them.
#
# bitsandbytes.optim has the optimizers of torch.optim under the same names and with the same arguments, so that a line
# is all that changes. Four of these arguments are accepted, described in the docstrings, and have no effect: nesterov
# and dampening of SGD, momentum of RMSprop, amsgrad of Adam and AdamW. And the weight_decay of Adam is not torch's,
# which is part of the gradient: it is that of AdamW, under both names. No warning is given. (All of this is about 32
# bits; without these arguments the two libraries agree.)
#
# Expected: the same steps as torch, or a refusal. Output seen, the largest difference after 20 steps, from torch's
# optimizer with the same arguments, and from bitsandbytes' own without the argument:
#   SGD(momentum=0.9): 0.000
#   SGD(momentum=0.9, nesterov=True): 0.095, and 0 from the one without
#   SGD(momentum=0.9, dampening=0.5): 0.964, and 0 from the one without
#   RMSprop(): 0.000
#   RMSprop(momentum=0.5): 0.380, and 0 from the one without
#   Adam(betas=(0.9, 0.5)): 0.000
#   Adam(betas=(0.9, 0.5), amsgrad=True): 0.240, and 0 from the one without
#   AdamW(weight_decay=0.3): 0.000
#   Adam(weight_decay=0.3): 0.119, and 0.000 from torch's AdamW
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'bitsandbytes==0.50.2' 'numpy==2.4.6'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import bitsandbytes
import torch


def trained(library, name, **options):
    """The weights of a linear layer after 20 steps. The inputs change, so that gradients rise and fall."""
    random = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 4, generator=random))
    optimizer = getattr(library.optim, name)([weight], lr=0.01, **options)
    for step in range(20):
        x, y = torch.randn(32, 6, generator=random), torch.randn(32, 4, generator=random)
        optimizer.zero_grad()
        ((x @ weight - y) ** 2).mean().mul(5 if step < 5 else 1).backward()
        optimizer.step()
    return weight.detach()


def apart(a, b):
    return (a - b).abs().max().item()


for name, plain, more in (
    ("SGD", {"momentum": 0.9}, {}),
    ("SGD", {"momentum": 0.9}, {"nesterov": True}),
    ("SGD", {"momentum": 0.9}, {"dampening": 0.5}),
    ("RMSprop", {}, {}),
    ("RMSprop", {}, {"momentum": 0.5}),
    ("Adam", {"betas": (0.9, 0.5)}, {}),
    ("Adam", {"betas": (0.9, 0.5)}, {"amsgrad": True}),
    ("AdamW", {"weight_decay": 0.3}, {}),
    ("Adam", {}, {"weight_decay": 0.3}),
):
    options = plain | more
    theirs = trained(bitsandbytes, name, **options)
    from_torch = apart(theirs, trained(torch, name, **options))
    words = f"{name}({', '.join(f'{key}={value}' for key, value in options.items())}): {from_torch:.3f}"
    if "weight_decay" in more:
        other = apart(theirs, trained(torch, "AdamW", **options))
        words += f", and {other:.3f} from torch's AdamW"
    else:
        other = apart(theirs, trained(bitsandbytes, name, **plain))
        words += f", and {other:g} from the one without" if more else ""
    print(words, flush=True)
    if (from_torch > 0.01) != bool(more) or other > 1e-5:
        sys.exit("The optimizers of bitsandbytes no longer treat these arguments as described here.")
PYTHON
