#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3 (Python 3.11): AutoTokenizer drops the normalizer of a GPT-2's tokenizer.json.
#
# In a folder whose config.json says gpt2, AutoTokenizer takes the vocabulary, the merges and the post-processor from
# tokenizer.json and builds the rest itself, as GPT-2 has it: a normalizer is dropped, and a byte-level pre-tokenizer
# with use_regex=False or add_prefix_space=True becomes the usual one. No warning says so. The ids are valid, only not
# those that the model was trained on. A tokenizer_config.json with "tokenizer_class": "PreTrainedTokenizerFast" is what
# makes it read the file as it is.
#
# Expected: the ids that tokenizers gives for the same file. Output seen, by what is unlike GPT-2 in it:
#   nothing: the same ids; as PreTrainedTokenizerFast, the same ids
#   Lowercase: other ids; as PreTrainedTokenizerFast, the same ids
#   use_regex=False: other ids; as PreTrainedTokenizerFast, the same ids
#   add_prefix_space=True: other ids; as PreTrainedTokenizerFast, the same ids
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'tokenizers==0.23.3'
cd "$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON' || { tail -n 3 log >&2; exit 1; }
import json
import os
import sys

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

PLAIN = {"add_prefix_space": False, "use_regex": True}
CHANGES = {"nothing": {}, "Lowercase": {}, "use_regex=False": {"use_regex": False}}
CHANGES["add_prefix_space=True"] = {"add_prefix_space": True}
with open("config.json", "w") as file:
    json.dump({"model_type": "gpt2"}, file)
for change, options in CHANGES.items():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(**PLAIN | options)
    if change == "Lowercase":
        tokenizer.normalizer = normalizers.Lowercase()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["In the hall of the king"] * 9, trainer)
    tokenizer.save("tokenizer.json")
    ids, same = tokenizer.encode("In the hall of the king").ids, {}
    for name in ("", "PreTrainedTokenizerFast"):
        if name:
            with open("tokenizer_config.json", "w") as file:
                json.dump({"tokenizer_class": name}, file)
        same[name] = AutoTokenizer.from_pretrained(".")("In the hall of the king")["input_ids"] == ids
    os.remove("tokenizer_config.json")
    first, second = ("the same ids" if value else "other ids" for value in same.values())
    print(f"{change}: {first}; as PreTrainedTokenizerFast, {second}", flush=True)
    if list(same.values()) != [change == "nothing", True]:
        sys.exit("AutoTokenizer no longer rebuilds a GPT-2's tokenizer as described here.")
PYTHON
