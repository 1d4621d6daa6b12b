#!/usr/bin/env bash
# torch 2.13.0 (Python 3.11): FlopCounterMode counts no attention at all on the CPU.
#
# torch.utils.flop_counter has a formula for each kind of attention on a GPU, but none for the one that
# scaled_dot_product_attention takes on the CPU (aten._scaled_dot_product_flash_attention_for_cpu), and an operation
# without a formula counts as nothing. So the products of queries, keys and values, which grow with the square of the
# context, are missing, forward and backward, and no warning is given. Under sdpa_kernel(SDPBackend.MATH), where the
# same attention is made of plain products, all are counted.
#
# Expected: 2 operations for each product of two numbers. Output seen, for projections of width 256 and the attention
# between them, forward and backward (the full square, as this counter always counts it):
#   256 tokens: as it is, 100.0% of the projections and 0.0% of the attention
#   2048 tokens: as it is, 100.0% of the projections and 0.0% of the attention
#   2048 tokens: with SDPBackend.MATH, 100.0% of the projections and 100.0% of the attention
#   at 2048 tokens the attention is 80.0% of all operations
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import contextlib
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

WIDTH, HEADS = 256, 4
torch.manual_seed(0)
first, last = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)


def counted(tokens):
    x = torch.randn(1, tokens, WIDTH, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        parts = first(x).view(1, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        last(mixed.transpose(1, 2).reshape(1, tokens, WIDTH)).sum().backward()
    operations = counter.get_flop_counts()["Global"]
    plain = sum(n for name, n in operations.items() if str(name) in ("aten.addmm", "aten.mm"))
    return plain, sum(operations.values()) - plain


for tokens, way, share in ((256, None, 0), (2048, None, 0), (2048, SDPBackend.MATH, 1)):
    plain, attention = 3 * 2 * tokens * WIDTH * 4 * WIDTH, 3 * 2 * 2 * tokens * tokens * WIDTH
    with sdpa_kernel(way) if way else contextlib.nullcontext():
        found = counted(tokens)
    name = f"with SDPBackend.{way.name}" if way else "as it is"
    found = found[0] / plain, found[1] / attention
    print(f"{tokens} tokens: {name}, {found[0]:.1%} of the projections and {found[1]:.1%} of the attention", flush=True)
    if abs(found[0] - 1) > 0.001 or abs(found[1] - share) > 0.001:
        sys.exit("FlopCounterMode no longer counts as described here.")
print(f"at {tokens} tokens the attention is {attention / (plain + attention):.1%} of all operations")
PYTHON
