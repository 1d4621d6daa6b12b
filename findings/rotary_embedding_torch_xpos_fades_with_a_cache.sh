#!/usr/bin/env bash
# rotary-embedding-torch 0.9.1 (torch 2.13.0, Python 3.11): with use_xpos, a cache of keys makes attention fade.
#
# Rotary positions make the product of a query and a key depend on how far apart they are; XPos also makes it smaller with
# the distance, by a factor for the query's position and its inverse for the key's. rotate_queries_with_cached_keys, which
# the README has for the step that continues a cached text, counts both from the middle of what it is given: of the text
# for the keys, of the new tokens alone for the queries. A single new query is therefore taken to be half a text further
# back than it is, and all its scores are too small, also that of the key at its own place, which XPos leaves as it is:
# the longer the text, the flatter the attention. Without use_xpos, and for as many queries as keys, it is right.
#
# Expected: the same scores for the last query alone as beside all others. Output seen, how far apart they are, and in
# brackets the last query's score with an equal key at its own place, divided by their plain product:
#   16 keys: without XPos 0% apart (1.00), with XPos 1% apart (0.99)
#   256 keys: without XPos 0% apart (1.00), with XPos 13% apart (0.88)
#   2048 keys: without XPos 0% apart (1.00), with XPos 46% apart (0.44)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'rotary-embedding-torch==0.9.1'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from rotary_embedding_torch import RotaryEmbedding

torch.manual_seed(0)
for length in (16, 256, 2048):
    keys = torch.randn(1, 1, length, 64)
    queries = keys.clone()
    plain = (queries * keys).sum(-1)[0, 0, -1].item()
    line, apart = [], {}
    for xpos in (False, True):
        rotary = RotaryEmbedding(dim=64, use_xpos=xpos)
        rotated = rotary.rotate_queries_with_cached_keys(queries, keys)
        whole = (rotated[0] @ rotated[1].transpose(-1, -2))[0, 0, -1]
        rotated = rotary.rotate_queries_with_cached_keys(queries[:, :, -1:], keys)
        alone = (rotated[0] @ rotated[1].transpose(-1, -2))[0, 0, -1]
        apart[xpos] = (whole - alone).norm() / whole.norm()
        line.append(f"{'with' if xpos else 'without'} XPos {apart[xpos]:.0%} apart ({alone[-1] / plain:.2f})")
    print(f"{length} keys: " + ", ".join(line))
    if apart[False] > 1e-4 or apart[True] < 0.005:
        sys.exit("XPos with cached keys is no longer as described here.")
PYTHON
