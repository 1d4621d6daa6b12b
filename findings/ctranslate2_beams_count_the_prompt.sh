#!/usr/bin/env bash
# ctranslate2 4.8.5, transformers 5.24.0 (torch 2.13.0, Python 3.11): with beams, returning the prompt changes the text.
#
# include_prompt_in_result of generate_batch says whether the result begins with the prompt, and is True unless one says
# otherwise. Beam search divides the logarithm of a text's probability by its length, so that long texts stand a chance.
# With the prompt in the result, that length counts the prompt, whose tokens were given and add nothing to the
# logarithm: the longer the prompt, the less the division does, and short texts win again, as without any division. The
# scores shrink toward 0 with it, so those of two prompts cannot be compared.
#
# Expected: one text, as transformers has it. Output seen, the best of 2 beams and its score, for a model that looks at
# the last token alone; after "a" it writes "b" (probability 0.55) or "c d e f" (0.45), and then the end:
#   a prompt of 1: transformers [c d e f], with the prompt [c d e f] -0.160, without it [c d e f] -0.160
#   a prompt of 10: transformers [c d e f], with the prompt [b] -0.054, without it [c d e f] -0.160
#   a prompt of 30: transformers [c d e f], with the prompt [b] -0.019, without it [c d e f] -0.160
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'ctranslate2==4.8.5' 'transformers==5.24.0'
cd "$folder"
"$folder/venv/bin/python" -W ignore - 2>"$folder/log" <<'PYTHON' || { tail -n 3 "$folder/log" >&2; exit 1; }
import sys

import ctranslate2
import torch
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

TOKENS = ["end", "a", "b", "c", "d", "e", "f", "x"]
AFTER = {"a": {"b": 0.55, "c": 0.45}, "b": {"end": 1}, "c": {"d": 1}, "d": {"e": 1}, "e": {"f": 1}, "f": {"end": 1}}

size = {"vocab_size": 8, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 1}
model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False)).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.zero_()
    model.transformer.wte.weight.copy_(torch.eye(8) * 2)
    model.transformer.ln_f.weight.fill_(1)
    model.transformer.ln_f.bias.fill_(1)
    logits = torch.full((8, 8), -12.0)
    for token, followers in AFTER.items():
        for follower, probability in followers.items():
            logits[TOKENS.index(token), TOKENS.index(follower)] = torch.tensor(float(probability)).log()
    states = model.transformer.ln_f(model.transformer.wte.weight)
    model.lm_head.weight.copy_(torch.linalg.solve(states, logits).T)
model.save_pretrained("model")
words = Tokenizer(models.WordLevel({token: id for id, token in enumerate(TOKENS)}, unk_token="x"))
PreTrainedTokenizerFast(tokenizer_object=words, bos_token="end", eos_token="end", unk_token="x").save_pretrained("model")
ctranslate2.converters.TransformersConverter("model").convert("converted")
generator = ctranslate2.Generator("converted")

for blanks in (0, 9, 29):
    prompt = ["x"] * blanks + ["a"]
    ids = torch.tensor([[TOKENS.index(token) for token in prompt]])
    found = model.generate(ids, num_beams=2, max_new_tokens=8, pad_token_id=0)[0, len(prompt) :]
    texts = [" ".join(TOKENS[id] for id in found if id)]
    line = f"a prompt of {len(prompt)}: transformers [{texts[0]}]"
    for name, with_prompt in (("with the prompt", True), ("without it", False)):
        given = len(prompt) if with_prompt else 0
        options = {"beam_size": 2, "max_length": given + 8, "return_scores": True}
        result = generator.generate_batch([prompt], include_prompt_in_result=with_prompt, **options)[0]
        texts.append(" ".join(result.sequences[0][given:]))
        line += f", {name} [{texts[-1]}] {result.scores[0]:.3f}"
    print(line)
    if texts != ["c d e f", "b" if blanks else "c d e f", "c d e f"]:
        sys.exit("Beam search no longer depends on the prompt in the result as described here.")
PYTHON
