#!/usr/bin/env bash
# llama.cpp (xllamacpp 2026.10.11549, gguf 0.19.0) and tokenizers 0.23.3, Python 3.11: overlapping added tokens.
#
# Added tokens are found in a text before the vocabulary's own. Where two of them overlap, the tokenizers library takes
# the one that begins first; llama.cpp searches the whole text for the longest one, then for the next shorter. With the
# added tokens "xqz" and "qzwv", both in the file as USER_DEFINED tokens, "xqzwv" is "xqz" "w" "v" to the one and "x"
# "qzwv" to the other: a GGUF that holds exactly the tokenizer's tokens and merges gives other ids.
#
# Expected: the same ids. Output seen:
#   tokenizers: ['xqz', 'w', 'v']
#   llama.cpp: ['x', 'qzwv']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'xllamacpp==2026.10.11549' 'gguf==0.19.0' 'tokenizers==0.23.3'
cd "$folder"
cat >compare.py <<'PYTHON'
import json
import urllib.request

import numpy as np
import xllamacpp
from gguf import GGUFWriter
from tokenizers import Tokenizer, models, pre_tokenizers

printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
letters = {b: chr(b) for b in printable}
letters |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in printable)}
letters, added, text = list(letters.values()), ["xqz", "qzwv"], "xqzwv"
tokens = [*letters, "<|endoftext|>", *added]

engine = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(tokens[:257])}, merges=[]))
engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
engine.add_tokens(added)
print("tokenizers:", engine.encode(text).tokens)

writer, random, width = GGUFWriter("model.gguf", "gpt2"), np.random.default_rng(0), 32
writer.add_block_count(1), writer.add_context_length(64), writer.add_embedding_length(width)
writer.add_feed_forward_length(4 * width), writer.add_head_count(2), writer.add_layer_norm_eps(1e-5)
writer.add_tokenizer_model("gpt2"), writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(tokens), writer.add_token_types([1] * 256 + [3] + [4] * len(added))
writer.add_token_merges(["a Ġ"])  # never applied; without any, the file is refused
writer.add_bos_token_id(256), writer.add_eos_token_id(256), writer.add_add_bos_token(False)
shapes = {"token_embd.weight": (len(tokens), width), "position_embd.weight": (64, width)}
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

params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.warmup = "model.gguf", 64, False
server = xllamacpp.Server(params)
body = json.dumps({"content": text, "add_special": False}).encode()
request = urllib.request.Request(server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
print("llama.cpp:", [tokens[token] for token in json.load(urllib.request.urlopen(request))["tokens"]])
PYTHON
venv/bin/python compare.py 2>log | grep '^tokenizers:\|^llama.cpp:' >seen || { cat log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "Overlapping added tokens are no longer found as described here." >&2; exit 1; }
tokenizers: ['xqz', 'w', 'v']
llama.cpp: ['x', 'qzwv']
SEEN
