#!/usr/bin/env bash
# tiktoken 0.14.0 and tokenizers 0.23.3 (Python 3.11): what a pattern does not match, tiktoken leaves out of the ids.
#
# Both cut a text by a regular expression before they merge bytes. In the tokenizers library the text between two
# matches is a piece like any other; tiktoken takes the matches alone. A pattern that is complete in tokenizer.json, such
# as one that only sets numbers apart, loses every word in tiktoken, and a pattern of words loses the punctuation. All
# 256 bytes are in the vocabulary, nothing is unknown, and no error says that the ids no longer spell the text.
#
# Expected: the text comes back, or an error. Output seen, for "In 1905, E = mc2":
#   numbers of three digits: tokenizers "In 1905, E = mc2", tiktoken "19052"
#   words and blanks: tokenizers "In 1905, E = mc2", tiktoken "In 1905 E  mc2"
#   the pattern of GPT-2: tokenizers "In 1905, E = mc2", tiktoken "In 1905, E = mc2"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tiktoken==0.14.0' 'tokenizers==0.23.3'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

TEXT = "In 1905, E = mc2"
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
for name, pattern in {
    "numbers of three digits": r"\p{N}{1,3}",
    "words and blanks": r"\w+|\s+",
    "the pattern of GPT-2": GPT2,
}.items():
    engine = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    engine.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_alone])
    engine.decoder = decoders.ByteLevel()
    theirs = engine.decode(engine.encode(TEXT).ids)
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    found = encoding.decode(encoding.encode(TEXT))
    print(f'{name}: tokenizers "{theirs}", tiktoken "{found}"')
    if theirs != TEXT or (found == TEXT) != (pattern is GPT2):
        sys.exit("The two libraries no longer treat unmatched text as described here.")
PYTHON
