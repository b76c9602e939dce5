#!/usr/bin/env bash
# One would guess: apply_chat_template(..., return_assistant_tokens_mask=True) with
#   truncation_side="left", which keeps the end of a long chat, marks the answers that are left.
# What happens: the answers are looked up from the first; one that was cut away ends the search, so
#   the mask is 0 everywhere, also for the answer that is there whole. Labels made from it have
#   nothing to learn: of a data set of long chats just the long ones are lost. As long as a bit of
#   the first answer is left, all are marked. Nothing is said. Right truncation is right.
# Versions: transformers 5.23.0, tokenizers 0.23.3, Python 3.11.
# Output seen:
#   whole, 59 tokens: trained 'first<end>\nsecond<end>\n'
#   left, 40 tokens: text from 'nt\nfirst<end>', trained 'first<end>\nsecond<end>\n'
#   left, 30 tokens: text from '<start>user\nt', trained ''
#   left, 20 tokens: text from '\n<start>assis', trained ''
#   right, 46 tokens: trained 'first<end>\n'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile transformers==5.23.0 tokenizers==0.23.3 jinja2==3.1.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import warnings

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

said = []


class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


pieces = ["<pad>", "<start>", "<end>", *pre_tokenizers.ByteLevel.alphabet()]
backend = Tokenizer(models.BPE({piece: index for index, piece in enumerate(pieces)}, []))
backend.add_special_tokens(["<pad>", "<start>", "<end>"])
backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
backend.decoder = decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=backend, pad_token="<pad>", eos_token="<end>"
)
tokenizer.chat_template = (
    "{% for m in messages %}<start>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<end>\n{% endgeneration %}"
    "{% else %}{{ m.content }}<end>\n{% endif %}{% endfor %}"
)
chat = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "first"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "second"},
]


def trained(side, length=None):
    tokenizer.truncation_side = side
    made = tokenizer.apply_chat_template(
        chat,
        return_dict=True,
        return_assistant_tokens_mask=True,
        truncation=length is not None,
        max_length=length,
    )
    ids = made["input_ids"]
    marked = [token for token, on in zip(ids, made["assistant_masks"], strict=True) if on]
    return tokenizer.decode(ids), tokenizer.decode(marked), len(ids)


logging.getLogger("transformers").addHandler(Ear())
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    _, whole, size = trained("right")
    print(f"whole, {size} tokens: trained {whole!r}")
    left = {}
    for length in (40, 30, 20):
        text, left[length], _ = trained("left", length)
        print(f"left, {length} tokens: text from {text[:13]!r}, trained {left[length]!r}")
        assert text.endswith("second<end>\n")
    _, right, _ = trained("right", 46)
    print(f"right, 46 tokens: trained {right!r}")

assert whole == left[40] == "first<end>\nsecond<end>\n"
assert left[30] == left[20] == ""
assert right == "first<end>\n"
assert not said and not caught, (said, caught)
PY
