#!/usr/bin/env bash
# One would guess: truncation=True, max_length=... is an argument of one call; a saved tokenizer
#   is as it was loaded.
# What happens: transformers sets the options on the tokenizers object under it, and
#   save_pretrained (as at each of the Trainer's checkpoints) writes those of the last call into
#   tokenizer.json, under "truncation" and "padding". AutoTokenizer does not act on them, so
#   nothing shows in Python; tokenizers itself (and servers that read the file with it) cuts each
#   prompt there and pads the short ones, in silence. One call without the arguments before
#   saving, and the file is clean.
# Versions: transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
# Output seen:
#   in tokenizer.json: truncation to 3, padding {'Fixed': 3}
#   11 words: AutoTokenizer 11 tokens, tokenizers 3 tokens
#   1 word: AutoTokenizer 1 token, tokenizers 3 tokens
#   saved after a call without: truncation None, padding None
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile transformers==5.23.0 tokenizers==0.23.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

words = "pad a b c d e f g h i j k".split()
backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "pad"))
backend.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="pad", unk_token="pad")


def saved(folder):
    tokenizer.save_pretrained(folder)
    stored = json.loads(Path(folder, "tokenizer.json").read_text())
    return stored["truncation"], stored["padding"]


text = "a b c d e f g h i j k"
tokenizer([text, "a"], truncation=True, max_length=3, padding="max_length")
truncation, padding = saved("cut")
print(f"in tokenizer.json: truncation to {truncation['max_length']}, padding {padding['strategy']}")
own = AutoTokenizer.from_pretrained("cut")
raw = Tokenizer.from_file("cut/tokenizer.json")
counts = [(len(own(each)["input_ids"]), len(raw.encode(each).ids)) for each in (text, "a")]
print("11 words: AutoTokenizer {} tokens, tokenizers {} tokens".format(*counts[0]))
print("1 word: AutoTokenizer {} token, tokenizers {} tokens".format(*counts[1]))
tokenizer(text)
clean = saved("clean")
print("saved after a call without: truncation {}, padding {}".format(*clean))

assert truncation["max_length"] == 3 and padding["strategy"] == {"Fixed": 3}
assert counts == [(11, 3), (1, 3)]
assert clean == (None, None)
PY
