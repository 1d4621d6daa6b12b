#!/usr/bin/env bash
# safetensors 0.8.0 (numpy 2.4.6, Python 3.11): safetensors.numpy writes a transposed array scrambled, without a word.
#
# Since 0.8 it hands Rust the address of the array's memory and the array's shape, and never looks at the strides. An
# array in Fortran order, such as `weight.T`, is therefore written in the order in which it lies in memory, under the
# shape that it was to have: the file is valid, loads without complaint, and holds other weights. The docstring asks for
# contiguous tensors, but nothing checks it; 0.7.0 writes the same arrays correctly, and safetensors.torch raises a
# ValueError. To turn a linear layer's weight into that of GPT-2's Conv1D takes just such a transpose.
#
# Expected: the array as numpy shows it, or an error. Output seen:
#   safetensors 0.7.0: contiguous kept, transposed kept, Fortran order kept
#   safetensors 0.8.0: contiguous kept, transposed scrambled, Fortran order scrambled
#   [[0, 3], [1, 4], [2, 5]] came back as [[0, 1], [2, 3], [4, 5]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'numpy==2.4.6'
for version in 0.7.0 0.8.0; do
  "$folder/venv/bin/pip" install --quiet "safetensors==$version"
  "$folder/venv/bin/python" - "$version" <<'PYTHON'
import sys

import numpy as np
from safetensors.numpy import load, save

version = sys.argv[1]
weight = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {"contiguous": weight, "transposed": weight.T, "Fortran order": np.asfortranarray(weight)}
back = {name: load(save({"w": array}))["w"] for name, array in arrays.items()}
kept = {name: np.array_equal(back[name], array) for name, array in arrays.items()}
words = ", ".join(f"{name} {'kept' if k else 'scrambled'}" for name, k in kept.items())
print(f"safetensors {version}: {words}")
if list(kept.values()) != [True, version == "0.7.0", version == "0.7.0"]:
    sys.exit(f"safetensors {version} no longer does what is described here.")
if version == "0.8.0":
    print(f"{weight.T.astype(int).tolist()} came back as {back['transposed'].astype(int).tolist()}")
    if not np.array_equal(back["transposed"].ravel(), weight.ravel()):
        sys.exit("The transposed array came back scrambled, but not in the order of its memory.")
PYTHON
done
