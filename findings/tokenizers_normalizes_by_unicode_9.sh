#!/usr/bin/env bash
# tokenizers 0.23.3 (Python 3.11): its normalizers know Unicode 9 of 2016, its pre-tokenizers Unicode 16.
#
# NFC and NFKC leave every character as it is that came after Unicode 9: the sign of Japan's era since 2019 stays one
# character under NFKC, where Python's unicodedata (Unicode 14) gives the two that the older era signs give too; and a
# vowel of Dives Akuru (Unicode 13) that is written as two characters is not composed by NFC. The same library's regular
# expressions know those characters as a symbol and as marks. A program that normalizes a text before it tokenizes, or a
# tokenizer ported to another language, gives other ids for them, and two spellings of one word stay two.
#
# Expected: the same from both. Output seen:
#   U+32FF NFKC: tokenizers U+32FF, unicodedata U+4EE4 U+548C, in a pattern of symbols: True
#   U+337E NFKC: tokenizers U+660E U+6CBB, unicodedata U+660E U+6CBB, in a pattern of symbols: True
#   U+11935 U+11930 NFC: tokenizers U+11935 U+11930, unicodedata U+11938, in a pattern of symbols: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tokenizers==0.23.3'
cd "$folder"
cat >normalize.py <<'PYTHON'
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers


def codes(text):
    return " ".join(f"U+{ord(character):04X}" for character in text)


symbols = pre_tokenizers.Split(Regex(r"\p{So}+"), "removed")
for text, form in [("\u32ff", "NFKC"), ("\u337e", "NFKC"), ("\U00011935\U00011930", "NFC")]:
    ours, pythons = getattr(normalizers, form)().normalize_str(text), unicodedata.normalize(form, text)
    is_symbol = not symbols.pre_tokenize_str(text)
    print(f"{codes(text)} {form}: tokenizers {codes(ours)}, unicodedata {codes(pythons)}, in a pattern of symbols: {is_symbol}")
PYTHON
venv/bin/python normalize.py >seen
cat seen
diff seen - <<'SEEN' || { echo "tokenizers no longer normalizes as described here." >&2; exit 1; }
U+32FF NFKC: tokenizers U+32FF, unicodedata U+4EE4 U+548C, in a pattern of symbols: True
U+337E NFKC: tokenizers U+660E U+6CBB, unicodedata U+660E U+6CBB, in a pattern of symbols: True
U+11935 U+11930 NFC: tokenizers U+11935 U+11930, unicodedata U+11938, in a pattern of symbols: False
SEEN
