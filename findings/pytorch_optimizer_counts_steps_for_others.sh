#!/usr/bin/env bash
# pytorch_optimizer 4.1.0 (torch 2.13.0, Python 3.11): a layer that is unfrozen late takes steps of the wrong size.
#
# Averages that begin at zero are too small at first, and Adam divides that out by the number of steps that a parameter
# has taken. torch counts them for each parameter. pytorch_optimizer counts them once for all parameters of a group. A
# parameter whose first gradient comes late, as in a layer that was frozen or an expert that was not chosen, begins with
# averages of zero like any other, but next to nothing is divided out any more. Which average is further off decides:
# most then take steps that are too large, LaProp 25 times, and some too small ones. No warning is given.
#
# Expected: the same steps as if it had been trained from the start. Output seen, for the first step and the first ten,
# divided by those, after 1,000 steps without a gradient:
#   torch.optim.AdamW: 1.0, 1.0
#   LaProp: 25.2, 16.2
#   AdamP: 2.5, 4.4
#   AdaBelief: 2.5, 4.5
#   AdEMAMix: 2.5, 4.4
#   Adan: 0.2, 0.4
#   StableAdamW: 0.1, 0.4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'pytorch_optimizer==4.1.0' 'numpy==2.4.6'
cd "$folder"
cat >late.py <<'PYTHON'
import pytorch_optimizer
import torch


def moved(optimizer_class, frozen_for):
    """How far the first step and the first ten take a parameter that has no gradient until then."""
    early, late = torch.nn.Parameter(torch.zeros(4, 4)), torch.nn.Parameter(torch.zeros(4, 4))
    optimizer = optimizer_class([early, late], lr=1e-4)
    early.grad = torch.full((4, 4), 0.1)
    for _ in range(frozen_for):
        optimizer.step()
    places = []
    for _ in range(10):
        early.grad, late.grad = torch.full((4, 4), 0.1), torch.full((4, 4), 0.1)
        optimizer.step()
        places.append(late.mean().item())
    return places[0], places[-1]


print("torch.optim.", end="")
names = ["LaProp", "AdamP", "AdaBelief", "AdEMAMix", "Adan", "StableAdamW"]
for optimizer_class in (torch.optim.AdamW, *(getattr(pytorch_optimizer, name) for name in names)):
    ratios = [late / alone for late, alone in zip(moved(optimizer_class, 1000), moved(optimizer_class, 0), strict=True)]
    print(f"{optimizer_class.__name__}: {ratios[0]:.1f}, {ratios[1]:.1f}")
PYTHON
venv/bin/python -W ignore late.py >seen
cat seen
diff seen - <<'SEEN' || { echo "pytorch_optimizer no longer counts steps as described here." >&2; exit 1; }
torch.optim.AdamW: 1.0, 1.0
LaProp: 25.2, 16.2
AdamP: 2.5, 4.4
AdaBelief: 2.5, 4.5
AdEMAMix: 2.5, 4.4
Adan: 0.2, 0.4
StableAdamW: 0.1, 0.4
SEEN
