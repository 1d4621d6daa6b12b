#!/usr/bin/env bash
# keras-hub 0.32.0, keras 3.15.1 (jax 0.10.2, Python 3.11): beam search counts what it writes after the end of a text.
#
# A beam that has written the end is finished: its probability is the text's. BeamSampler stops when all beams hold an
# end, and until then it lengthens the finished ones like the others: each token after the end lowers the probability of
# the text before it. So short texts lose to less likely ones, or drop out of the beams, and the search can do worse
# than greedy decoding. In a batch it begins where the shortest prompt ends. In the longer ones the next tokens are
# known, but every beam is scored by the token that it would have written, then gets the known one: all are now the same
# text with different scores, and copies take the places of other continuations. No warning is given.
#
# Expected: the most likely text, which two beams can find, the same in a batch. Output seen, for a model whose next
# token depends on the last one alone:
#   after a: b b b b (probability 0.15), greedy: end (probability 0.50)
#   after c d: f g end (probability 0.45)
#   after c d, beside c: e b b b (probability 0.09)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'keras==3.15.1' 'jax==0.10.2' 'jaxlib==0.10.2' 'numpy==2.4.6'
"$folder/venv/bin/pip" install --quiet 'regex==2026.11.19' 'tokenizers==0.23.3'
"$folder/venv/bin/pip" install --quiet --no-deps 'keras-hub==0.32.0' # samplers do without tensorflow-text
cd "$folder"
cat >search.py <<'PYTHON'
import math

import jax.numpy as jnp
from keras_hub.samplers import BeamSampler, GreedySampler

NAMES = ["pad", "end", "a", "b", "c", "d", "e", "f", "g"]
NEXT = {
    "a": {"end": 0.5, "b": 0.3, "g": 0.2},
    "b": {"b": 0.8, "g": 0.2},
    "c": {"a": 0.4, "b": 0.36, "d": 0.24},
    "d": {"e": 0.55, "f": 0.45},
    "e": {"b": 0.25, "a": 0.24, "c": 0.24, "d": 0.24, "g": 0.03},
    "f": {"g": 1.0},
    "g": {"end": 1.0},
    "end": {"a": 0.25, "b": 0.25, "c": 0.25, "g": 0.25},
    "pad": {"end": 1.0},
}
logits = jnp.log(jnp.array([[NEXT[name].get(token, 1e-9) for token in NAMES] for name in NAMES]))


def step(prompt, cache, index):
    return logits[jnp.take(prompt, index - 1, axis=1)], None, cache


def written(sampler, prompts, tokens=4):
    """What is written after the first prompt, up to its end, and its probability."""
    length = max(len(prompt) for prompt in prompts) + tokens
    ids = [[NAMES.index(token) for token in prompt] + [0] * (length - len(prompt)) for prompt in prompts]
    mask = [[place < len(prompt) for place in range(length)] for prompt in prompts]
    start = min(len(prompt) for prompt in prompts)
    found = sampler(step, jnp.array(ids), index=start, mask=jnp.array(mask), stop_token_ids=[1])[0]
    text = [NAMES[token] for token in found]
    text = text[: text.index("end") + 1 if "end" in text else None]
    first = len(prompts[0])
    probability = math.prod(NEXT[text[i - 1]][text[i]] for i in range(first, len(text)))
    return f"{' '.join(text[first:])} (probability {probability:.2f})"


beams = BeamSampler(num_beams=2)
print("after a:", written(beams, ["a"]), end=", ")
print("greedy:", written(GreedySampler(), ["a"]))
print("after c d:", written(beams, ["cd"]))
print("after c d, beside c:", written(beams, ["cd", "c"]))
PYTHON
KERAS_BACKEND=jax JAX_PLATFORMS=cpu venv/bin/python -W ignore search.py >seen 2>log || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "keras-hub no longer searches as described here." >&2; exit 1; }
after a: b b b b (probability 0.15), greedy: end (probability 0.50)
after c d: f g end (probability 0.45)
after c d, beside c: e b b b (probability 0.09)
SEEN
