#!/usr/bin/env bash
# xgrammar 0.2.9 (torch 2.13.0, Python 3.11): a string with a minLength or maxLength can hold no quote and no line break.
#
# Constrained decoding lets a model write only what a JSON schema allows. For {"type": "string"} that is any string. As
# soon as the schema bounds the length, however loosely, the grammar's character class is everything but the quote, the
# backslash and the line break, with no escapes: a text that needs \" or \n cannot be written any more. The mask shows
# none of that, so the model closes the string where it would have quoted somebody. A "pattern" is read as the whole
# string, although JSON Schema looks for it anywhere: "^[A-Z]" leaves room for one letter. No warning is given.
#
# Expected: y wherever the text meets the bound or the pattern. Output seen, y if the text can be written:
#   schema                               She left     "No", she said     line\nline   C:\new
#   type string                          y            y                  y             y
#   type string, maxLength 1000          y            -                  -             -
#   type string, minLength 1             y            -                  -             -
#   type string, pattern "^[A-Z]"        -            -                  -             -
#   the last allows S: y
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'torch==2.13.0' # a CPU build will do
"$folder/venv/bin/pip" install --quiet 'xgrammar==0.2.9'
cd "$folder"
cat >write.py <<'PYTHON'
import json

import xgrammar

END = 256
letters = xgrammar.TokenizerInfo([*(bytes([byte]) for byte in range(END)), b"</s>"], stop_token_ids=[END])
compiler = xgrammar.GrammarCompiler(letters)


def allowed(schema, text):
    matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
    return matcher.accept_string(json.dumps(text)) and matcher.accept_token(END)


texts = ["She left", '"No", she said', "line\nline", "C:\\new"]
print("schema".ljust(36), *(text.replace("\n", "\\n").ljust(len(text) + 3 + ("\n" not in text)) for text in texts))
for more in ({}, {"maxLength": 1000}, {"minLength": 1}, {"pattern": "^[A-Z]"}):
    schema = {"type": "string"} | more
    name = ", ".join(["type string", *(f"{key} {json.dumps(value)}" for key, value in more.items())])
    marks = ("y" if allowed(schema, text) else "-" for text in texts)
    print(name.ljust(36), *(mark.ljust(len(text) + 4) for mark, text in zip(marks, texts, strict=True)))
print("the last allows S:", "y" if allowed(schema, "S") else "-")
PYTHON
venv/bin/python -W ignore write.py 2>log | sed 's/ *$//' >seen || { tail -n 3 log >&2; exit 1; }
cat seen
diff seen - <<'SEEN' || { echo "xgrammar no longer bounds strings as described here." >&2; exit 1; }
schema                               She left     "No", she said     line\nline   C:\new
type string                          y            y                  y             y
type string, maxLength 1000          y            -                  -             -
type string, minLength 1             y            -                  -             -
type string, pattern "^[A-Z]"        -            -                  -             -
the last allows S: y
SEEN
