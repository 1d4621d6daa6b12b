#!/usr/bin/env bash
# openvino-tokenizers 2026.4.1.0, transformers 5.24.0 (Python 3.11): a converted Metaspace makes one blank of two.
#
# convert_tokenizer() makes an OpenVINO model of a tokenizer, and refuses some parts that it cannot convert. Others change
# on the way. Metaspace, which marks blanks, marks one where there are two. Split takes a plain string for a regular
# expression: what is to be split at "." is split at every letter. WhitespaceSplit splits at punctuation as well. A BPE
# has an unknown token for each byte of an unknown letter, under fuse_unk too. A WordPiece takes words that are longer
# than max_input_chars_per_word. No warning is given, and all ids are valid. (A byte-level BPE like GPT-2's is converted
# as it should be.)
#
# Expected: the ids of tokenizers, or a refusal. Output seen:
#   Metaspace, BPE, "a  b": tokenizers ▁a ▁ ▁ b, OpenVINO ▁a ▁ b
#   Metaspace, Unigram, "a  b": tokenizers ▁a ▁ ▁ b, OpenVINO ▁a ▁ b
#   Split ".", "ab.ab": tokenizers ab . ab, OpenVINO a b . a b
#   WhitespaceSplit, "a.b ab": tokenizers a.b ab, OpenVINO a . b ab
#   an unknown letter, "aéb": tokenizers a ? b, OpenVINO a ? ? b
#   fuse_unk, "a日日b": tokenizers a ? b, OpenVINO a ? ? ? ? ? ? b
#   max_input_chars_per_word 2, "ab abb": tokenizers ab ?, OpenVINO ab ab ##b
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'openvino==2026.4.1' 'openvino-tokenizers==2026.4.1.0' 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import openvino
from openvino_tokenizers import convert_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

MERGES = [("a", "b"), ("▁", "a"), ("▁", "ab")]
LETTERS = ["?", "a", "b", ".", "▁"]


def numbered(tokens):
    return {token: n for n, token in enumerate(tokens)}


def bpe(pre, **settings):
    merged = ["".join(pair) for pair in MERGES]
    return pre, models.BPE(numbered([*LETTERS, *merged]), MERGES, unk_token="?", **settings)


def word_piece(pre, **settings):
    return pre, models.WordPiece(numbered(["?", "a", "b", ".", "ab", "a.b", "##b"]), unk_token="?", **settings)


unigram = models.Unigram([(token, -1.0) for token in [*LETTERS, "▁a"]], unk_id=0)
words, blanks = pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace()
cases = [
    ("Metaspace, BPE", bpe(blanks), "a  b", "▁a ▁ b"),
    ("Metaspace, Unigram", (blanks, unigram), "a  b", "▁a ▁ b"),
    ('Split "."', bpe(pre_tokenizers.Split(".", "isolated")), "ab.ab", "a b . a b"),
    ("WhitespaceSplit", word_piece(pre_tokenizers.WhitespaceSplit()), "a.b ab", "a . b ab"),
    ("an unknown letter", bpe(words), "aéb", "a ? ? b"),
    ("fuse_unk", bpe(words, fuse_unk=True), "a日日b", "a ? ? ? ? ? ? b"),
    ("max_input_chars_per_word 2", word_piece(words, max_input_chars_per_word=2), "ab abb", "ab ab ##b"),
]
for name, (pre, model), text, described in cases:
    original = Tokenizer(model)
    original.pre_tokenizer = pre
    wrapped = PreTrainedTokenizerFast(tokenizer_object=original, unk_token="?", pad_token="?")
    converted = openvino.Core().compile_model(convert_tokenizer(wrapped), "CPU")
    right = " ".join(original.encode(text).tokens)
    seen = " ".join(wrapped.convert_ids_to_tokens(converted([text])["input_ids"][0].tolist()))
    print(f'{name}, "{text}": tokenizers {right}, OpenVINO {seen}')
    if seen != described or seen == right:
        sys.exit("openvino-tokenizers no longer converts this as described here.")
PYTHON
