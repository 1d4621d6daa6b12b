#!/usr/bin/env bash
# @huggingface/jinja 0.5.11 (JavaScript, Node.js 20): in a chat template, strip("\n") removes blanks as well.
#
# A chat template, which makes one prompt of a list of messages, is written for Jinja2. This library renders it in
# JavaScript, and throws an error where it lacks a filter or an operator. But strip, lstrip and rstrip never look at their
# argument: a template that removes the line breaks after a model's reasoning removes the indentation of its answer with
# them, and one that removes quotation marks leaves them there. Lists with the same items are not equal, "1" equals 1, and
# the remainder of a negative number is negative. Nothing is thrown, and the model gets another prompt.
#
# Expected: the same text, or an error. Output seen:
#   {{ answer.split("</think>")[-1].lstrip("\n") }}: jinja2 [  return x], javascript [return x]
#   {{ quoted.strip("'") }}: jinja2 [yes], javascript ['yes']
#   {% if tools == [] %}none{% else %}some{% endif %}: jinja2 [none], javascript [some]
#   {{ "same" if "1" == 1 else "other" }}: jinja2 [other], javascript [same]
#   {{ -7 % 3 }}: jinja2 [2], javascript [-1]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet 'jinja2==3.1.6'
npm install --silent --no-fund --no-audit --ignore-scripts '@huggingface/jinja@0.5.11' >/dev/null
cat >templates <<'JINJA'
{{ answer.split("</think>")[-1].lstrip("\n") }}
{{ quoted.strip("'") }}
{% if tools == [] %}none{% else %}some{% endif %}
{{ "same" if "1" == 1 else "other" }}
{{ -7 % 3 }}
JINJA
echo '{"answer": "<think>so</think>\n\n  return x", "quoted": "'"'yes'"'", "tools": []}' >context.json
cat >render.py <<'PYTHON'
import json

from jinja2 import Environment

with open("context.json") as context, open("templates") as templates:
    values = json.load(context)
    for line in templates.read().splitlines():
        print(f"{line}: jinja2 [{Environment().from_string(line).render(values)}]")
PYTHON
cat >render.mjs <<'JAVASCRIPT'
import { Template } from "@huggingface/jinja";
import { readFileSync } from "fs";
const values = JSON.parse(readFileSync("context.json", "utf8"));
for (const line of readFileSync("templates", "utf8").trim().split("\n")) {
  console.log(`, javascript [${new Template(line).render(values)}]`);
}
JAVASCRIPT
venv/bin/python render.py >python
node render.mjs >javascript
paste -d '' python javascript >seen
cat seen
diff seen - <<'SEEN' || { echo "The two libraries no longer differ as described here." >&2; exit 1; }
{{ answer.split("</think>")[-1].lstrip("\n") }}: jinja2 [  return x], javascript [return x]
{{ quoted.strip("'") }}: jinja2 [yes], javascript ['yes']
{% if tools == [] %}none{% else %}some{% endif %}: jinja2 [none], javascript [some]
{{ "same" if "1" == 1 else "other" }}: jinja2 [other], javascript [same]
{{ -7 % 3 }}: jinja2 [2], javascript [-1]
SEEN
