#!/usr/bin/env bash
# tokenizers 0.23.3 (Python 3.11): a new token is given an id that already belongs to another one.
#
# `add_tokens` numbers the first new token by how many tokens the vocabulary holds, not by its highest id plus one. Where
# the ids have a gap, as after a token was taken out of tokenizer.json by hand, that number may be in use: two tokens
# then share an id. No error is raised, a model cannot tell the two apart, and decoding shows the new one for both.
#
# Expected: the new token gets an id that nothing else has. Output seen:
#   {'a': 0, 'b': 1, 'c': 3} with 'new' added: {'a': 0, 'b': 1, 'c': 3, 'new': 3}
#   'abc' is [0, 1, 3] and comes back as 'abnew'
#   without a gap, 'new' is 3 and 'abc' comes back as 'abc'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tokenizers==0.23.3'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from tokenizers import Tokenizer, decoders, models


def with_new_token(vocabulary):
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.Fuse()
    assert tokenizer.add_tokens(["new"]) == 1
    ids = tokenizer.encode("abc").ids
    return dict(sorted(tokenizer.get_vocab().items())), ids, tokenizer.decode(ids)


gap = {"a": 0, "b": 1, "c": 3}
vocabulary, ids, text = with_new_token(gap)
print(f"{gap} with 'new' added: {vocabulary}")
print(f"'abc' is {ids} and comes back as {text!r}")
if vocabulary["new"] != vocabulary["c"] or text != "abnew":
    sys.exit("The new token no longer takes the id of another.")

vocabulary, ids, text = with_new_token({"a": 0, "b": 1, "c": 2})
print(f"without a gap, 'new' is {vocabulary['new']} and 'abc' comes back as {text!r}")
if vocabulary["new"] != 3 or text != "abc":
    sys.exit("Even without a gap, the new token is not numbered as described here.")
PYTHON
