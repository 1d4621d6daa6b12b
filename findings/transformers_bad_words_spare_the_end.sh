#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): bad_words_ids forbids any token but the one that ends a text.
#
# generate() never writes the tokens in bad_words_ids, the documentation says. The end-of-text token is taken off that
# list before it is used, silently, so a text that must not end yet ends all the same. suppress_tokens, which takes the
# ids without the inner brackets, forbids the end as well, and so does sequence_bias.
#
# Expected: the best token that is not forbidden. Output seen, for a model that always ranks its tokens 0 (the end), 1, 2:
#   nothing forbidden: [0]
#   bad_words_ids [[0]]: [0]
#   bad_words_ids [[0], [1]]: [0]
#   suppress_tokens [0]: [1, 1, 1]
#   suppress_tokens [0, 1]: [2, 2, 2]
#   sequence_bias -100 for (0,): [1, 1, 1]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
cd "$folder"
cat >write.py <<'PYTHON'
import torch
from transformers import GPT2Config, GPT2LMHeadModel

size = {"vocab_size": 8, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False)).eval()
with torch.no_grad():  # a last norm of bias alone, and a head that reads its first channel
    model.transformer.ln_f.weight.zero_()
    model.transformer.ln_f.bias.zero_()[0] = 1
    model.lm_head.weight[:, 0] = -torch.arange(8.0)
prompt = torch.tensor([[5, 6]])
for name, options in {
    "nothing forbidden": {},
    "bad_words_ids [[0]]": {"bad_words_ids": [[0]]},
    "bad_words_ids [[0], [1]]": {"bad_words_ids": [[0], [1]]},
    "suppress_tokens [0]": {"suppress_tokens": [0]},
    "suppress_tokens [0, 1]": {"suppress_tokens": [0, 1]},
    "sequence_bias -100 for (0,)": {"sequence_bias": {(0,): -100.0}},
}.items():
    known = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    print(f"{name}: {model.generate(prompt, **known, **options)[0, 2:].tolist()}", flush=True)
PYTHON
venv/bin/python -W ignore write.py >seen 2>log || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "bad_words_ids no longer spares the end as described here." >&2; exit 1; }
nothing forbidden: [0]
bad_words_ids [[0]]: [0]
bad_words_ids [[0], [1]]: [0]
suppress_tokens [0]: [1, 1, 1]
suppress_tokens [0, 1]: [2, 2, 2]
sequence_bias -100 for (0,): [1, 1, 1]
SEEN
