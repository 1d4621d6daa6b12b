#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 (JavaScript, Node.js 20): with Split and "invert", whatever the pattern leaves out is lost.
#
# The pre-tokenizer Split cuts a text by a pattern, and "invert" turns pattern and rest around. With the behavior
# "isolated" both stay, so in the tokenizers library (Python 0.23.3) invert changes nothing there. The JavaScript library
# of the same makers takes invert for "keep the matches only": inverted or not, the behavior is not looked at. Words
# disappear from the ids, and a text without a match has none. With a plain string as its pattern, "removed" keeps what
# it should remove, as Punctuation does. Its page names three behaviors that it cannot do; these two are not among them.
#
# Expected: the same tokens. Output seen:
#   Split(Regex("[ ,]"), isolated): python red|,| |green, javascript red|,| |green.
#   Split(Regex("[ ,]"), isolated, invert): python red|,| |green, javascript ,| .
#   Split(Regex("[ ,]"), removed): python red|green, javascript red|green.
#   Split(" ", removed): python red,|green, javascript red,| |green.
#   Punctuation(removed): python red| green, javascript red|,| green.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'tokenizers==0.23.3'
npm install --silent --no-fund --no-audit --ignore-scripts '@huggingface/tokenizers@0.2.0' >/dev/null
cat >write.py <<'PYTHON'
import json

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

text, vocabulary = "red, green", ["[UNK]", "red", "green", ",", " ", "red,", " green"]
cuts = {
    'Split(Regex("[ ,]"), isolated)': pre_tokenizers.Split(Regex("[ ,]"), "isolated"),
    'Split(Regex("[ ,]"), isolated, invert)': pre_tokenizers.Split(Regex("[ ,]"), "isolated", invert=True),
    'Split(Regex("[ ,]"), removed)': pre_tokenizers.Split(Regex("[ ,]"), "removed"),
    'Split(" ", removed)': pre_tokenizers.Split(" ", "removed"),
    "Punctuation(removed)": pre_tokenizers.Punctuation("removed"),
}
for name, cut in cuts.items():
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = cut
    tokens = "|".join(tokenizer.encode(text).tokens)
    print(json.dumps({"name": name, "text": text, "python": tokens, "tokenizer": json.loads(tokenizer.to_str())}))
PYTHON
cat >read.cjs <<'JAVASCRIPT'
const { Tokenizer } = require("@huggingface/tokenizers");
for (const line of require("fs").readFileSync("cases", "utf8").trim().split("\n")) {
  const { name, text, python, tokenizer } = JSON.parse(line);
  const tokens = new Tokenizer(tokenizer, { unk_token: "[UNK]" }).encode(text).tokens.join("|");
  console.log(`${name}: python ${python}, javascript ${tokens}.`);
}
JAVASCRIPT
venv/bin/python write.py >cases
node read.cjs >seen
cat seen
diff seen - <<'SEEN' || { echo "The two libraries no longer cut texts as described here." >&2; exit 1; }
Split(Regex("[ ,]"), isolated): python red|,| |green, javascript red|,| |green.
Split(Regex("[ ,]"), isolated, invert): python red|,| |green, javascript ,| .
Split(Regex("[ ,]"), removed): python red|green, javascript red|green.
Split(" ", removed): python red,|green, javascript red,| |green.
Punctuation(removed): python red| green, javascript red|,| green.
SEEN
