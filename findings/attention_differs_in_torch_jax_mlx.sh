#!/usr/bin/env bash
# torch 2.13.0, jax 0.10.2, mlx 0.32.4 (CPU, Python 3.11): one attention, two masks, and no two of the libraries agree.
#
# Each has a ready-made scaled dot-product attention. With more keys than queries, as in a step that continues a cache,
# torch's is_causal=True and jax's let the first query see the first key alone; mlx's mask="causal" lets the last query
# see the last key. Where a mask leaves a query nothing, as left padding does, torch gives zeros. For a mask of booleans,
# jax and mlx give the mean of all values, the forbidden ones among them; for the same mask as numbers to be added, 0 or
# minus infinity, they give NaN. None of the three warns.
#
# Expected: the same from all. Output seen, for keys that are all alike, whose values are 0, 1, 2, 3 and 4:
#   torch: causal 0.0 0.5, a mask of 2 keys and of none 0.5 0.0, the same to be added 0.5 0.0
#   jax: causal 0.0 0.5, a mask of 2 keys and of none 0.5 2.0, the same to be added 0.5 nan
#   mlx: causal 1.5 2.0, a mask of 2 keys and of none 0.5 2.0, the same to be added 0.5 nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'jax==0.10.2' 'jaxlib==0.10.2' 'mlx[cpu]==0.32.4' 'numpy==2.4.6'
cd "$folder"
cat >attend.py <<'PYTHON'
import jax
import mlx.core
import numpy as np
import torch

queries, keys = np.zeros((1, 1, 2, 8), np.float32), np.zeros((1, 1, 5, 8), np.float32)
values = np.zeros_like(keys) + np.arange(5, dtype=np.float32)[:, None]
mask = np.array([[[[True, True, False, False, False], [False] * 5]]])
added = np.where(mask, 0, -np.inf).astype(np.float32)


def by_torch(**how):
    how = {name: value if value is True else torch.tensor(value) for name, value in how.items()}
    return torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, (queries, keys, values)), **how)


def by_jax(**how):
    result = jax.nn.dot_product_attention(*(x.swapaxes(1, 2) for x in (queries, keys, values)), **how)
    return np.asarray(result).swapaxes(1, 2)


def by_mlx(mask):
    mask = mask if isinstance(mask, str) else mlx.core.array(mask)
    three = map(mlx.core.array, (queries, keys, values))
    return mlx.core.fast.scaled_dot_product_attention(*three, scale=8**-0.5, mask=mask)


for name, results in {
    "torch": (by_torch(is_causal=True), by_torch(attn_mask=mask), by_torch(attn_mask=added)),
    "jax": (by_jax(is_causal=True), by_jax(mask=mask), by_jax(bias=added)),
    "mlx": (by_mlx("causal"), by_mlx(mask), by_mlx(added)),
}.items():
    causal, masked, biased = (" ".join(f"{x:.1f}" for x in np.array(result)[0, 0, :, 0]) for result in results)
    print(f"{name}: causal {causal}, a mask of 2 keys and of none {masked}, the same to be added {biased}")
PYTHON
JAX_PLATFORMS=cpu venv/bin/python -W ignore attend.py >seen 2>log || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "The three libraries no longer differ as described here." >&2; exit 1; }
torch: causal 0.0 0.5, a mask of 2 keys and of none 0.5 0.0, the same to be added 0.5 0.0
jax: causal 0.0 0.5, a mask of 2 keys and of none 0.5 2.0, the same to be added 0.5 nan
mlx: causal 1.5 2.0, a mask of 2 keys and of none 0.5 2.0, the same to be added 0.5 nan
SEEN
