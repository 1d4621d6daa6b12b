#!/usr/bin/env bash
# transformers 5.24.0, gguf 0.19.0 (torch 2.13.0, Python 3.11): only GPT-2s of 1,024 positions can be read from GGUF.
#
# The table that turns GGUF's fields into a config sends GPT-2's `context_length` to `n_ctx`, which GPT2Config no longer
# looks at, so `n_positions` keeps its default of 1,024. A file with any other context is refused with a mismatch of
# sizes ("wpe.weight"), and a hint at ignore_mismatched_sizes, which would put random numbers in the place of the
# positions. With 1,024, all weights come back to the bit. The way round is to hand over the right config.
#
# Expected: the context of the file. Output seen:
#   context 1024: read, weights the same
#   context 128: refused, RuntimeError
#   context 128, with a config: read, weights the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'gguf==0.19.0' 'accelerate==1.15.0'
cd "$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON' || { tail -n 3 log >&2; exit 1; }
import sys

import numpy as np
import torch
from gguf import GGUFWriter
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

PARTS = {"attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_1": "attn_norm", "ln_2": "ffn_norm"}
PARTS |= {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
TOP = {"wte.weight": "token_embd.weight", "wpe.weight": "position_embd.weight"}
TOP |= {"ln_f.weight": "output_norm.weight", "ln_f.bias": "output_norm.bias"}


def write(model, context):
    writer, weights = GGUFWriter("model.gguf", "gpt2"), model.transformer.state_dict()
    writer.add_block_count(1), writer.add_context_length(context), writer.add_embedding_length(32)
    writer.add_feed_forward_length(128), writer.add_head_count(2), writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2"), writer.add_token_list([f"t{i}" for i in range(64)])
    names = TOP | {f"h.0.{a}.{end}": f"blk.0.{b}.{end}" for a, b in PARTS.items() for end in ("weight", "bias")}
    for name, new in names.items():
        matrix = name.startswith("h.0.") and weights[name].dim() == 2
        writer.add_tensor(new, np.ascontiguousarray(weights[name].T if matrix else weights[name]))
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


for context, given, expected in ((1024, False, "same"), (128, False, "refused"), (128, True, "same")):
    config = GPT2Config(vocab_size=64, n_positions=context, n_embd=32, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config)
    write(model, context)
    try:
        more = {"config": config} if given else {}
        read = AutoModelForCausalLM.from_pretrained(".", gguf_file="model.gguf", **more).state_dict()
        same = all(torch.equal(read[name], weight) for name, weight in model.state_dict().items())
        words = "read, weights the same" if same else "read, other weights"
    except RuntimeError:
        words = "refused, RuntimeError"
    print(f"context {context}{', with a config' if given else ''}: {words}", flush=True)
    if expected not in words:
        sys.exit("transformers no longer treats the context of a GPT-2 in GGUF as described here.")
PYTHON
