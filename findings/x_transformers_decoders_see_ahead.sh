#!/usr/bin/env bash
# x-transformers 2.31.10 (torch 2.13.0, Python 3.11): three options let a Decoder see the tokens that it is to predict.
#
# A Decoder is causal: what it says of a position must not depend on later tokens. orthog_residual, mv_split_residual and
# attn_orthog_projected_values combine a layer's input and output in other ways than by a sum, and they do so over the
# whole text: two of them project along one vector made of all positions, the third subtracts the mean of all positions.
# So a little of every later token leaks into each position, and training finds it: on coin flips, where no model can do
# better than 1 bit per token, the loss falls almost to nothing. Nothing warns that such a loss means nothing: a text
# that is written token by token has no later tokens.
#
# Expected: no change, and 1 bit. Output seen, for 8 flips in a row and 500 steps of training:
#   none of them: the logits before the last token change with it by 0.000; loss on coin flips 1.00 bits
#   orthog_residual: the logits before the last token change with it by 0.003; loss on coin flips 0.00 bits
#   mv_split_residual: the logits before the last token change with it by 0.003; loss on coin flips 0.00 bits
#   attn_orthog_projected_values: the logits before the last token change with it by 0.025; loss on coin flips 0.18 bits
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'x-transformers==2.31.10'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

for option in ("none of them", "orthog_residual", "mv_split_residual", "attn_orthog_projected_values"):
    torch.manual_seed(0)
    settings = {} if option == "none of them" else {option: True}
    layers = Decoder(dim=32, depth=2, heads=4, **settings)
    model = TransformerWrapper(num_tokens=2, max_seq_len=8, attn_layers=layers)
    flips = torch.zeros(2, 8, dtype=torch.long)
    flips[1, -1] = 1
    with torch.no_grad():
        one, other = model(flips)
    change = (one - other)[:-1].abs().max().item()
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    losses = []
    for _ in range(500):
        loss = AutoregressiveWrapper(model)(torch.randint(2, (128, 8)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    bits = sum(losses[-20:]) / 20 / torch.tensor(2.0).log().item()
    told = f"the logits before the last token change with it by {change:.3f}; loss on coin flips {bits:.2f} bits"
    print(f"{option}: {told}")
    if (change > 0.0001, bits < 0.7) != (bool(settings), bool(settings)):
        sys.exit("Decoders no longer see ahead as described here.")
PYTHON
