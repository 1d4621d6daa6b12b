#!/usr/bin/env bash
# torch 2.13.0 on the CPU and ml_dtypes 0.6.0 (the types of JAX, Python 3.11): a weight beyond 464 becomes
# 448 in one and NaN in the other, although both call the type float8_e4m3fn.
#
# torch saturates in this type alone, even infinity, so damage in the weights disappears: in float8_e4m3fnuz it makes NaN
# of the same numbers, in float8_e5m2 infinity, in float8_e5m2fnuz NaN, each as ml_dtypes does. A checkpoint that is
# rounded to 8 bits by one program is therefore finite, and by the other is not.
#
# Expected: the same from both, as in the other three types. Output seen:
#   float8_e4m3fn    torch 448 448 448 448      ml_dtypes 448 nan nan nan
#   float8_e4m3fnuz  torch nan nan nan nan      ml_dtypes nan nan nan nan
#   float8_e5m2      torch 448 512 inf inf      ml_dtypes 448 512 inf inf
#   float8_e5m2fnuz  torch 448 512 nan nan      ml_dtypes 448 512 nan nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'ml_dtypes==0.6.0'
cd "$folder"
cat >round.py <<'PYTHON'
import ml_dtypes
import numpy as np
import torch

numbers = [464.0, 480.0, 65536.0, float("inf")]
for name in ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"):
    by_torch = torch.tensor(numbers).to(getattr(torch, name)).float().tolist()
    by_ml_dtypes = np.array(numbers, np.float32).astype(getattr(ml_dtypes, name)).astype(np.float32).tolist()
    torchs, others = (" ".join(f"{number:g}" for number in row) for row in (by_torch, by_ml_dtypes))
    print(f"{name:<16} torch {torchs:<20} ml_dtypes {others}")
PYTHON
venv/bin/python -W ignore round.py >seen
cat seen
diff seen - <<'SEEN' || { echo "torch and ml_dtypes no longer round to 8 bits as described here." >&2; exit 1; }
float8_e4m3fn    torch 448 448 448 448      ml_dtypes 448 nan nan nan
float8_e4m3fnuz  torch nan nan nan nan      ml_dtypes nan nan nan nan
float8_e5m2      torch 448 512 inf inf      ml_dtypes 448 512 inf inf
float8_e5m2fnuz  torch 448 512 nan nan      ml_dtypes 448 512 nan nan
SEEN
