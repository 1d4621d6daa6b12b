#!/usr/bin/env bash
# local-attention 1.11.2 (torch 2.13.0, Python 3.11): generate() turns the keys in its cache once more with every token.
#
# LocalTransformer gives its keys rotary positions, by default, when it computes the attention of a whole text. To write
# token by token, generate() keeps the keys of earlier tokens (use_kv_cache, True by default). Once a step has turned
# them to their positions, it keeps them so, and the next step turns them again, as if they had not been: the attention
# looks at places that no training has seen, and the text is soon another one. With use_kv_cache=False it is the model's,
# and so it is with use_dynamic_pos_bias, which needs no rotations. No warning is given.
#
# Expected: the cache changes nothing but the speed. Output seen, how many of 24 greedy tokens are those that calls with
# the whole text give:
#   by default: window 8: 13 with the cache, 24 without, window 64: 9 with the cache, 24 without
#   use_xpos: window 8: 7 with the cache, 24 without, window 64: 7 with the cache, 24 without
#   use_dynamic_pos_bias: window 8: 24 with the cache, 24 without, window 64: 24 with the cache, 24 without
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'local-attention==1.11.2'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import random
import sys

import torch
from local_attention import LocalTransformer

size = {"num_tokens": 32, "dim": 32, "depth": 2, "heads": 2, "dim_head": 16, "max_seq_len": 128}
for name in ("by default", "use_xpos", "use_dynamic_pos_bias"):
    options = {} if name == "by default" else {name: True}
    counts = {}
    for window in (8, 64):
        torch.manual_seed(0)
        random.seed(0)  # which chooses among the streams of the residual
        model = LocalTransformer(**size, local_attn_window_size=window, causal=True, **options).eval()
        prompt = torch.randint(0, 32, (1, 13))
        with torch.no_grad():
            for parameter in model.parameters():  # as training would, make the logits differ
                parameter.add_(torch.randn_like(parameter) * 0.1)
            text = prompt
            for _ in range(24):
                text = torch.cat([text, model(text)[:, -1:].argmax(-1)], 1)
        for cached in (True, False):
            written = model.generate(prompt, 24, temperature=0.0, use_kv_cache=cached)
            counts[window, cached] = (written == text[:, 13:]).sum().item()
    found = ", ".join(f"window {w}: {counts[w, True]} with the cache, {counts[w, False]} without" for w in (8, 64))
    print(f"{name}: {found}")
    wrong = name != "use_dynamic_pos_bias"
    if any((count < 24) != (cached and wrong) for (_, cached), count in counts.items()):
        sys.exit("generate() no longer treats its cache as described here.")
PYTHON
