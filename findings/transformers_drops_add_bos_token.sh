#!/usr/bin/env bash
# transformers 5.23.0 (tokenizers 0.23.3, Python 3.11): add_bos_token counts beside vocab.json alone.
#
# The same GPT-2 tokenizer is stored twice, as vocab.json with merges.txt, and as tokenizer.json. Beside both stands the
# same tokenizer_config.json, with a bos_token and "add_bos_token": true. From the first folder every text begins with
# the bos_token; from the second none does, and the attribute add_bos_token is false. The other way round, a
# post-processor in tokenizer.json that adds the bos_token goes on adding it under "add_bos_token": false. Nothing is
# said, and save_pretrained leaves the setting out.
#
# Expected: one setting, one meaning. Output seen:
#   vocab.json, add_bos_token true: [3, 0]
#   tokenizer.json, add_bos_token true: [0]
#   tokenizer.json with a bos template, add_bos_token false: [3, 0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'transformers==5.23.0' 'tokenizers==0.23.3'
cd "$folder"
cat >read.py <<'PYTHON'
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

VOCABULARY = {"a": 0, "b": 1, "<|endoftext|>": 2, "<s>": 3}
engine = Tokenizer(models.BPE(vocab=VOCABULARY, merges=[]))
engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
engine.decoder = decoders.ByteLevel()
engine.add_special_tokens(["<|endoftext|>", "<s>"])


def ids(name, files, adds):
    folder = Path(name)
    folder.mkdir()
    config = {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "add_bos_token": adds}
    files = {**files, "tokenizer_config.json": json.dumps(config), "config.json": '{"model_type": "gpt2"}'}
    for file, text in files.items():
        (folder / file).write_text(text)
    return AutoTokenizer.from_pretrained(folder)("a")["input_ids"]


older = {"vocab.json": json.dumps(VOCABULARY), "merges.txt": "#version: 0.2\n"}
print("vocab.json, add_bos_token true:", ids("one", older, True))
print("tokenizer.json, add_bos_token true:", ids("two", {"tokenizer.json": engine.to_str()}, True))
engine.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 3)])
print("tokenizer.json with a bos template, add_bos_token false:", ids("three", {"tokenizer.json": engine.to_str()}, False))
PYTHON
"$folder/venv/bin/python" read.py >seen 2>/dev/null
cat seen
diff seen - <<'SEEN' || { echo "transformers no longer treats add_bos_token as described here." >&2; exit 1; }
vocab.json, add_bos_token true: [3, 0]
tokenizer.json, add_bos_token true: [0]
tokenizer.json with a bos template, add_bos_token false: [3, 0]
SEEN
