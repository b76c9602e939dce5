#!/usr/bin/env bash
# One would guess: AutoTokenizer.from_pretrained(folder) reads the folder's tokenizer.json, the more
#   so as tokenizer_config.json there names the class that wrote it.
# What happens: where config.json says qwen2 or qwen3_5 (or siglip2, and four more), the model type's own
#   tokenizer class is built instead, and of a tokenizer.json that is no byte-level BPE nothing is
#   left: a text has no tokens, without an error or a warning. In a llama or qwen3 folder the same
#   two files work.
# Versions: transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
# Output seen:
#   tokenizer_config.json names TokenizersBackend
#   llama: TokenizersBackend [1, 2, 3, 4]
#   qwen3: TokenizersBackend [1, 2, 3, 4]
#   qwen2: Qwen2Tokenizer []
#   qwen3_5: Qwen3_5Tokenizer []
#   PreTrainedTokenizerFast in the qwen2 folder: [1, 2, 3, 4]
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile transformers==5.23.0 tokenizers==0.23.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

words = {"<unk>": 0, "the": 1, "hat": 2, "is": 3, "red": 4}
own = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
own.pre_tokenizer = pre_tokenizers.Whitespace()
text, ids = "the hat is red", [1, 2, 3, 4]

seen = {}
for model_type in ("llama", "qwen3", "qwen2", "qwen3_5"):
    folder = Path(model_type)
    PreTrainedTokenizerFast(tokenizer_object=own, unk_token="<unk>").save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    loaded = AutoTokenizer.from_pretrained(folder)
    seen[model_type] = (type(loaded).__name__, loaded(text).input_ids)

named = json.loads(Path("qwen2/tokenizer_config.json").read_text())["tokenizer_class"]
plain = PreTrainedTokenizerFast.from_pretrained("qwen2")(text).input_ids
print("tokenizer_config.json names", named)
for model_type, (name, found) in seen.items():
    print(f"{model_type}: {name} {found}")
print("PreTrainedTokenizerFast in the qwen2 folder:", plain)

assert named == "TokenizersBackend" and plain == ids
assert seen["llama"][1] == seen["qwen3"][1] == ids
assert seen["qwen2"] == ("Qwen2Tokenizer", [])
assert seen["qwen3_5"] == ("Qwen3_5Tokenizer", [])
PY
