#!/usr/bin/env bash
# x-transformers 2.31.10 (torch 2.13.0, Python 3.11): with shift_tokens, generate() does not write what the model says.
#
# shift_tokens=1, which its README finds of use to models of characters, gives half of a layer's input the values of the
# position before. generate() keeps the keys and values of what has been read (cache_kv, True by default), but not that
# neighbour: for every token after the first, zeros stand in its place. attn_data_dependent_alibi, a gate by which a model
# forgets, has no effect either once the text is read, because it is computed from the newest token alone. Other options
# that do not go together with this cache switch it off; these two leave it on. No warning is given.
#
# Expected: the cache changes nothing but the speed. Output seen, the largest change of a logit that comes from it, and
# how many of 24 greedy tokens are the ones that are written without it:
#   none of them: 0.00, 24 of 24
#   shift_tokens: 7.76, 3 of 24
#   attn_data_dependent_alibi: 2.04, 4 of 24
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'x-transformers==2.31.10'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

for option in ("none of them", "shift_tokens", "attn_data_dependent_alibi"):
    torch.manual_seed(0)
    layers = Decoder(dim=32, depth=2, heads=4, **({} if option == "none of them" else {option: 1}))
    model = TransformerWrapper(num_tokens=50, max_seq_len=64, attn_layers=layers).eval()
    text = torch.randint(50, (1, 32))
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.3 * torch.randn_like(weights))  # as if it had been trained
        whole = model(text)
        _, cache = model(text[:, :8], return_intermediates=True)
        change = 0.0
        for end in range(9, 33):
            logits, cache = model(text[:, :end], cache=cache, return_intermediates=True)
            change = max(change, (logits[:, -1] - whole[:, end - 1]).abs().max().item())
        writer = AutoregressiveWrapper(model)
        with_cache, without = (writer.generate(text[:, :8], 24, temperature=0.0, cache_kv=on) for on in (True, False))
    same = (with_cache == without).sum().item()
    print(f"{option}: {change:.2f}, {same} of 24")
    if (change > 0.01 or same < 24) != (option != "none of them"):
        sys.exit("The cache no longer changes what is written as described here.")
PYTHON
