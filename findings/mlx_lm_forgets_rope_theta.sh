#!/usr/bin/env bash
# mlx-lm 0.32.2, transformers 5.24.0 (mlx 0.32.4, torch 2.13.0, Python 3.11): a Llama loses the base of its rotations.
#
# transformers 5 keeps all that belongs to rotary positions in one field of config.json, rope_parameters. mlx-lm looks for
# rope_theta and rope_scaling beside it, where transformers 4 wrote them, finds neither, and takes its defaults: a Llama
# that was trained with a base of 500,000 is read with 10,000, and one whose positions are scaled for long texts without
# the scale. All shapes fit, and nothing is said. The same goes for a Mistral, an OLMo 2, and a Qwen2 (whose default is
# 1,000,000). A Qwen3, whose class in mlx-lm knows the new field, is read correctly, and a Llama if rope_theta is added.
#
# Expected: the logits of transformers, or a refusal. Output seen, the largest difference over 64 tokens:
#   llama: base 10,000 0.00, base 500,000 0.46, scaled by 4 0.63
#   mistral: base 10,000 0.00, base 500,000 0.46, scaled by 4 0.63
#   qwen2: base 10,000 0.31, base 500,000 0.04, scaled by 4 0.45
#   olmo2: base 10,000 0.00, base 500,000 1.72, scaled by 4 1.93
#   qwen3: base 10,000 0.00, base 500,000 0.00, scaled by 4 0.00
#   llama, rope_theta added: base 500,000 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'mlx[cpu]==0.32.4' 'mlx-lm==0.32.2'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlx.core as mx
import torch
from mlx_lm.utils import load_model
from transformers import AutoConfig, AutoModelForCausalLM

sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.1, "pad_token_id": 0}
ropes = {f"base {base:,}": {"rope_type": "default", "rope_theta": float(base)} for base in (10_000, 500_000)}
ropes["scaled by 4"] = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}


def difference(kind, rope, added=None):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes, rope_parameters=rope, head_dim=8)
    model, ids = AutoModelForCausalLM.from_config(config).eval(), torch.randint(99, (1, 64))
    with TemporaryDirectory() as folder, torch.no_grad():
        model.save_pretrained(folder)
        written = Path(folder, "config.json")
        written.write_text(json.dumps(json.loads(written.read_text()) | (added or {})))
        read, _ = load_model(Path(folder))
        return (model(ids).logits - torch.tensor(read(mx.array(ids.tolist())).tolist())).abs().max().item()


for kind in ("llama", "mistral", "qwen2", "olmo2", "qwen3"):
    found = {name: difference(kind, rope) for name, rope in ropes.items()}
    print(f"{kind}:", ", ".join(f"{name} {found[name]:.2f}" for name in ropes))
    if (found["base 500,000"] > 0.01, found["scaled by 4"] > 0.01) != (kind != "qwen3", kind != "qwen3"):
        sys.exit("mlx-lm no longer forgets bases as described here.")
added = difference("llama", ropes["base 500,000"], {"rope_theta": 500_000.0})
print(f"llama, rope_theta added: base 500,000 {added:.2f}")
if added > 0.01:
    sys.exit("A Llama is not read correctly with rope_theta either.")
PYTHON
