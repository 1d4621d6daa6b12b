#!/usr/bin/env bash
# NumPy 2.4.6, ml_dtypes 0.6.0 (which brings bfloat16 to NumPy, Python 3.11): the mean of 10,000 ones is 0.0256.
#
# NumPy has no bfloat16 of its own. With that of ml_dtypes, sum, mean and std add up the numbers one by one in bfloat16,
# where 256 + 1 is 256 again. So the mean of a layer's weights, or their root mean square, comes out as a small part of
# what it is, and the smaller the larger the layer. No warning is given. For float16, which has 16 bits too, NumPy
# computes a mean in float32. With dtype=np.float32 in the call, that of bfloat16 is right too.
#
# Expected: what float16 gives, up to rounding. Output seen:
#   float16: the mean of 10,000 ones is 1.0000, the root mean square of 768 x 3,072 weights 0.02000
#   bfloat16: the mean of 10,000 ones is 0.0256, the root mean square of 768 x 3,072 weights 0.00101
#   bfloat16, dtype=np.float32: the mean of 10,000 ones is 1.0000, the root mean square of 768 x 3,072 weights 0.02000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'numpy==2.4.6' 'ml_dtypes==0.6.0'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from ml_dtypes import bfloat16

ones, weights = np.ones(10_000), np.random.default_rng(0).normal(0, 0.02, 768 * 3072)


def measured(kind, dtype=None):
    """The mean of the ones, and the root mean square of the weights."""
    mean, square = (float(np.mean(array.astype(kind), dtype=dtype)) for array in (ones, weights**2))
    return mean, square**0.5


found = {
    "float16": measured(np.float16),
    "bfloat16": measured(bfloat16),
    "bfloat16, dtype=np.float32": measured(bfloat16, np.float32),
}
for name, (mean, size) in found.items():
    print(f"{name}: the mean of 10,000 ones is {mean:.4f}, the root mean square of 768 x 3,072 weights {size:.5f}")
(mean, size), others = found["bfloat16"], (found["float16"], found["bfloat16, dtype=np.float32"])
if mean > 0.1 or size > 0.01 or any(abs(mean - 1) > 0.001 or abs(size - 0.02) > 0.001 for mean, size in others):
    sys.exit("Means of bfloat16 no longer collapse as described here.")
PYTHON
