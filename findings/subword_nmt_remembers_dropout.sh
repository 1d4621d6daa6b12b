#!/usr/bin/env bash
# subword-nmt 0.3.8 (Python 3.11): a word that was read with dropout keeps its pieces when it is read without.
#
# BPE dropout leaves out merges at random, so that a model sees a word in other pieces each time that it trains on it. For
# all else the dropout is 0, and each word has one division. BPE.process_line(line, dropout) takes both kinds of calls. It
# remembers the pieces of each word and does not ask for them under dropout, but it goes on storing them: the next call
# without dropout gets what chance left. So a validation text is divided at random wherever training has met its words,
# and no two runs measure the same. Glossaries and words that have not been read yet are as they should be.
#
# Expected: one division without dropout. Output seen, for a dropout of 1, which leaves out all merges:
#   without dropout: lower newest
#   with dropout: l@@ o@@ w@@ e@@ r n@@ e@@ w@@ e@@ s@@ t
#   without dropout, again: l@@ o@@ w@@ e@@ r n@@ e@@ w@@ e@@ s@@ t
#   of a new BPE, without dropout: lower newest
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'subword-nmt==0.3.8'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import io
import sys

from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

LINE = "lower newest"
LETTERS = " ".join("@@ ".join(word) for word in LINE.split())
codes = io.StringIO()
learn_bpe(io.StringIO("lower newest " * 20), codes, 20)


def new():
    codes.seek(0)
    return BPE(codes)


bpe = new()
seen = {
    "without dropout": bpe.process_line(LINE),
    "with dropout": bpe.process_line(LINE, dropout=1.0),
    "without dropout, again": bpe.process_line(LINE),
    "of a new BPE, without dropout": new().process_line(LINE),
}
for name, pieces in seen.items():
    print(f"{name}: {pieces}")
if list(seen.values()) != [LINE, LETTERS, LETTERS, LINE]:
    sys.exit("subword-nmt no longer remembers dropout as described here.")
PYTHON
