#!/usr/bin/env bash
# jax 0.10.2 (NumPy 2.4.6, Python 3.11): jax.random.categorical never draws the rarer tokens of bfloat16 logits.
#
# It adds Gumbel noise to the logits and takes the largest sum. The noise has the type of the logits, and in bfloat16 it
# has 128 values, of which the largest is 4.8. The common tokens get that one often enough: of 50,257 tokens by Zipf's
# law, only about the first 150 are ever drawn, which have half of the probability. Where all tokens are equally likely,
# many share the largest sum, and the first of them wins. The docstring speaks of float32 alone, where a bias begins at
# probabilities of 1e-7. Logits that are made float32 before the call are drawn as they should be.
#
# Expected: bfloat16 rounds each logit, so each probability is off by a few percent. Output seen, for 4,000 draws:
#   float32: the most frequent token in 9.4% (probability 8.8%), those beyond rank 1,000 in 33.5% (34.4%)
#   bfloat16: the most frequent token in 25.4% (probability 8.8%), those beyond rank 1,000 in 0.0% (34.3%)
#   float32, all tokens equally likely: 50.2% of the draws from the first half of the vocabulary
#   bfloat16, all tokens equally likely: 100.0% of the draws from the first half of the vocabulary
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6'
JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np

VOCABULARY, DRAWS = 50257, 4000
zipf = -np.log(np.arange(1, VOCABULARY + 1))


def drawn(logits, dtype):
    return np.asarray(jax.random.categorical(jax.random.key(0), jnp.asarray(logits, dtype), shape=(DRAWS,)))


found = {}
for dtype in (jnp.float32, jnp.bfloat16):
    name, tokens = dtype.__name__, drawn(zipf, dtype)
    probabilities = np.asarray(jax.nn.softmax(jnp.asarray(zipf, dtype).astype(jnp.float32)))
    first, rare = (tokens == 0).mean(), (tokens >= 1000).mean()
    print(
        f"{name}: the most frequent token in {first:.1%} (probability {probabilities[0]:.1%}), "
        f"those beyond rank 1,000 in {rare:.1%} ({probabilities[1000:].sum():.1%})"
    )
    found[name] = (first, rare)
for dtype in (jnp.float32, jnp.bfloat16):
    half = (drawn(np.zeros(VOCABULARY), dtype) < VOCABULARY // 2).mean()
    print(f"{dtype.__name__}, all tokens equally likely: {half:.1%} of the draws from the first half of the vocabulary")
    found[dtype.__name__] += (half,)
(first, rare, half), even = found["bfloat16"], found["float32"]
if first < 0.2 or rare > 0.01 or half < 0.99 or even[0] > 0.12 or even[1] < 0.3 or not 0.45 < even[2] < 0.55:
    sys.exit("jax.random.categorical no longer treats bfloat16 logits as described here.")
PYTHON
