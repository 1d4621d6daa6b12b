#!/usr/bin/env bash
# tokenizers 0.23.3 (Python 3.11): an added token "Zürich" comes back with a hole, while "Łódź" is safe.
#
# A byte-level tokenizer writes each byte as a letter, and some of these letters are real ones: "ü" stands for the byte
# FC. Added tokens are kept as they are typed, but the ByteLevel decoder sends them through the same table as all others.
# If every letter of an added token happens to be one of the table's 256, it is turned into bytes that are no UTF-8, and
# "ü" becomes a replacement character. One letter outside the table, such as the "ź" in "Łódź", saves the token whole.
#
# Expected: added tokens decode to what was added. Output seen, with * for U+FFFD:
#   'Zürich' encodes to ['Zürich'] and decodes to 'Z*rich'
#   'España' encodes to ['España'] and decodes to 'Espa*a'
#   'Łódź' encodes to ['Łódź'] and decodes to 'Łódź'
#   not added, 'Zürich' decodes to 'Zürich'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tokenizers==0.23.3'
PYTHONUTF8=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers


def byte_level():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


tokenizer = byte_level()
tokenizer.add_tokens(["Zürich", "España", "Łódź"])
for word, seen in {"Zürich": "Z\ufffdrich", "España": "Espa\ufffda", "Łódź": "Łódź"}.items():
    encoding = tokenizer.encode(word)
    text = tokenizer.decode(encoding.ids)
    print(f"{word!r} encodes to {encoding.tokens} and decodes to {text.replace(chr(0xFFFD), '*')!r}")
    if encoding.tokens != [word] or text != seen:
        sys.exit(f"The added token {word!r} no longer decodes to {seen!r}.")

plain = byte_level()
text = plain.decode(plain.encode("Zürich").ids)
print(f"not added, 'Zürich' decodes to {text!r}")
if text != "Zürich":
    sys.exit("The tokenizer loses 'Zürich' even as ordinary text.")
PYTHON
