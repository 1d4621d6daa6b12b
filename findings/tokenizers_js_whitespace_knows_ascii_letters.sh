#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 (JavaScript, Node.js 20): the pre-tokenizer Whitespace cuts words at accented letters.
#
# Whitespace, the pre-tokenizer of the tokenizers library's quick tour, splits a text by the pattern \w+|[^\w\s]+. In
# Python (tokenizers 0.23.3) \w is any letter of any language. The JavaScript library of the same makers has the same
# pattern as a plain JavaScript regular expression, where \w is A to Z, digits and the underscore. So "naïve" becomes
# three words, and a Russian word and the comma behind it become one. From one tokenizer.json, a text in English gets
# the same ids in both, and a text in most other languages does not. No error is raised.
#
# Expected: the same tokens. Output seen:
#   python BPE: naïve façade . да , нет
#   javascript BPE: n a ï ve f a ç ade . да , нет
#   python WordPiece: naïve façade . да , нет
#   javascript WordPiece: na ï v ##e fa ç a ##d ##e . [UNK] нет
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PYTHONUTF8=1
python3 -m venv venv
venv/bin/pip install --quiet 'tokenizers==0.23.3'
npm install --silent --no-fund --no-audit --ignore-scripts '@huggingface/tokenizers@0.2.0' >/dev/null
cat >write.py <<'PYTHON'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

text, name = "naïve façade. да, нет", sys.argv[1]
tokenizer = Tokenizer(getattr(models, name)(unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
trainer = {"BPE": trainers.BpeTrainer, "WordPiece": trainers.WordPieceTrainer}[name]
tokenizer.train_from_iterator([text] * 9, trainer(special_tokens=["[UNK]"], show_progress=False))
tokenizer.save("tokenizer.json")
print(f"python {name}:", *tokenizer.encode(text).tokens)
PYTHON
cat >read.cjs <<'JAVASCRIPT'
const { Tokenizer } = require("@huggingface/tokenizers");
const description = JSON.parse(require("fs").readFileSync("tokenizer.json", "utf8"));
const tokenizer = new Tokenizer(description, { unk_token: "[UNK]" });
console.log(`javascript ${process.argv[2]}:`, ...tokenizer.encode("naïve façade. да, нет").tokens);
JAVASCRIPT
for name in BPE WordPiece; do
  venv/bin/python write.py $name
  node read.cjs $name
done >seen
cat seen
diff seen - <<'SEEN' || { echo "The two libraries no longer split words as described here." >&2; exit 1; }
python BPE: naïve façade . да , нет
javascript BPE: n a ï ve f a ç ade . да , нет
python WordPiece: naïve façade . да , нет
javascript WordPiece: na ï v ##e fa ç a ##d ##e . [UNK] нет
SEEN
