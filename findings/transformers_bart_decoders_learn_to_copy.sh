#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): of AutoModelForCausalLM's models, Bart and ten others learn to copy.
#
# A causal model is given its own input as labels, and shifts them by one token to compute the loss: so says the guide to
# language modeling, and so do GPT-2, OPT, XGLM and BERT as a decoder. The decoder of Bart does not, nor do those of ten
# other models: their loss is that of the token which they have just read. The training that suits GPT-2 teaches them to
# repeat it, and soon the loss is nothing, even where all tokens are drawn at random and nobody can know the next one.
# The method and the arguments are the same, and no warning is given.
#
# Expected: a loss of about 3.85, the logarithm of 47. Output seen, after 100 steps, for random tokens out of 47:
#   gpt2 3.87, opt 3.87, xglm 3.86, bert 3.85
#   bart 0.00, bigbird_pegasus 0.00, blenderbot 0.00, blenderbot-small 0.00, marian 0.02, mbart 0.00, mvp 0.00
#   pegasus 0.02, plbart 0.00, trocr 0.00, whisper 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

sizes = dict.fromkeys(("d_model", "hidden_size", "n_embd", "word_embed_proj_dim"), 32)
sizes |= dict.fromkeys(("ffn_dim", "decoder_ffn_dim", "intermediate_size", "max_position_embeddings"), 64)
sizes |= dict.fromkeys(("n_layer", "num_hidden_layers", "num_layers", "decoder_layers"), 1)
sizes |= dict.fromkeys(("n_head", "num_attention_heads", "attention_heads", "decoder_attention_heads"), 4)
shifting = ("gpt2", "opt", "xglm", "bert")
copying = ("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp")
rest = ("pegasus", "plbart", "trocr", "whisper")


def trained(kind):
    """The loss of a small model of this kind, after 100 steps with tokens drawn at random."""
    torch.manual_seed(0)
    known = {name: size for name, size in sizes.items() if hasattr(AutoConfig.for_model(kind), name)}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(kind, vocab_size=50, is_decoder=True, **ends, **known)
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        ids = torch.randint(3, 50, (16, 12))
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


for kinds in (shifting, copying, rest):
    losses = {kind: trained(kind) for kind in kinds}
    print(", ".join(f"{kind} {loss:.2f}" for kind, loss in losses.items()))
    if any((loss > 3) != (kind in shifting) for kind, loss in losses.items()):
        sys.exit("The models that learn to copy are no longer those described here.")
PYTHON
