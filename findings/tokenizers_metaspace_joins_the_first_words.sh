#!/usr/bin/env bash
# tokenizers 0.23.3 (Python 3.11): the Metaspace decoder drops all blanks of the first token, not just the one in front.
#
# Metaspace writes a blank as "▁" and puts one more in front of a text, which the decoder takes away again. With
# split=False words are not cut apart before they are tokenized, so a token may hold several of them. Of the first token
# the decoder drops every "▁", and its words run together; as a later one, the same token keeps its blanks. The ids are
# right. So is the text if Replace, Fuse and Strip do the decoder's work, and with prepend_scheme="never", where nothing
# is put in front.
#
# Expected: the text comes back. Output seen:
#   always: ▁of▁the▁people is decoded to 'ofthepeople'
#   always: ▁go ▁of▁the▁people is decoded to 'go of the people'
#   never: of▁the▁people is decoded to 'of the people'
#   never: go ▁of▁the▁people is decoded to 'go of the people'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tokenizers==0.23.3'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

pieces = [("?", -9.0), ("▁of▁the▁people", -1.0), ("of▁the▁people", -1.0), ("▁go", -1.0), ("go", -1.0)]
tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
for scheme in ("always", "never"):
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False, prepend_scheme=scheme)
    for text in ("of the people", "go of the people"):
        encoding = tokenizer.encode(text)
        tokenizer.decoder = decoders.Metaspace(split=False, prepend_scheme=scheme)
        decoded = tokenizer.decode(encoding.ids)
        print(f"{scheme}: {' '.join(encoding.tokens)} is decoded to {decoded!r}")
        if decoded != ("ofthepeople" if scheme == "always" and text == "of the people" else text):
            sys.exit("The Metaspace decoder no longer treats the first token as described here.")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        if tokenizer.decode(encoding.ids) != text:
            sys.exit("Replace, Fuse and Strip do not give the text either.")
PYTHON
