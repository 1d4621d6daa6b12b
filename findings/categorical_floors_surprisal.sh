#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): torch.distributions.Categorical(probs=p) puts a floor under every log-probability.
#
# Given probabilities, Categorical clamps them to the machine epsilon before it takes the logarithm. In float32 no token
# is less likely than 1.2e-7, or 23 bits; in bfloat16 none is less likely than 1/128, or 7 bits: whatever the model
# thinks of a rare token, its surprisal is the same. `.probs` and the samples are right, so only log_prob (a perplexity,
# a policy gradient) and whatever is computed from it come out wrong, silently. Given logits, there is no floor.
#
# Expected: log_prob is the logarithm of the probability. Output seen:
#   float32: the probability is 9.4e-14, its log is -30.00, log_prob from probs is -15.94, from logits -30.00
#   bfloat16: the probability is 5.6e-03, its log is -5.19, log_prob from probs is -4.84, from logits -5.19
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import torch
from torch.distributions import Categorical

for dtype, distance in ((torch.float32, 30.0), (torch.bfloat16, 5.1875)):
    logits = torch.tensor([0.0, -distance], dtype=dtype)
    probability = logits.softmax(0)[1].item()
    token = torch.tensor(1)
    by_probs = Categorical(probs=logits.softmax(0)).log_prob(token).item()
    by_logits = Categorical(logits=logits).log_prob(token).item()
    print(
        f"{str(dtype).removeprefix('torch.')}: the probability is {probability:.1e}, its log is "
        f"{math.log(probability):.2f}, log_prob from probs is {by_probs:.2f}, from logits {by_logits:.2f}"
    )
    floor = math.log(torch.finfo(dtype).eps)
    if abs(by_probs - floor) > 0.02 or abs(by_logits - math.log(probability)) > 0.03:
        sys.exit("Categorical no longer raises the log-probability to that of the machine epsilon.")
PYTHON
