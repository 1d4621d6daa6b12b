#!/usr/bin/env bash
# mlx-lm 0.32.2, transformers 5.24.0 (mlx 0.32.4, torch 2.13.0, Python 3.11): no GPT-2 that transformers has saved loads.
#
# mlx-lm has GPT-2 among its models, and reads it as OpenAI's own folder on the Hub is laid out. Two things in that are
# not in what others write: a field n_ctx in config.json beside n_positions, which transformers has given up, and
# tensors whose names have no prefix. Every GPT2LMHeadModel is saved with "transformer." before them, so a GPT-2 that
# somebody has trained is refused. With both put right by hand, the logits agree, as long as
# activation_function is OpenAI's: another one is read as gelu_new without a word.
#
# Expected: what save_pretrained writes is read, or refused where mlx-lm lacks something. Output seen:
#   as saved: TypeError, missing n_ctx
#   with n_ctx: ValueError, 28 parameters not in model
#   with n_ctx, without the prefix: logits within 0.0001
#   the same with activation_function relu: logits off by 0.48
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'mlx[cpu]==0.32.4' 'mlx-lm==0.32.2'
cd "$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON' || { tail -n 3 log >&2; exit 1; }
import json
import re
import sys
from pathlib import Path

import mlx.core
import mlx_lm
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

letters = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
engine = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
ids = engine.encode("gradient").ids
size = {"vocab_size": len(letters), "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}


def save(**settings):
    torch.manual_seed(0)
    config = GPT2Config(**size, initializer_range=0.3, bos_token_id=0, eos_token_id=0, **settings)
    model = GPT2LMHeadModel(config).eval()
    for each in (model, PreTrainedTokenizerFast(tokenizer_object=engine, eos_token=letters[0])):
        each.save_pretrained("gpt2")
    return model(torch.tensor([ids])).logits[0].detach().numpy()


def add_n_ctx():
    file = Path("gpt2/config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"n_ctx": 32}))


def drop_prefix():
    weights = {name.removeprefix("transformer."): weight for name, weight in load_file("gpt2/model.safetensors").items()}
    save_file(weights, "gpt2/model.safetensors", metadata={"format": "pt"})


def read(logits):
    try:
        model, _ = mlx_lm.load("gpt2")
    except TypeError as error:
        return "TypeError, missing " + re.search(r"argument: '(\w+)'", str(error))[1]
    except ValueError as error:
        return "ValueError, " + re.search(r"\d+ parameters not in model", str(error))[0]
    apart = np.abs(np.array(model(mlx.core.array([ids]))[0]) - logits).max()
    return "logits within 0.0001" if apart < 1e-4 else f"logits off by {apart:.2f}"


logits = save()
seen = {"as saved": read(logits)}
add_n_ctx()
seen["with n_ctx"] = read(logits)
drop_prefix()
seen["with n_ctx, without the prefix"] = read(logits)
logits = save(activation_function="relu")
add_n_ctx()
drop_prefix()
seen["the same with activation_function relu"] = read(logits)
for name, words in seen.items():
    print(f"{name}: {words}")
starts = "TypeError, missing n_ctx", "ValueError, 28 parameters", "logits within", "logits off by"
if not all(words.startswith(start) for words, start in zip(seen.values(), starts, strict=True)):
    sys.exit("mlx-lm no longer reads a GPT-2 as described here.")
PYTHON
