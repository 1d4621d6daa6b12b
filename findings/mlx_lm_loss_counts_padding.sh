#!/usr/bin/env bash
# mlx-lm 0.32.2 (mlx 0.32.4, CPU, Python 3.11): its loss counts a token that no text has, but not the longest texts.
#
# The texts of a batch are padded with token 0, and the mask that is to leave the padding out ends one token too late. So
# mlx_lm.lora trains a model to write token 0 after the end of each text, and the loss it reports is a mean over that too:
# of a completion of one token, under mask_prompt, it is half. The batches are cut from the texts in the order of their
# length, and what is left for no whole batch is dropped. These are always the longest texts: no epoch trains them, and
# evaluate() does not measure them. Nothing is said about either.
#
# Expected: the mean loss of the tokens that the texts have. Output seen, for a model that always gives the tokens 0, 1
# and 2 the probabilities 0.01, 0.69 and 0.30, in batches of 4:
#   4 texts of two tokens 1: evaluate() 2.488, the texts' own loss 0.371
#   the same and a text of twenty tokens 2: evaluate() 2.488, the texts' own loss 1.059
#   the longest text in 100 epochs: 2 tokens
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' 'mlx-lm==0.32.2'
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from math import log

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.tuner.trainer import evaluate, iterate_batches

PROBABILITIES = [0.01, 0.69, 0.30]


class Constant(nn.Module):
    """Gives each token the same probability, whatever was before it."""

    def __call__(self, ids):
        return mx.broadcast_to(mx.array(PROBABILITIES).log(), (*ids.shape, 3))


short, long = [1] * 2, [2] * 20
cases = {"4 texts of two tokens 1": [short] * 4, "the same and a text of twenty tokens 2": [short] * 4 + [long]}
for name, texts in cases.items():
    data = [(text, 0) for text in texts]  # 0: no part of it is a prompt
    seen = evaluate(Constant(), data, batch_size=4, num_batches=-1)
    losses = [-log(PROBABILITIES[token]) for text in texts for token in text[1:]]
    true = sum(losses) / len(losses)
    print(f"{name}: evaluate() {seen:.3f}, the texts' own loss {true:.3f}")
    if abs(seen - true) < 0.01:
        sys.exit("mlx-lm no longer counts padding as described here.")
longest = max(lengths[:, 1].max().item() for _ in range(100) for _, lengths in iterate_batches(data, 4, 2048))
print(f"the longest text in 100 epochs: {longest} tokens")
if longest != len(short):
    sys.exit("mlx-lm no longer leaves out the longest texts.")
PYTHON
