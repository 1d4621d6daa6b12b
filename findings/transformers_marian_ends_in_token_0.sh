#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0, Python 3.11): a Marian that is cut at its length ends in token 0, not in its end.
#
# MarianConfig has forced_eos_token_id 0 unless it is told otherwise, the </s> of OPUS-MT, and eos_token_id does not
# change that. So a config.json with an end of its own, and without that field, makes generate() write token 0 as the
# last one of every text that reaches max_new_tokens: a letter, where token 0 is one, with a probability of 1.
#
# Expected: the end of this model, or whatever the model thinks. Output seen:
#   without forced_eos_token_id: [..., 5, 0], of which 0 is the letter a, and 12 the end
#   with "forced_eos_token_id": null: [..., 5, 5]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import torch
from transformers import MarianConfig, MarianMTModel

END = 12


def written(**settings):
    """Eight tokens of a model that always prefers token 5."""
    config = MarianConfig(
        vocab_size=END + 1, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=16,
        pad_token_id=END, eos_token_id=END, decoder_start_token_id=END, **settings,
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        model.final_logits_bias[0, 5] = 1e4
    return model.generate(torch.tensor([[1, 2, END]]), max_new_tokens=8, do_sample=False, num_beams=1)[0, -2:].tolist()


usual, explicit = written(), written(forced_eos_token_id=None)
print(f"without forced_eos_token_id: [..., {usual[0]}, {usual[1]}], of which 0 is the letter a, and {END} the end")
print(f'with "forced_eos_token_id": null: [..., {explicit[0]}, {explicit[1]}]')
if usual != [5, 0] or explicit != [5, 5]:
    sys.exit("A Marian's last token is no longer 0 by default.")
PYTHON
