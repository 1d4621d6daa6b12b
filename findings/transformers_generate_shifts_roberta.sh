#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): generate() reads a RoBERTa's text two positions too early.
#
# The first token of a RoBERTa has position 2, or generally pad_token_id + 1, and that is how the model numbers any text that
# it is called with, be it to train it or to measure its loss. generate() numbers the positions from 0, as for other
# models, and hands them over. So the first two tokens get the vectors of positions that no training reaches, and each
# other token that of the token two before it: RobertaForCausalLM, and what is built like it, writes from other logits
# than it was trained to give. No warning is given.
#
# Expected: the logits of generate() are those of a call with the same text. Output seen, the largest difference, and in
# brackets that from a call with position_ids 0, 1, 2, ...:
#   bert: 0.00 (0.00)
#   roberta: 3.39 (0.00)
#   xlm-roberta: 2.70 (0.00)
#   camembert: 2.70 (0.00)
#   data2vec-text: 3.39 (0.00)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
for kind in ("bert", "roberta", "xlm-roberta", "camembert", "data2vec-text"):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes, max_position_embeddings=64, is_decoder=True, initializer_range=0.2)
    model = AutoModelForCausalLM.from_config(config).eval()
    prompt = torch.randint(3, 99, (1, 8))
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    result = model.generate(prompt, output_logits=True, return_dict_in_generate=True, **settings)
    written, ids = torch.stack(result.logits, 1), result.sequences[:, :-1]
    with torch.no_grad():
        called = model(ids).logits[:, 7:]
        shifted = model(ids, position_ids=torch.arange(15)[None]).logits[:, 7:]
    from_call, from_shifted = ((written - logits).abs().max().item() for logits in (called, shifted))
    print(f"{kind}: {from_call:.2f} ({from_shifted:.2f})")
    if from_shifted > 0.001 or (from_call > 0.001) != (kind != "bert"):
        sys.exit("generate() no longer shifts positions as described here.")
PYTHON
