#!/usr/bin/env bash
# ctranslate2 4.8.5, transformers 5.24.0 (torch 2.13.0, Python 3.11): a converted Marian does not read its first token.
#
# config.json names the token from which a decoder starts, decoder_start_token_id. ctranslate2 starts every Marian from a
# vector of zeros, whatever that token is, and takes the last row of the vocabulary away, whatever it is for. Of the
# models of OPUS-MT both are true: they start from <pad>, the last token, whose vector is zero. A Marian that starts from
# </s>, as BART and most others do, is converted without a word, loads, and gives other probabilities; one whose last
# token is not <pad> is refused, because the vocabulary no longer fits.
#
# Expected: the probabilities of transformers for both. Output seen, the largest difference in nats over four tokens:
#   starts from <pad>: 0.0000
#   starts from </s>: 0.3648
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'transformers==5.24.0' 'ctranslate2==4.8.5'
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import os
import sys
import tempfile

import ctranslate2
import torch
from tokenizers import Tokenizer, models
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

words = ["</s>", "<unk>", *"abcdefghij", "<pad>"]
ids = {word: i for i, word in enumerate(words)}
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel(ids, unk_token="<unk>")),
    eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
)  # fmt: skip
source, target = ["a", "b", "c", "</s>"], ["d", "e", "f"]


def difference(start):
    torch.manual_seed(0)
    layers = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in
              (("layers", 1), ("attention_heads", 2), ("ffn_dim", 64))}  # fmt: skip
    config = MarianConfig(
        vocab_size=len(words), d_model=32, max_position_embeddings=32, activation_function="relu", **layers,
        pad_token_id=ids["<pad>"], eos_token_id=0, forced_eos_token_id=0, decoder_start_token_id=ids[start], init_std=0.3,
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        model.model.shared.weight[ids["<pad>"]] = 0
        read = torch.tensor([[ids[start], *(ids[word] for word in target)]])
        logits = model(input_ids=torch.tensor([[ids[word] for word in source]]), decoder_input_ids=read).logits[0]
    written = torch.tensor([*(ids[word] for word in target), 0])
    theirs = logits[:, :-1].log_softmax(-1)[range(4), written]  # <pad> is never written
    with tempfile.TemporaryDirectory() as folder:
        for each in (model, tokenizer):
            each.save_pretrained(f"{folder}/hf")
        ctranslate2.converters.TransformersConverter(f"{folder}/hf").convert(f"{folder}/ct2")
        translator = ctranslate2.Translator(f"{folder}/ct2")
        found = translator.score_batch([source], [target])[0].log_probs
    return max(abs(a - b) for a, b in zip(theirs.tolist(), found, strict=True))


found = {start: difference(start) for start in ("<pad>", "</s>")}
for start, nats in found.items():
    print(f"starts from {start}: {nats:.4f}")
if found["<pad>"] > 0.001 or found["</s>"] < 0.05:
    sys.exit("ctranslate2 no longer starts a Marian from zeros alone.")
PYTHON
