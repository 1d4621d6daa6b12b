#!/usr/bin/env bash
# tokenizers 0.23.3 (Python 3.11): a BPE trainer learns merges of its own special tokens, letter by letter.
#
# When a text is encoded, special tokens are cut out before anything else. When a tokenizer is trained, they are not: the
# "<|endoftext|>" between two documents is text like any other, although the trainer was told that it is special. In a
# corpus of short documents it is one of the most frequent strings, so its pieces are merged first. Those merges can
# never be used afterwards, and each has taken the place, and the row in the embedding, of one that could.
#
# Expected: the separators have no part in training. Output seen:
#   separators in the text: 10 of 50 merges are pieces of it that encoding never uses
#   one item per document: 0 of 50 merges are pieces of it that encoding never uses
#   they are <|, do, doft, en, endoft, endoftext, ex, ext, ft, |>
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'tokenizers==0.23.3'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

END = "<|endoftext|>"
WORDS = "river stone maple silver copper signal basket harbour mirror forest planet summer".split()
documents = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS[:3]]


def merges(items):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    size = 1 + len(alphabet) + 50
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(items, trainer)
    return tokenizer, sorted(token for token in tokenizer.get_vocab() if len(token) > 1 and token != END)


text = END.join(documents)
wasted = {}
for name, items in {"separators in the text": [text], "one item per document": documents}.items():
    tokenizer, learned = merges(items)
    used = set(tokenizer.encode(text).tokens)
    wasted[name] = sorted(token for token in learned if token in END and token not in used)
    words = "merges are pieces of it that encoding never uses"
    print(f"{name}: {len(wasted[name])} of {len(learned)} {words}")
first, second = wasted.values()
print(f"they are {', '.join(first)}")
if len(first) < 5 or second:
    sys.exit("Special tokens in the training text are no longer learned in vain.")
PYTHON
