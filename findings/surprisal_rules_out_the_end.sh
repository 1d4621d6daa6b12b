#!/usr/bin/env bash
# surprisal 0.1.7, transformers 5.24.0 (torch 2.13.0, Python 3.11): no token is as surprising as the model finds it.
#
# The package surprisal measures how many nats a causal model needs for each token of a text. It sets the logit of the
# end-of-text token to minus infinity before the softmax, at every position, because it uses that token for padding. So
# what it measures is the surprisal given that the text does not end here: each one is too low by -log(1 - P(end)).
# Inside a sentence that is little, but after its full stop, where a model that was trained on short texts expects an
# end, it can be most of it. A single text, which needs no padding, gets the same numbers.
#
# Expected: minus the model's log-probabilities. Output seen, for a model that ends half of its texts after a full stop:
#   token  surprisal  the model's
#   a      5.55       5.55
#   .      5.55       5.55
#   b      5.55       6.24
#   .      5.55       5.55
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'surprisal==0.1.7'
cd "$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON' || { tail -n 3 log >&2; exit 1; }
import math
import sys

import torch
from surprisal import AutoHuggingFaceModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

letters = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
engine = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
engine.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine, bos_token=letters[0], eos_token=letters[0])
size = {"vocab_size": len(letters), "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
config = GPT2Config(**size, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False)
model = GPT2LMHeadModel(config).eval()
with torch.no_grad():  # the residual stream is 3 in channel 0 after a full stop, and in channel 1 after anything else
    for weight in model.parameters():
        weight.zero_()
    model.transformer.wte.weight[:, 1] = 3
    model.transformer.wte.weight[letters.index("."), :2] = torch.tensor([3.0, 0.0])
    model.transformer.ln_f.weight.fill_(1)
    after_stop = model.transformer.ln_f(torch.tensor([3.0] + [0.0] * 15))[0]
    model.lm_head.weight[0, 0] = math.log(len(letters) - 1) / after_stop  # as likely as all others together
for each in (model, tokenizer):
    each.save_pretrained("gpt2")
ids = engine.encode("a.b.").ids
with torch.no_grad():
    true = -model(torch.tensor([[0, *ids]])).logits[0, :-1].log_softmax(-1)[range(len(ids)), ids]
found = AutoHuggingFaceModel.from_pretrained("gpt2", model_class="causal").surprise("a.b.")[0].surprisals
print("token  surprisal  the model's")
for token, ours, theirs in zip("a.b.", true.tolist(), found.tolist(), strict=True):
    print(f"{token:<6} {theirs:<10.2f} {ours:.2f}")
if abs(true[2] - found[2] - math.log(2)) > 0.01:
    sys.exit("surprisal no longer leaves the end of a text out of the softmax.")
PYTHON
