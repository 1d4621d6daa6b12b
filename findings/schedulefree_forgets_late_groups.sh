#!/usr/bin/env bash
# schedulefree 1.4.1 (torch 2.13.0, Python 3.11): a group that is added while training is not averaged for evaluation.
#
# A schedule-free optimizer trains at one point and evaluates at another, the average of its steps: train() and eval()
# exchange the two in the parameters. Each group remembers which of them it holds, and a new group says that it holds
# the average. So a group that is added after train(), as when a layer is unfrozen, is trained like the others, but the
# next eval() takes it for averaged already: the model that is measured and saved is averaged in one part and not in
# the other. The next train() then moves that part away from the average, as if eval() had moved it there, and training
# goes on from a point where it never was. Another train() right after adding the group puts it right. There is no error:
# step(), which refuses a model that is not being trained, looks at the first group alone.
#
# Expected: two parameters that are equal and get equal gradients stay equal. Output seen, how far apart they are after
# 50 steps, after eval(), and after the next train(); the second has a group of its own, added before or after train():
#   AdamWScheduleFree, added before train(): 0.000, 0.000, 0.000
#   AdamWScheduleFree, added after train(): 0.000, 0.098, 0.088
#   SGDScheduleFree, added before train(): 0.000, 0.000, 0.000
#   SGDScheduleFree, added after train(): 0.000, 0.046, 0.041
#   RAdamScheduleFree, added before train(): 0.000, 0.000, 0.000
#   RAdamScheduleFree, added after train(): 0.000, 0.016, 0.014
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'schedulefree==1.4.1'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import schedulefree
import torch

for kind in (schedulefree.AdamWScheduleFree, schedulefree.SGDScheduleFree, schedulefree.RAdamScheduleFree):
    for when in ("before", "after"):
        torch.manual_seed(0)
        first, second = (torch.nn.Parameter(torch.full((1000,), 2.0)) for _ in range(2))
        optimizer = kind([first], lr=0.1)
        if when == "before":
            optimizer.add_param_group({"params": [second]})
        optimizer.train()
        if when == "after":
            optimizer.add_param_group({"params": [second]})
        for _ in range(50):
            first.grad = first.detach() - torch.randn(1000)
            second.grad = first.grad.clone()
            optimizer.step()
        distances = [(first - second).abs().mean().item()]
        optimizer.eval()
        distances.append((first - second).abs().mean().item())
        optimizer.train()
        distances.append((first - second).abs().mean().item())
        print(f"{kind.__name__}, added {when} train(): " + ", ".join(f"{distance:.3f}" for distance in distances))
        if distances[0] > 1e-6 or (max(distances) > 1e-6) != (when == "after"):
            sys.exit("A late group is no longer treated as described here.")
PYTHON
