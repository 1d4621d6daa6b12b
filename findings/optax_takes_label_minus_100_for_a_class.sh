#!/usr/bin/env bash
# optax 0.2.8 (jax 0.10.2, torch 2.13.0, Python 3.11): a label of -100 is a class of its own, not one to ignore.
#
# In torch and transformers, -100 marks a position without a target: cross_entropy leaves it out, and transformers' data
# collators write it. optax's softmax_cross_entropy_with_integer_labels counts it from the end of the vocabulary, as a
# negative index: of 256 classes, it takes class 156, and adds the loss of that. Where there are fewer than 100 classes,
# the loss is NaN. No error is raised. The loss is right if the padded positions are left out of its mean.
#
# Expected: the loss of the two tokens that have a target, as in torch, or an error. Output seen:
#   torch: 0.128
#   optax: 3.276
#   optax, without the padded positions: 0.128
#   a padded position has the loss of class 156 of 256: True
#   of 50 classes, a padded position has the loss nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'optax==0.2.8' 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6'
JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import torch
from optax import softmax_cross_entropy_with_integer_labels as cross_entropy

logits = np.random.default_rng(0).normal(size=(4, 256)).astype(np.float32)
labels = np.array([7, 9, -100, -100])  # two tokens, and padding
logits[[0, 1], [7, 9]] = 8  # which the model knows
losses = np.asarray(cross_entropy(logits, labels))
found = {
    "torch": torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item(),
    "optax": float(losses.mean()),
    "optax, without the padded positions": float(losses[labels >= 0].mean()),
}
for name, loss in found.items():
    print(f"{name}: {loss:.3f}")
same = losses[2] == np.asarray(cross_entropy(logits[2:3], np.array([156])))[0]
of_few = float(cross_entropy(logits[2, :50], np.array(-100)))
print(f"a padded position has the loss of class 156 of 256: {same}")
print(f"of 50 classes, a padded position has the loss {of_few}")
right = abs(found["torch"] - found["optax, without the padded positions"]) < 1e-5
if not right or found["optax"] < 2 or not same or not np.isnan(of_few):
    sys.exit("optax no longer treats a label of -100 as described here.")
PYTHON
