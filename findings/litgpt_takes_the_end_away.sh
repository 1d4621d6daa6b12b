#!/usr/bin/env bash
# litgpt 0.5.13, tokenizers 0.23.3 (torch 2.13.0, Python 3.11): asked for the end of a text, litgpt takes it away.
#
# A tokenizer.json may add the token that ends a text by itself (a post-processor, as "add_eos_token" makes it).
# litgpt's Tokenizer.encode means to handle that: with eos=True it adds an end where there is none, and an end that the
# tokenizer adds "no matter what" is cut off. But it is cut off whenever litgpt has not just added one, so also when an
# end was asked for and is there. Such a tokenizer never gives an end: a data set for fine-tuning, which asks for one
# after each answer, teaches the model answers that do not end. The beginning of a text has its own code, and is right.
#
# Expected: the end with eos=True, and none with eos=False. Output seen:
#   the tokenizer adds nothing: eos=False [five], eos=True [five </s>], to be learned [five </s>]
#   the tokenizer adds the end: eos=False [five], eos=True [five], to be learned [five]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'litgpt==0.5.13' 'tokenizers==0.23.3' 'numpy==2.4.6'
cd "$folder"
cat >encode.py <<'PYTHON'
import json
from pathlib import Path

from litgpt.data.base import SFTDataset
from litgpt.prompts import Default
from litgpt.tokenizer import Tokenizer as LitTokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = "<s> </s> what is two and three five".split()

for name in ("adds nothing", "adds the end"):
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    if name == "adds the end":
        end = ("</s>", WORDS.index("</s>"))
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    folder = Path(name)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))

    lit = LitTokenizer(folder)
    learned = SFTDataset([{"instruction": "what is two and three", "output": "five"}], lit, Default())[0]["labels"]
    lines = {"eos=False": lit.encode("five", eos=False), "eos=True": lit.encode("five", eos=True)}
    lines["to be learned"] = learned[learned >= 0]
    texts = [f"{key} [{' '.join(WORDS[i] for i in ids)}]" for key, ids in lines.items()]
    print(f"the tokenizer {name}: {', '.join(texts)}")
PYTHON
venv/bin/python -W ignore encode.py >seen 2>log || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "litgpt no longer treats the end of a text as described here." >&2; exit 1; }
the tokenizer adds nothing: eos=False [five], eos=True [five </s>], to be learned [five </s>]
the tokenizer adds the end: eos=False [five], eos=True [five], to be learned [five]
SEEN
