#!/usr/bin/env bash
# transformers 5.24.0, sentencepiece 0.2.3 (Python 3.11): LlamaTokenizer reads a tokenizer.model without its normalizer.
#
# A tokenizer.model of sentencepiece holds the pieces, their merges, and how a text is normalized before. transformers 5
# rebuilds LlamaTokenizer from the pieces and merges alone. With sentencepiece's own settings, under which a model is
# trained to see ligatures and full-width letters as plain ones, and tabs and double blanks as one blank, none of that
# happens any more; even with the settings of Llama, which normalize nothing, a blank at the beginning of a text is lost.
# In transformers 4 this class asked sentencepiece itself. No warning is given, and the ids are valid. (What happens to
# a GPT-2's tokenizer.json, which is another way into the same library, is in transformers_rebuilds_gpt2_tokenizer.sh.)
#
# Expected: the ids that sentencepiece gives. Output seen:
#   transformers 4.57.3, settings of Llama: 6 of 6 texts have the ids of sentencepiece
#   transformers 4.57.3, settings of sentencepiece: 6 of 6 texts have the ids of sentencepiece
#   transformers 5.24.0, settings of Llama: 5 of 6 texts have the ids of sentencepiece
#     ' fine' is ['▁fine'], not ['▁', '▁fine']
#   transformers 5.24.0, settings of sentencepiece: 2 of 6 texts have the ids of sentencepiece
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'sentencepiece==0.2.3' 'protobuf==7.36.2'
cd "$folder"
cat >train.py <<'PYTHON'
import sentencepiece

text = ["a fine day", "wine and dine", "a fine line", "the end of the line", "one fine day in the end"] * 20
llama = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
for name, settings in {"Llama": llama, "sentencepiece": {}}.items():
    with open(f"{name}/tokenizer.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=file, model_type="bpe", byte_fallback=True, vocab_size=300,
            minloglevel=2, **settings,
        )  # fmt: skip
PYTHON
cat >read.py <<'PYTHON'
import sys

import sentencepiece
import transformers

new = transformers.__version__ == "5.24.0"
for name, expected in {"Llama": 5 if new else 6, "sentencepiece": 2 if new else 6}.items():
    original = sentencepiece.SentencePieceProcessor(model_file=f"{name}/tokenizer.model")
    tokenizer = transformers.LlamaTokenizer.from_pretrained(name)
    others = []
    for text in ("fine", " fine", "\ufb01ne", "fine\tday", "fine  day", "fine day "):
        right, ids = original.encode(text), tokenizer.encode(text, add_special_tokens=False)
        if ids != right:
            others.append((text, *([original.id_to_piece(i) for i in row] for row in (ids, right))))
    print(
        f"transformers {transformers.__version__}, settings of {name}: "
        f"{6 - len(others)} of 6 texts have the ids of sentencepiece", flush=True
    )  # fmt: skip
    if len(others) == 1:
        print("  {!r} is {}, not {}".format(*others[0]))
    if 6 - len(others) != expected:
        sys.exit("LlamaTokenizer no longer reads a tokenizer.model as described here.")
PYTHON
mkdir Llama sentencepiece
venv/bin/python train.py 2>log || { tail -n 3 log >&2; exit 1; }
for version in 4.57.3 5.24.0; do
  venv/bin/pip install --quiet "transformers==$version"
  PYTHONUTF8=1 venv/bin/python -W ignore read.py 2>log || { tail -n 3 log >&2; exit 1; }
done
