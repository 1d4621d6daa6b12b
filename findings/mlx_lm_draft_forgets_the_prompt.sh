#!/usr/bin/env bash
# mlx-lm 0.32.2 (mlx 0.32.4, CPU, Python 3.11): with a draft model, penalties spare what the prompt says.
#
# A draft model proposes tokens, and the model checks several at once: it writes the same greedy text in less time. Without
# a draft, repetition_penalty, presence_penalty and frequency_penalty look at the prompt and at what has been written, and
# so does any logits processor. With one, they get what has been written and the last token of the prompt: the rest of the
# prompt counts as never said. The greedy text is another, even where the model is its own draft. Nothing is said.
#
# Expected: one greedy text. Output seen, for a prompt of the tokens 0, 1, 2, 3, and a model that always ranks its tokens
# 0, 1, 2, ...:
#   no penalty: 0 0 0 0, with a draft 0 0 0 0
#   repetition_penalty: 4 5 6 7, with a draft 0 1 2 4
#   presence_penalty: 4 5 6 7, with a draft 0 1 2 4
#   frequency_penalty: 4 5 6 7, with a draft 0 1 2 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' 'mlx-lm==0.32.2'
cd "$folder"
cat >write.py <<'PYTHON'
import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.sample_utils import make_logits_processors


class Constant(nn.Module):
    """Ranks the tokens 0, 1, 2, ..., whatever was before, and so has nothing to keep in a cache."""

    layers = []

    def __call__(self, ids, cache=None):
        return mx.broadcast_to(mx.arange(20.0, 0.0, -1.0), (*ids.shape, 20))


model, prompt = Constant(), mx.array([0, 1, 2, 3])
for penalty in (None, "repetition_penalty", "presence_penalty", "frequency_penalty"):
    settings = {"max_tokens": 4, "logits_processors": make_logits_processors(**({penalty: 50.0} if penalty else {}))}
    without = [int(token) for token, _ in generate_step(prompt, model, **settings)]
    with_draft = [int(token) for token, *_ in speculative_generate_step(prompt, model, model, **settings)]
    print(f"{penalty or 'no penalty'}:", *without, end=", ")
    print("with a draft", *with_draft)
PYTHON
venv/bin/python -W ignore write.py >seen
cat seen
diff seen - <<'SEEN' || { echo "mlx-lm no longer treats a prompt as described here." >&2; exit 1; }
no penalty: 0 0 0 0, with a draft 0 0 0 0
repetition_penalty: 4 5 6 7, with a draft 0 1 2 4
presence_penalty: 4 5 6 7, with a draft 0 1 2 4
frequency_penalty: 4 5 6 7, with a draft 0 1 2 4
SEEN
