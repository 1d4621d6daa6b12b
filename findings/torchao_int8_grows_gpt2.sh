#!/usr/bin/env bash
# torchao 0.18.0, transformers 5.24.0 (torch 2.13.0, Python 3.11): a GPT-2 that is quantized to int8 becomes larger.
#
# quantize_() looks for torch.nn.Linear. All matrices in the blocks of transformers' GPT-2 are Conv1D, so none of them is
# touched; the one Linear is lm_head, whose weight is that of the token embedding. It alone is quantized, and that
# unties it: the embedding stays in float32, and an int8 copy of it comes on top. Nothing says that anything was left
# out. (Replacing each Conv1D by a Linear with the transposed weight before that is the way round.)
#
# Expected: about a quarter of the bytes, or a word that layers were skipped. Output seen:
#   before: 3,749,063 bytes, lm_head shares its weight with the embedding: True
#   after: 3,886,590 bytes, shares: False, quantized: lm_head.weight
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'torchao==0.18.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import os
import sys
import tempfile

import torch
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
size = {"vocab_size": 1024, "n_positions": 64, "n_embd": 128, "n_layer": 4, "n_head": 4}
model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0)).eval()


def measured():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "weights.pt")
        torch.save(model.state_dict(), file)
        return os.path.getsize(file), model.lm_head.weight is model.transformer.wte.weight


before, tied = measured()
print(f"before: {before:,} bytes, lm_head shares its weight with the embedding: {tied}", flush=True)
quantize_(model, Int8WeightOnlyConfig())
after, still_tied = measured()
changed = [name for name, weight in model.named_parameters() if "Int8" in type(weight).__name__]
print(f"after: {after:,} bytes, shares: {still_tied}, quantized: {', '.join(changed)}", flush=True)
if after <= before or not tied or still_tied or changed != ["lm_head.weight"]:
    sys.exit("torchao no longer passes over the layers of a GPT-2 as described here.")
PYTHON
