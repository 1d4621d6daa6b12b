#!/usr/bin/env bash
# transformer-lens 4.3.0, transformers 5.24.0 (torch 2.13.0, Python 3.11): generate() sees the newest token and no other.
#
# transformer_lens computes the attention of a transformers model itself, so that it can be looked into, and takes the
# cache of keys and values from the arguments of the layer that it stands in for. transformers 5.24.0 gave that argument
# a new name, `cache`; transformer_lens looks for the old ones, finds none, and goes on without. generate() hands over
# one token at a time once the prompt is read (use_past_kv_cache, True by default), so each of these attends to itself
# alone: the first new token is right, and what follows depends on neither the prompt nor the rest of the text. The logits
# and the loss of a whole text are right. There is no error; a FutureWarning speaks of the names alone. It is the change
# of name that peft's soft prompts suffer from (peft_soft_prompts_go_wrong_in_generate.sh).
#
# Expected: the greedy text of transformers. Output seen, how many of its tokens generate() writes:
#   transformers 5.23.0, GPT-2: with the cache 12 of 12, without it 12
#   transformers 5.23.0, Llama: with the cache 12 of 12, without it 12
#   transformers 5.23.0, Qwen2: with the cache 12 of 12, without it 12
#   transformers 5.24.0, GPT-2: with the cache 4 of 12, without it 12
#   transformers 5.24.0, Llama: with the cache 1 of 12, without it 12
#   transformers 5.24.0, Qwen2: with the cache 1 of 12, without it 12
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformer-lens==4.3.0'
cat >"$folder/generate.py" <<'PYTHON'
import sys

import torch
import transformers
from tokenizers import Tokenizer, models
from transformer_lens import TransformerBridge
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

folder = sys.argv[1]
words = Tokenizer(models.WordLevel({f"t{id}": id for id in range(50)}, unk_token="t0"))
PreTrainedTokenizerFast(tokenizer_object=words, bos_token="t0", eos_token="t0", unk_token="t0").save_pretrained(folder)
known = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.4}
size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
configs = {
    "GPT-2": GPT2Config(**known, n_positions=64, n_embd=32, n_layer=2, n_head=2),
    "Llama": LlamaConfig(**known, **size, intermediate_size=64),
    "Qwen2": Qwen2Config(**known, **size, intermediate_size=64),
}
new = transformers.__version__ == "5.24.0"
for name, config in configs.items():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    bridge = TransformerBridge.boot_transformers(folder)
    prompt = torch.tensor([[7, 3, 22, 41, 15]])
    assert (bridge(prompt).log_softmax(-1) - model(prompt).logits.log_softmax(-1)).abs().max() < 1e-3
    right = model.generate(prompt, max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)[0, 5:].tolist()
    equal = {}
    for cached in (True, False):
        options = {"do_sample": False, "stop_at_eos": False, "return_type": "tokens", "verbose": False}
        text = bridge.generate(prompt, max_new_tokens=12, use_past_kv_cache=cached, **options)[0, 5:].tolist()
        equal[cached] = sum(a == b for a, b in zip(text, right, strict=True))
    print(f"transformers {transformers.__version__}, {name}: ", end="")
    print(f"with the cache {equal[True]} of 12, without it {equal[False]}")
    if equal[False] != 12 or (equal[True] == 12) == new:
        sys.exit("generate() no longer forgets the text as described here.")
PYTHON
for version in 5.23.0 5.24.0; do
  "$folder/venv/bin/pip" install --quiet "transformers==$version"
  "$folder/venv/bin/python" -W ignore "$folder/generate.py" "$folder" 2>"$folder/log" || {
    tail -n 3 "$folder/log" >&2
    exit 1
  }
done
