#!/usr/bin/env bash
# captum 0.9.0, transformers 5.24.0 (torch 2.13.0, Python 3.11): LLMAttribution reads the prompt again for each token.
#
# LLMAttribution asks a model for a target token by token, with a cache of keys and values (use_cached_outputs, True by
# default). It hands the whole text to prepare_inputs_for_generation, which in transformers 4.57.3 cuts off what the
# cache holds already, and in 5.24.0 does not. So the model reads the prompt twice for the second token, and three times
# for the third. Their log-probabilities are not the model's, nor is what is attributed to the tokens of the prompt: of
# the target's tokens only the first is right. No warning is given. With use_cached_outputs=False, all are right.
#
# Expected: by how much a log-probability falls as FeatureAblation replaces a letter of the prompt. Output seen:
#   transformers 4.57.3, with the cache: log-probabilities right, right, right; attributions right, right, right
#   transformers 5.24.0, with the cache: log-probabilities right, wrong, wrong; attributions right, wrong, wrong
#   transformers 5.24.0, without it: log-probabilities right, right, right; attributions right, right, right
#   "y": log-probability -5.18, not -6.32; attributions [-0.56, -0.01, -0.22, 0.06], not [-1.22, 0.04, -0.47, 0.06]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'captum==0.9.0'
cat >"$folder/attribute.py" <<'PYTHON'
import sys

import torch
import transformers
from captum.attr import FeatureAblation, LLMAttribution, TextTokenInput
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

letters = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
engine = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
engine.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=engine, eos_token=letters[0])
torch.manual_seed(0)
size = {"vocab_size": len(letters), "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
model = GPT2LMHeadModel(GPT2Config(**size, initializer_range=0.3, bos_token_id=0, eos_token_id=0)).eval()
prompt, target = engine.encode("abcd").ids, engine.encode("xyz").ids


def log_probabilities(prompt):
    with torch.no_grad():
        logits = model(torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1)[range(3), target]


true = log_probabilities(prompt)
without = [log_probabilities([*prompt[:i], 0, *prompt[i + 1 :]]) for i in range(4)]  # captum's baseline is token 0
fall = torch.stack([true - other for other in without], 1)
new = transformers.__version__.startswith("5")
for cached in (True, False) if new else (True,):
    seen = []
    result = LLMAttribution(FeatureAblation(model), tokenizer).attribute(
        TextTokenInput("abcd", tokenizer),
        target="xyz",
        use_cached_outputs=cached,
        _inspect_forward=lambda prompt, text, probabilities: seen.append(torch.tensor(probabilities[1:]).log()),
    )
    right = [(seen[0] - true).abs() < 0.001, (result.token_attr - fall).abs().amax(1) < 0.001]
    words = (", ".join("right" if each else "wrong" for each in row) for row in right)
    name = f"transformers {transformers.__version__}, with{' the cache' if cached else 'out it'}"
    print(f"{name}: log-probabilities {next(words)}; attributions {next(words)}")
    if cached and new:
        ours, theirs = ([round(x, 2) for x in row[1].tolist()] for row in (fall, result.token_attr))
        note = f'"y": log-probability {seen[0][1]:.2f}, not {true[1]:.2f}; attributions {theirs}, not {ours}'
    if any(row.tolist() != [True, *[not (cached and new)] * 2] for row in right):
        sys.exit("LLMAttribution no longer differs from the model as described here.")
if new:
    print(note)
PYTHON
for version in 4.57.3 5.24.0; do
  "$folder/venv/bin/pip" install --quiet "transformers==$version"
  "$folder/venv/bin/python" -W ignore "$folder/attribute.py" 2>"$folder/log" || { tail -n 3 "$folder/log" >&2; exit 1; }
done
