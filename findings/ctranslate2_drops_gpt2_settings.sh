#!/usr/bin/env bash
# ctranslate2 4.8.5, transformers 5.24.0 (torch 2.13.0, Python 3.11): the converter drops three settings of a GPT-2.
#
# The converter for GPT-2 reads the weights and the activation function, but not layer_norm_epsilon, scale_attn_weights
# or scale_attn_by_inverse_layer_idx. A model that sets any of them is converted without a word, loads, and gives other
# probabilities. A model that leaves all three alone agrees with transformers to the last digits.
#
# Expected: the same log-probabilities, or a refusal. Output seen, the largest difference in nats over seven tokens:
#   {}: 0.000
#   {'layer_norm_epsilon': 0.1}: 0.499
#   {'scale_attn_weights': False}: 1.251
#   {'scale_attn_by_inverse_layer_idx': True}: 0.125
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'ctranslate2==4.8.5'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import os
import sys
import tempfile

import ctranslate2
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel

letters = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
encoding = tokenizer.encode("gradient")


def difference(settings):
    torch.manual_seed(0)
    size = {"vocab_size": len(letters), "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}
    config = GPT2Config(**size, initializer_range=0.3, bos_token_id=0, eos_token_id=0, **settings)
    model = GPT2LMHeadModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save(os.path.join(folder, "tokenizer.json"))
        converted = os.path.join(folder, "converted")
        ctranslate2.converters.TransformersConverter(folder).convert(converted)
        found = ctranslate2.Generator(converted).score_batch([encoding.tokens])[0].log_probs
    ids = torch.tensor(encoding.ids)
    logs = model(ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
    return max(abs(a - b) for a, b in zip(found, logs.tolist(), strict=True))


for settings in (
    {},
    {"layer_norm_epsilon": 0.1},
    {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True},
):
    apart = difference(settings)
    print(f"{settings}: {apart:.3f}", flush=True)
    if (apart > 0.01) != bool(settings):
        sys.exit("The converter no longer treats these settings as described here.")
PYTHON
