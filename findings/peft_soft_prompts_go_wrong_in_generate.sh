#!/usr/bin/env bash
# peft 0.21.2, transformers 5.24.0 (torch 2.13.0, Python 3.11): generate() repeats a soft prompt, and drops a prefix.
#
# transformers 5.24.0 gave the keys and values of what a model has read a new name, `cache`. peft looks for the old one,
# `past_key_values`, does not find it, and takes every step for the first. In prompt tuning and p-tuning the virtual
# tokens are therefore put before each token that is written, not once before the text. In prefix tuning they are handed
# over under the old name, which is ignored in favour of the new: this Llama writes as if it had never been tuned. There
# is no error; for the prefix, a FutureWarning speaks of the names. A plain call of the same model is right, and so is
# generate() in transformers 5.23.0.
#
# Expected: generate() has the logits of a plain call. Output seen, for a Llama with 5 virtual tokens, the largest
# difference between the logits in generate() and those of a plain call, and in brackets of a call of the untuned model:
#   transformers 5.23.0: PromptTuning 0.0 (7.5), PromptEncoder 0.0 (7.0), PrefixTuning 0.0 (3.2)
#   transformers 5.24.0: PromptTuning 7.4 (6.4), PromptEncoder 5.0 (6.8), PrefixTuning 3.2 (0.0)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'peft==0.21.2'
cat >"$folder/tune.py" <<'PYTHON'
import sys

import peft
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

size = {"vocab_size": 257, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
prompt, known = torch.tensor([[5, 6, 7, 8]]), {"task_type": "CAUSAL_LM", "num_virtual_tokens": 5}
settings = {"max_new_tokens": 4, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
methods = {"PromptTuning": {}, "PromptEncoder": {"encoder_hidden_size": 16}, "PrefixTuning": {}}


def untuned():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**size, initializer_range=0.3, bos_token_id=0, eos_token_id=0)).eval()


def apart(model, result):
    """The largest difference between the logits of generate() and those of a plain call for the same text."""
    with torch.no_grad():
        calls = [model(result.sequences[:, : 4 + i]).logits[:, -1] for i in range(len(result.logits))]
    return max((a - b).abs().max().item() for a, b in zip(calls, result.logits, strict=True))


found = {}
for name, options in methods.items():
    model = peft.get_peft_model(untuned(), getattr(peft, f"{name}Config")(**known, **options)).eval()
    random = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        if weight.requires_grad:  # as if it had been trained
            weight.data = torch.randn(weight.shape, generator=random) / 2
    result = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), pad_token_id=0, **settings)
    found[name] = apart(model, result), apart(untuned(), result)
words = ", ".join(f"{name} {tuned:.1f} ({base:.1f})" for name, (tuned, base) in found.items())
print(f"transformers {transformers.__version__}: {words}")
new = transformers.__version__ == "5.24.0"
if any((tuned > 0.1) != new for tuned, _ in found.values()) or (found["PrefixTuning"][1] < 0.001) != new:
    sys.exit("generate() no longer treats virtual tokens as described here.")
PYTHON
for version in 5.23.0 5.24.0; do
  "$folder/venv/bin/pip" install --quiet "transformers==$version"
  "$folder/venv/bin/python" -W ignore "$folder/tune.py" 2>"$folder/log" || { tail -n 3 "$folder/log" >&2; exit 1; }
done
