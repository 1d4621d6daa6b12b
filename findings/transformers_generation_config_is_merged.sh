#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): a GenerationConfig given to generate() does not replace the model's.
#
# The docstring of generate() says that what the given config leaves unspecified takes GenerationConfig's default value.
# Instead it takes the value that the model's own generation_config holds: sampling, a repetition penalty, even the
# number of returned texts come along from the generation_config.json of the checkpoint. In version 5 the defaults are
# None, and None means unspecified, so an explicit None is filled in too; only the neutral value of each setting, such
# as a penalty of 1.0, switches it off. Two checkpoints compared under "the same" config are decoded differently.
#
# Expected: GenerationConfig(max_new_tokens=1) decodes greedily from the raw logits. Output seen:
#   GenerationConfig(max_new_tokens=1): 3 logits changed, 2 texts
#   the same with repetition_penalty=None, num_return_sequences=None: 3 logits changed, 2 texts
#   the same with repetition_penalty=1.0, num_return_sequences=1: 0 logits changed, 1 texts
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
size = {"vocab_size": 40, "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2}
model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0)).eval()
model.generation_config.repetition_penalty = 2.0
model.generation_config.do_sample = True
model.generation_config.num_return_sequences = 2
prompt = torch.tensor([[5, 6, 7]])
show = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True, "pad_token_id": 0}


def decoded(**given):
    config = GenerationConfig(max_new_tokens=1, **show, **given)
    result = model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
    changed = int((result.scores[0] != result.logits[0])[0].sum())
    return changed, len(result.sequences)


unset = {"repetition_penalty": None, "num_return_sequences": None}
neutral = {"repetition_penalty": 1.0, "num_return_sequences": 1}
for given, expected in (({}, (3, 2)), (unset, (3, 2)), (neutral, (0, 1))):
    found = decoded(**given)
    words = ", ".join(f"{name}={value}" for name, value in given.items())
    name = f"the same with {words}" if given else "GenerationConfig(max_new_tokens=1)"
    print(f"{name}: {found[0]} logits changed, {found[1]} texts", flush=True)
    if found != expected:
        sys.exit("generate() no longer fills in the given config from the model's as described here.")
PYTHON
