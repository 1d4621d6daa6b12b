#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): the first optimizer that is made imports torch's compiler, and with it sympy and FSDP.
#
# torch.optim.Optimizer takes its groups of parameters in a method that is wrapped to be left out by torch.compile. The
# wrapper imports torch._dynamo when it is first called, whether anything is ever compiled or not: about a thousand
# modules, among them those of sympy, torch.onnx, torch.distributed.fsdp and torch.distributed.tensor. On the CPU on
# which this was seen, that took 2.1 seconds and 70 MB, as long as `import torch` itself, for one step of plain SGD. The
# functions behind the classes, such as torch.optim.sgd.sgd and torch.optim.adamw.adamw, import nothing.
#
# Expected: an optimizer of two parameters needs what `import torch` has imported. Output seen:
#   a step by torch.optim.sgd.sgd: torch._dynamo no, sympy no, torch.distributed.fsdp no, torch.onnx no
#   the same by torch.optim.SGD: torch._dynamo yes, sympy yes, torch.distributed.fsdp yes, torch.onnx yes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torch.optim.sgd import sgd

NAMES = ("torch._dynamo", "sympy", "torch.distributed.fsdp", "torch.onnx")


def imported(way, expected):
    found = [name in sys.modules for name in NAMES]
    print(f"{way}:", ", ".join(f"{name} {'yes' if each else 'no'}" for name, each in zip(NAMES, found)), flush=True)
    if found != [expected] * len(NAMES):
        sys.exit("Optimizers no longer import what is described here.")


weights = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2, 3))]
gradients = [torch.ones_like(weight) for weight in weights]
with torch.no_grad():
    sgd(
        weights,
        gradients,
        [None, None],
        weight_decay=0.0,
        momentum=0.0,
        lr=0.1,
        dampening=0.0,
        nesterov=False,
        maximize=False,
    )
by_function = [weight.detach().clone() for weight in weights]
imported("a step by torch.optim.sgd.sgd", False)
weights = [torch.nn.Parameter(torch.ones_like(weight)) for weight in weights]
for weight, gradient in zip(weights, gradients):
    weight.grad = gradient
torch.optim.SGD(weights, lr=0.1).step()
if not all(map(torch.equal, weights, by_function)):
    sys.exit("The two steps differ.")
imported("the same by torch.optim.SGD", True)
PYTHON
