#!/usr/bin/env bash
# lm-format-enforcer 0.11.3 (Python 3.11): under a JSON schema, a model may write what no JSON parser reads.
#
# JsonSchemaParser tells a model which letters may come next, so that what it writes is JSON and meets a schema. After a
# comma an object may end, as long as a property is left that nobody requires: {"a": 1,} is allowed. A number may have an
# exponent right after its point, and an integer a negative one, which makes 0.00001 an integer. Where the type is a list,
# as for whatever may be null, all else that the schema says is forgotten: of an object with required properties, none is
# required, and any other is allowed. (That an enum of true and false must be written True and False, as in Python, is
# known to its developers.) No warning is given.
#
# Expected: y where the text is JSON and meets the schema. Output seen, y if the text can be written:
#   {"a": 1} y
#   {"a": 1,} y
#   {"a": 1, "b": 2,} -
#   a number: 1.5e5 y, 1.e5 y, 1. -
#   an integer: 5 y, 0.00001 -, 1e-5 y
#   an object or null, "a" an integer and required: {"a": 1} y, {"c": "d"} y, {} y
#   an object, "a" an integer and required: {"a": 1} y, {"c": "d"} -, {} -
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'lm-format-enforcer==0.11.3'
cd "$folder"
cat >write.py <<'PYTHON'
from lmformatenforcer import JsonSchemaParser


def mark(schema, text):
    parser = JsonSchemaParser(schema)
    for letter in text:
        if letter not in parser.get_allowed_characters():
            return f"{text} -"
        parser = parser.add_character(letter)
    return f"{text} {'y' if parser.can_end() else '-'}"


integer = {"type": "integer"}
one = {"properties": {"a": integer}, "required": ["a"]}
for text in ('{"a": 1}', '{"a": 1,}', '{"a": 1, "b": 2,}'):
    print(mark({"type": "object", "properties": {"a": integer, "b": integer}}, text))
print("a number:", ", ".join(mark({"type": "number"}, text) for text in ("1.5e5", "1.e5", "1.")))
print("an integer:", ", ".join(mark(integer, text) for text in ("5", "0.00001", "1e-5")))
for name, kind in (("an object or null", ["object", "null"]), ("an object", "object")):
    marks = ", ".join(mark({"type": kind} | one, text) for text in ('{"a": 1}', '{"c": "d"}', "{}"))
    print(f'{name}, "a" an integer and required: {marks}')
PYTHON
venv/bin/python -W ignore write.py >seen
cat seen
diff seen - <<'SEEN' || { echo "lm-format-enforcer no longer allows what is described here." >&2; exit 1; }
{"a": 1} y
{"a": 1,} y
{"a": 1, "b": 2,} -
a number: 1.5e5 y, 1.e5 y, 1. -
an integer: 5 y, 0.00001 -, 1e-5 y
an object or null, "a" an integer and required: {"a": 1} y, {"c": "d"} y, {} y
an object, "a" an integer and required: {"a": 1} y, {"c": "d"} -, {} -
SEEN
