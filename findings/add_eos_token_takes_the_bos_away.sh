#!/usr/bin/env bash
# One would guess: add_eos_token=True, given to from_pretrained or set on the tokenizer, adds the
#   end of sequence to what the tokenizer writes already.
# What happens: the post-processor of tokenizer.json is thrown away and made anew from the two
#   switches; add_bos_token is False where the file does not name it, though the tokenizer wrote
#   the BOS (as those do whose BOS stands in the post-processor only, Llama 3's among them). So the
#   EOS comes and the BOS goes: the model is trained on texts without the token that all its
#   training began with. Giving both keeps both. tokenizer.add_bos_token says False before, too.
# Versions: transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
# Output seen:
#   as it is: <bos> a b (add_bos_token False)
#   add_eos_token=True: a b <end>
#   tokenizer.add_eos_token = True: a b <end>
#   add_eos_token=True, saved and loaded: a b <end>
#   add_bos_token=True, add_eos_token=True: <bos> a b <end>
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile transformers==5.23.0 tokenizers==0.23.3
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import logging

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

said = []


class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


logging.getLogger("transformers").addHandler(Ear())
pieces = ["<bos>", "<end>", *pre_tokenizers.ByteLevel.alphabet()]
backend = Tokenizer(models.BPE({piece: index for index, piece in enumerate(pieces)}, []))
backend.add_special_tokens(["<bos>", "<end>"])
backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
backend.decoder = decoders.ByteLevel()
backend.post_processor = processors.Sequence(
    [
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A <bos> $B:1", special_tokens=[("<bos>", 0)]
        ),
    ]
)
PreTrainedTokenizerFast(
    tokenizer_object=backend, bos_token="<bos>", eos_token="<end>"
).save_pretrained("model")


def written(tokenizer):
    return " ".join(tokenizer.convert_ids_to_tokens(tokenizer("ab")["input_ids"]))


plain = AutoTokenizer.from_pretrained("model")
with_end = AutoTokenizer.from_pretrained("model", add_eos_token=True)
switched = AutoTokenizer.from_pretrained("model")
switched.add_eos_token = True
with_end.save_pretrained("saved")
saved = AutoTokenizer.from_pretrained("saved")
both = AutoTokenizer.from_pretrained("model", add_bos_token=True, add_eos_token=True)
print(f"as it is: {written(plain)} (add_bos_token {plain.add_bos_token})")
print(f"add_eos_token=True: {written(with_end)}")
print(f"tokenizer.add_eos_token = True: {written(switched)}")
print(f"add_eos_token=True, saved and loaded: {written(saved)}")
print(f"add_bos_token=True, add_eos_token=True: {written(both)}")

assert written(plain) == "<bos> a b" and plain.add_bos_token is False
assert written(with_end) == written(switched) == written(saved) == "a b <end>"
assert written(both) == "<bos> a b <end>"
assert not said, said
PY
