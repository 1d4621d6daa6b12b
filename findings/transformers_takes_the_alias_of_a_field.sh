#!/usr/bin/env bash
# transformers 5.23.0 (Python 3.11): where a GPT-2's config.json has a field and its alias, the alias wins.
#
# GPT2Config knows other names for its fields (attribute_map): hidden_size for n_embd, num_attention_heads for n_head,
# num_hidden_layers for n_layer, max_position_embeddings for n_positions. Files that hold both are common: many tools
# add the general name for others to read. Where the two differ, the general name is what counts, whatever their order,
# and no warning is given. For the number of heads nothing else tells: all shapes fit, and the model computes other
# numbers than the program that reads n_head.
#
# Expected: an error, or the field's own name. Output seen:
#   n_head 4, then num_attention_heads 2: 2 heads
#   num_attention_heads 2, then n_head 4: 2 heads
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'transformers==5.23.0'
cd "$folder"
cat >heads.py <<'PYTHON'
import json
from pathlib import Path

from transformers import AutoConfig

for fields in ({"n_head": 4, "num_attention_heads": 2}, {"num_attention_heads": 2, "n_head": 4}):
    Path("config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": 64, **fields}))
    names = ", then ".join(f"{name} {value}" for name, value in fields.items())
    print(f"{names}: {AutoConfig.from_pretrained('.').n_head} heads")
PYTHON
venv/bin/python heads.py >seen 2>/dev/null
cat seen
diff seen - <<'SEEN' || { echo "transformers no longer reads aliases as described here." >&2; exit 1; }
n_head 4, then num_attention_heads 2: 2 heads
num_attention_heads 2, then n_head 4: 2 heads
SEEN
