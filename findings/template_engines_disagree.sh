#!/usr/bin/env bash
# One would guess: a chat template is Jinja, so every engine writes the same text from it.
# What happens: three engines, three texts for one tool call. jinja2 alone, in the same sandbox
#   that transformers uses, sorts the keys in tojson and writes <, >, &, ' and every non-ASCII
#   letter as \uXXXX; transformers replaces the filter. @huggingface/jinja (transformers.js) keeps
#   the order, but knows no floats from JSON (1.0 is 1), writes bare values as true and [1, "a"]
#   where Python has True and [1, 'a'], has -7 % 3 = -1 (Python: 2), and "capitalize" leaves the
#   other letters alone. A model trained on one of these texts is served another.
# Versions: transformers 5.23.0, Jinja2 3.1.6, Python 3.11; @huggingface/jinja 0.5.11 on node.
# Output seen: the table that the script prints; in it
#   call       transformers {"size": 1.0, "note": "a<b> & c'é"}
#              jinja2       {"note": "a\u003cb\u003e \u0026 c\u0027\u00e9", "size": 1.0}
#              js           {"size": 1, "note": "a<b> & c'é"}
#   bare flag  transformers True / jinja2 True / js true
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile transformers==5.23.0 Jinja2==3.1.6
cd "$work"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11
cat >render.mjs <<'JS'
import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";
const { templates, values } = JSON.parse(readFileSync("cases.json", "utf8"));
const texts = {};
for (const [name, template] of Object.entries(templates)) {
  texts[name] = new Template(template).render(values);
}
console.log(JSON.stringify(texts));
JS
"$work/venv/bin/python" -W ignore - <<'PY'
import json
import subprocess
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils.chat_template_utils import render_jinja_template

values = {
    "arguments": {"size": 1.0, "note": "a<b> & c'é"},
    "flag": True,
    "numbers": [1, "a"],
    "word": "hELLO",
}
templates = {
    "call": "{{ arguments | tojson }}",
    "bare float": "{{ arguments.size }}",
    "bare flag": "{{ flag }}",
    "bare list": "{{ numbers }}",
    "joined": "{{ [flag, arguments.size] | join(', ') }}",
    "remainder": "{{ -7 % 3 }}",
    "capitalize": "{{ word | capitalize }}",
    "same everywhere": "{% for key, value in arguments.items() %}{{ key }};{% endfor %}",
}
Path("cases.json").write_text(json.dumps({"templates": templates, "values": values}))
done = subprocess.run(["node", "render.mjs"], capture_output=True, text=True, check=True)
js = json.loads(done.stdout)
plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
rows = {}
for name, template in templates.items():
    chat = [{"role": "user", "content": ""}]
    own = render_jinja_template([chat], chat_template=template, **values)
    rows[name] = own[0][0], plain.from_string(template).render(**values), js[name]
    for engine, text in zip(("transformers", "jinja2", "js"), rows[name], strict=True):
        print(f"{name if engine == 'transformers' else '':16} {engine:13} {text}")

assert rows["call"] == (
    '{"size": 1.0, "note": "a<b> & c\'é"}',
    r'{"note": "a\u003cb\u003e \u0026 c\u0027\u00e9", "size": 1.0}',
    '{"size": 1, "note": "a<b> & c\'é"}',
)
assert rows["bare float"] == ("1.0", "1.0", "1")
assert rows["bare flag"] == ("True", "True", "true")
assert rows["bare list"] == ("[1, 'a']", "[1, 'a']", '[1, "a"]')
assert rows["joined"] == ("True, 1.0", "True, 1.0", "true, 1")
assert rows["remainder"] == ("2", "2", "-1")
assert rows["capitalize"] == ("Hello", "Hello", "HELLO")
assert len(set(rows["same everywhere"])) == 1
PY
