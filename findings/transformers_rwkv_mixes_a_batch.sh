#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): RWKV writes another text when it is given two at once.
#
# RWKV mixes the vector of each token with that of the token before, which it keeps in a state. When it continues a text
# by one token, the new vectors have an axis for texts and one for tokens, the kept ones an axis for texts alone. They are
# broadcast against each other, so each text is mixed with the last tokens of all texts, and gets as many vectors as there
# are texts. The prompts are still read as they should be; from the second new token on, every text of a batch is wrong.
# No error is raised. A single text is right, and so is any number of them with use_cache=False.
#
# Expected: one greedy text for one prompt. Output seen:
#   with the state, alone: 15 98 57 35 57 56 98 18
#   with the state, beside its own copy: 15 52 52 52 52 52 52 12
#   with the state, beside another prompt: 15 52 74 7 22 74 2 74
#   use_cache=False, alone: 15 98 57 35 57 56 98 18
#   use_cache=False, beside its own copy: 15 98 57 35 57 56 98 18
#   use_cache=False, beside another prompt: 15 98 57 35 57 56 98 18
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import torch
from transformers import RwkvConfig, RwkvForCausalLM

torch.manual_seed(0)
model = RwkvForCausalLM(RwkvConfig(vocab_size=99, context_length=64, hidden_size=32, num_hidden_layers=3)).eval()
with torch.no_grad():
    for weights in model.parameters():
        weights.add_(0.2 * torch.randn_like(weights))  # as if it had been trained
prompt, other = torch.randint(1, 99, (2, 8)).tolist()
batches = {"alone": [prompt], "beside its own copy": [prompt, prompt], "beside another prompt": [prompt, other]}
settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
right = None
for cached in (True, False):
    for name, batch in batches.items():
        ids = torch.tensor(batch)
        written = model.generate(ids, attention_mask=torch.ones_like(ids), use_cache=cached, **settings)[0, 8:].tolist()
        print("with the state," if cached else "use_cache=False,", f"{name}:", *written)
        right = right or written
        if (written == right) != (not cached or name == "alone"):
            sys.exit("RWKV no longer mixes texts as described here.")
PYTHON
