#!/usr/bin/env bash
# mlx-lm 0.32.2 (mlx 0.32.4, CPU), xllamacpp 2026.10.11549 (llama.cpp, Python 3.11): an exported Llama reads other tokens.
#
# `mlx_lm.fuse --export-gguf` writes a Llama and its tokenizer for llama.cpp. In such a file the score of a piece tells which
# of two possible merges comes first. mlx-lm gives all pieces the score -1000, so llama.cpp merges from the left, and where
# that is not the order in which the merges were learned, a word falls apart into letters. (Today's llama.cpp refuses the
# file before that, as mlx-lm writes the types of the pieces as unsigned numbers; here this is put right by hand.) With
# scores that tell the order of the merges, the ids are as they should be.
#
# Expected: the file loads, and has the ids of the tokenizer that it was made from. Output seen:
#   tokenizers: ['▁other'] ['▁the']
#   as exported: refused
#   its types put right: ['▁', 'ot', 'h', 'e', 'r'] ['▁the']
#   its scores put right too: ['▁other'] ['▁the']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PYTHONUTF8=1
python3 -m venv venv
venv/bin/pip install --quiet 'mlx[cpu]==0.32.4' 'mlx-lm==0.32.2' 'transformers==5.24.0' 'xllamacpp==2026.10.11549'
cat >export.py <<'PYTHON'
import json
import struct
import urllib.request
from pathlib import Path

import xllamacpp
from mlx.utils import tree_flatten
from mlx_lm.gguf import convert_to_gguf
from mlx_lm.models.llama import Model, ModelArgs
from tokenizers import Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerFast

merges = ["t h", "th e", "the r", "o ther", "▁ other", "▁ the", "o t"]
pieces = [merge.replace(" ", "") for merge in merges]
tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁ehort", *pieces]
vocabulary = {token: i for i, token in enumerate(tokens)}
pairs = [tuple(merge.split(" ")) for merge in merges]
engine = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", byte_fallback=True))
engine.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
print("tokenizers:", *(engine.encode(text).tokens for text in ("other", "the")))

names = dict(zip(("unk_token", "bos_token", "eos_token"), tokens))
PreTrainedTokenizerFast(tokenizer_object=engine, **names).save_pretrained(".")
config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 64, "rms_norm_eps": 1e-5}
config |= {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": len(tokens), "max_position_embeddings": 64}
weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
convert_to_gguf(Path("."), weights, config, "exported.gguf")


exported = Path("exported.gguf").read_bytes()
array, unsigned, signed, number = 9, 4, 5, 6  # as GGUF numbers its types
field = b"tokenizer.ggml.token_type" + struct.pack("<I", array)
typed = exported.replace(field + struct.pack("<I", unsigned), field + struct.pack("<I", signed))
field = b"tokenizer.ggml.scores" + struct.pack("<IIQ", array, number, len(tokens))
scores = [float(-pieces.index(token)) if token in pieces else -1000.0 for token in tokens]
old, new = (field + struct.pack(f"<{len(tokens)}f", *numbers) for numbers in ([-1000.0] * len(tokens), scores))
assert typed != exported and old in typed
Path("typed.gguf").write_bytes(typed)
Path("scored.gguf").write_bytes(typed.replace(old, new))
for name, file in (("as exported", "exported"), ("its types put right", "typed"), ("its scores put right too", "scored")):
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.warmup = f"{file}.gguf", 64, False
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:
        print(f"{name}: refused")
        continue
    found = []
    for text in ("other", "the"):
        body = json.dumps({"content": text, "add_special": False}).encode()
        url, kind = server.listening_address + "/tokenize", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, kind)) as answer:
            found.append([tokens[i] for i in json.load(answer)["tokens"]])
    print(f"{name}:", *found)
PYTHON
venv/bin/python -W ignore export.py >output 2>log || { tail -n 3 log >&2; exit 1; }
grep '^tokenizers:\|^as exported:\|^its ' output >seen
cat seen
diff seen - <<'SEEN' || { echo "An exported Llama is no longer read as described here." >&2; exit 1; }
tokenizers: ['▁other'] ['▁the']
as exported: refused
its types put right: ['▁', 'ot', 'h', 'e', 'r'] ['▁the']
its scores put right too: ['▁other'] ['▁the']
SEEN
