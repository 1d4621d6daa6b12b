#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): with beams, a repetition penalty spares the tokens that repeat most.
#
# With one beam, the penalty divides a positive logit and multiplies a negative one, so a token that has been written
# falls behind others. With two or more, log_softmax comes first: all that the penalty sees is negative, and it
# multiplies log-probabilities. That of a likely token is close to 0, and stays small. A penalty that ends a loop with
# one beam does nothing with two, and hits hardest those written tokens that are unlikely anyway.
#
# Expected: one effect for any number of beams. Output seen, for logits of 10 for a, and 5, 4, 3, ... for b, c, d, ...:
#   penalty 1.0: one beam writes aaaaaaaa, two beams write aaaaaaaa
#   penalty 3.0: one beam writes abcaaaaa, two beams write aaaaaaaa
#   penalty 99.0: one beam writes abcdefgh, two beams write aaaaaaaa
#   after an a, a penalty of 99.0 makes 10.00 of it 0.10 with one beam, and -0.011 of it -1.057 with two
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel

LETTERS = "xabcdefgh"
LOGITS = torch.tensor([-9.0, 10.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.4])
size = {"vocab_size": len(LETTERS), "n_positions": 32, "n_embd": 8, "n_layer": 1, "n_head": 1}
model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=None, eos_token_id=None)).eval()
with torch.no_grad():  # the same logits after every text
    for weight in model.parameters():
        weight.zero_()
    model.transformer.ln_f.bias[0] = 1.0
    model.transformer.wte.weight[:, 0] = LOGITS


def written(penalty, beams):
    """Eight letters after an x, and what the penalty made of the score of the letter a after the first a."""
    settings = {"max_new_tokens": 8, "do_sample": False, "num_beams": beams, "repetition_penalty": penalty}
    show = {"output_scores": True, "return_dict_in_generate": True, "pad_token_id": 0}
    prompt = torch.tensor([[0]])
    result = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings, **show)
    return "".join(LETTERS[token] for token in result.sequences[0, 1:]), result.scores[1][0, 1].item()


found = {}
for penalty in (1.0, 3.0, 99.0):
    (one, score), (two, log_score) = (written(penalty, beams) for beams in (1, 2))
    print(f"penalty {penalty}: one beam writes {one}, two beams write {two}", flush=True)
    found[penalty] = (one, two)
print(
    f"after an a, a penalty of 99.0 makes {LOGITS[1]:.2f} of it {score:.2f} with one beam, "
    f"and {LOGITS.log_softmax(0)[1]:.3f} of it {log_score:.3f} with two"
)
loop = "a" * 8
if found[1.0] != (loop, loop) or any(one == loop or two != loop for one, two in (found[3.0], found[99.0])):
    sys.exit("A repetition penalty no longer acts on log-probabilities where there are beams.")
PYTHON
