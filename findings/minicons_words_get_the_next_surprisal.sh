#!/usr/bin/env bash
# minicons 0.3.39, transformers 5.24.0 (torch 2.13.0, Python 3.11): each word gets the surprisal of the word after it.
#
# word_score_tokenized adds up the surprisals of a word's tokens. It finds them by counting: it asks how many tokens
# each word has, and takes as many from the list of surprisals. That list has none for the first token of a text, which
# nothing precedes; so with a GPT-2, which puts no token in front of a text by itself, all words are off by a token, and
# the last one has too few: its surprisal is 0 where it should be the sum of one. bos_token=True, of which the docstring
# only says to set it for GPT-2, is right. The words are counted one by one, each with a blank before it: where the
# split function cuts inside a word, as the one of the Penn Treebank does (do n't), the count is another than the
# text's, and the words that follow are off as well. No warning is given.
#
# Expected: the surprisal of each word, or none for the first. Output seen, for each word the tokens whose surprisal it
# has:
#   I do see it, by default: I [do], do [see], see [it], it []
#   I do see it, bos_token=True: I [I], do [do], see [see], it [it]
#   I don't see it, bos_token=True, split at blanks: I [I], don't [don 't], see [see], it [it]
#   I don't see it, bos_token=True, split as in the Penn Treebank: I [I], do [don], n't ['t see], see [it], it []
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'minicons==0.3.39' 'transformers==5.24.0' 'numpy==2.4.6'
cd "$folder"
cat >score.py <<'PYTHON'
import itertools
import re

import torch
from minicons.scorer import IncrementalLMScorer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=1000, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False)
bpe.train_from_iterator(["I don't see it", "I do see it", "do n"] * 9, trainer)  # as GPT-2: don 't, and n 't for n't
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<end>", eos_token="<end>", pad_token="<end>")
torch.manual_seed(0)
config = GPT2Config(vocab_size=len(tokenizer), n_positions=32, n_embd=32, n_layer=1, n_head=2, initializer_range=0.3)
model = GPT2LMHeadModel(config).eval()
scorer = IncrementalLMScorer(model, "cpu", tokenizer=tokenizer)


def words(text, split, bos_token):
    """Each word, and the tokens whose surprisals add up to its own."""
    prefix = "<end>" if bos_token else ""
    ids = torch.tensor([tokenizer(prefix + text)["input_ids"]])
    with torch.no_grad():
        surprisals = -model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    tokens = [tokenizer.decode([i]).strip() for i in ids[0, 1:]]
    runs = [(i, j) for i, j in itertools.combinations(range(len(tokens) + 1), 2)] + [(0, 0)]
    for word, score in scorer.word_score_tokenized(text, split, bos_token=bos_token, surprisal=True)[0]:
        first, end = min(runs, key=lambda run: abs(surprisals[slice(*run)].sum() - score))
        yield f"{word} [{' '.join(tokens[first:end])}]"


def treebank(text):
    return re.sub("n't", " n't", text).split()


print("I do see it, by default:", ", ".join(words("I do see it", str.split, False)))
print("I do see it, bos_token=True:", ", ".join(words("I do see it", str.split, True)))
for name, split in {"at blanks": str.split, "as in the Penn Treebank": treebank}.items():
    print(f"I don't see it, bos_token=True, split {name}:", ", ".join(words("I don't see it", split, True)))
PYTHON
venv/bin/python -W ignore score.py >seen 2>log || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "minicons no longer counts tokens as described here." >&2; exit 1; }
I do see it, by default: I [do], do [see], see [it], it []
I do see it, bos_token=True: I [I], do [do], see [see], it [it]
I don't see it, bos_token=True, split at blanks: I [I], don't [don 't], see [see], it [it]
I don't see it, bos_token=True, split as in the Penn Treebank: I [I], do [don], n't ['t see], see [it], it []
SEEN
