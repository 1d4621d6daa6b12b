#!/usr/bin/env bash
# llama.cpp (xllamacpp 2026.10.11549, gguf 0.19.0, Python 3.11): a GPT-2 whose tokenizer has no merges is refused.
#
# A byte-level BPE of 256 bytes and no merges is complete: every text has ids, one for each byte, and the tokenizers
# library and transformers take it. It is what a character-level model of an ASCII text comes to. A GGUF of it, with an
# empty list of merges (which the gguf library leaves out of the file), does not load: "cannot find tokenizer merges in
# model file". One merge that can never be applied is enough ("a", then a blank, which the split pattern puts in the
# next word), and all ids are then as they should be.
#
# Expected: both files load, or a field says that there are no merges. Output seen:
#   no merges: refused, cannot find tokenizer merges in model file
#   one merge that is never applied: loaded, ids are the bytes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'xllamacpp==2026.10.11549' 'gguf==0.19.0'
cd "$folder"
cat >write.py <<'PYTHON'
import sys

import numpy as np
from gguf import GGUFWriter

printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
letters = {b: chr(b) for b in printable}
letters |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in printable)}
tokens = [letters[b] for b in range(256)] + ["<|endoftext|>"]

writer, random, width = GGUFWriter("model.gguf", "gpt2"), np.random.default_rng(0), 32
writer.add_block_count(1), writer.add_context_length(64), writer.add_embedding_length(width)
writer.add_feed_forward_length(4 * width), writer.add_head_count(2), writer.add_layer_norm_eps(1e-5)
writer.add_tokenizer_model("gpt2"), writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(tokens), writer.add_token_types([1] * 256 + [3])
writer.add_token_merges(sys.argv[1:])
writer.add_bos_token_id(256), writer.add_eos_token_id(256), writer.add_add_bos_token(False)
shapes = {"token_embd.weight": (257, width), "position_embd.weight": (64, width)}
shapes |= {f"output_norm.{end}": (width,) for end in ("weight", "bias")}
for name, rows, columns in (
    ("attn_qkv", 3 * width, width),
    ("attn_output", width, width),
    ("ffn_up", 4 * width, width),
    ("ffn_down", width, 4 * width),
):
    shapes |= {f"blk.0.{name}.weight": (rows, columns), f"blk.0.{name}.bias": (rows,)}
shapes |= {f"blk.0.{name}.{end}": (width,) for name in ("attn_norm", "ffn_norm") for end in ("weight", "bias")}
for name, shape in shapes.items():
    writer.add_tensor(name, random.normal(0, 0.1, shape).astype(np.float32))
writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
PYTHON
cat >load.py <<'PYTHON'
import json
import sys
import urllib.request

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.warmup = "model.gguf", 64, False
server = xllamacpp.Server(params)
text = "The quick brown fox,\n a a  naïve"
body = json.dumps({"content": text, "add_special": False}).encode()
request = urllib.request.Request(server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
ids = json.load(urllib.request.urlopen(request))["tokens"]
sys.exit(0 if ids == list(text.encode()) else 3)
PYTHON
fail() { echo "llama.cpp no longer treats a tokenizer without merges as described here." >&2; exit 1; }

venv/bin/python write.py
if venv/bin/python load.py >log 2>&1; then fail; fi
grep -q "cannot find tokenizer merges in model file" log || fail
echo "no merges: refused, cannot find tokenizer merges in model file"

venv/bin/python write.py "a Ġ"
venv/bin/python load.py >log 2>&1 || fail
echo "one merge that is never applied: loaded, ids are the bytes"
