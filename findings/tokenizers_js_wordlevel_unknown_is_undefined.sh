#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 (JavaScript, Node.js 20): an unknown word of a WordLevel model has the id undefined.
#
# The tokenizers library (Python 0.23.3) gives an unknown word the id of the model's unk_token. The JavaScript library of
# the same makers does so for BPE and WordPiece, but for WordLevel only if tokenizer_config.json, its second argument,
# names the token too. Otherwise `ids` holds undefined, and `tokens` the word itself. No error is raised, and a typed
# array, which a model is fed with, turns undefined into 0: the id of another token.
#
# Expected: 0 1 2 from all. Output seen:
#   python 0 1 2
#   javascript 0 1 undefined
#   javascript in an Int32Array 0 1 0
#   javascript, named in the config too 0 1 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'tokenizers==0.23.3'
npm install --silent --no-fund --no-audit --ignore-scripts '@huggingface/tokenizers@0.2.0' >/dev/null
cat >write.py <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers

tokenizer = Tokenizer(models.WordLevel({"red": 0, "green": 1, "[UNK]": 2}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.save("tokenizer.json")
print("python", *tokenizer.encode("red green blue").ids)
PYTHON
cat >read.cjs <<'JAVASCRIPT'
const { Tokenizer } = require("@huggingface/tokenizers");
const description = JSON.parse(require("fs").readFileSync("tokenizer.json", "utf8"));
const { ids } = new Tokenizer(description, {}).encode("red green blue");
console.log("javascript", ...ids);
console.log("javascript in an Int32Array", ...Int32Array.from(ids));
const named = new Tokenizer(description, { unk_token: "[UNK]" });
console.log("javascript, named in the config too", ...named.encode("red green blue").ids);
JAVASCRIPT
{
  venv/bin/python write.py
  node read.cjs
} >seen
cat seen
diff seen - <<'SEEN' || { echo "the two libraries no longer differ as described here." >&2; exit 1; }
python 0 1 2
javascript 0 1 undefined
javascript in an Int32Array 0 1 0
javascript, named in the config too 0 1 2
SEEN
