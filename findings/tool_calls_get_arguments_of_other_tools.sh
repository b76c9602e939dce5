#!/usr/bin/env bash
# One would guess: a row of Dataset.from_list(rows) comes back as it was given, tool calls too; where not,
#   TRL, which knows tool calling, trains on the call that was written.
# What happens: all "arguments" of a column become one struct with the keys of all tools: each call comes
#   back with the others' arguments, as None, and the template writes them into the text that is trained:
#   {"city": "Paris", "expr": null}, which is no call that any tool takes. TRL's SFTTrainer trains on that,
#   too. load_dataset("json") of the same rows in a file keeps each call as it was (a column of Json).
# Versions: datasets 5.2.0, trl 1.16.0, transformers 5.23.0, accelerate 1.15.0, torch 2.13.0,
#   Python 3.11.
# Output seen (the call of a row that was given as {"city": "Paris"}, beside rows with other tools):
#   as given: {"city": "Paris"}
#   from_list: {"city": "Paris", "expr": null, "to": null, "text": null}
#   from_list, trained by TRL: {"city": "Paris", "expr": null, "to": null, "text": null}
#   load_dataset("json"): {"city": "Paris"}
#   load_dataset("json"), trained by TRL: {"city": "Paris"}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 trl==1.16.0 transformers==5.23.0 \
  datasets==5.2.0 accelerate==1.15.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import json
from pathlib import Path

import datasets
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

datasets.disable_progress_bars()
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
    "<|end|>{% endfor %}"
)
letters = {"<|end|>": 0, **{chr(code): code for code in range(1, 127)}}
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.BPE(vocab=letters, merges=[])),
    eos_token="<|end|>",
    pad_token="<|end|>",
    chat_template=TEMPLATE,
)


def row(question, name, **arguments):
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    answer = {"role": "assistant", "content": "", "tool_calls": [call]}
    return {"messages": [{"role": "user", "content": question}, answer]}


ROWS = [
    row("weather in Paris", "weather", city="Paris"),
    row("1+1", "calculate", expr="1+1"),
    row("mail to Ann", "mail", to="Ann", text="hello"),
]


def written(messages):
    return tokenizer.apply_chat_template(messages, tokenize=False)


def trained(rows):
    """Return the text that TRL trains on for the first row."""
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    arguments = SFTConfig("out", report_to="none", use_cpu=True, bf16=False, disable_tqdm=True)
    model = LlamaForCausalLM(config)
    trainer = SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    return "".join(tokenizer.convert_ids_to_tokens(trainer.train_dataset[0]["input_ids"]))


Path("rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
listed = datasets.Dataset.from_list(ROWS)
loaded = datasets.load_dataset("json", data_files="rows.jsonl", split="train")
texts = {
    "as given": written(ROWS[0]["messages"]),
    "from_list": written(listed[0]["messages"]),
    "from_list, trained by TRL": trained(listed),
    'load_dataset("json")': written(loaded[0]["messages"]),
    'load_dataset("json"), trained by TRL': trained(loaded),
}
calls = {}
for name, text in texts.items():
    calls[name] = json.loads(text[text.index("{") : text.rindex("}") + 1])["arguments"]
    print(f"{name}: {json.dumps(calls[name])}", flush=True)
for name, call in calls.items():
    others = {"expr": None, "to": None, "text": None} if "from_list" in name else {}
    assert call == {"city": "Paris", **others}, (name, call)
PY
