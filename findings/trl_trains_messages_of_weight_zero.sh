#!/usr/bin/env bash
# One would guess: in a data set in OpenAI's fine-tuning format the assistant messages with
#   "weight": 0 are read, not learned; a trainer that takes "messages" knows it, or refuses the
#   key.
# What happens: TRL's SFTTrainer with assistant_only_loss=True trains on them like on all others:
#   the answer that the data set marks as wrong is learned. The key is dropped in silence, also as
#   a column of its own ("weight": 0.0 beside prompt and completion).
# Versions: trl 1.16.0, transformers 5.23.0, datasets 5.2.0, accelerate 1.15.0, torch 2.13.0,
#   Python 3.11.
# Output seen:
#   trained of the row: 'wrong<end>\nright<end>\n'
#   trained of the row with a column: ' wrong<end>'
#   warnings that name the weight: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 datasets==5.2.0 trl==1.16.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import logging
import warnings

import datasets
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

datasets.disable_progress_bars()
said = []


class Ear(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


for name in ("trl", "transformers", "datasets"):
    logging.getLogger(name).addHandler(Ear())

backend = Tokenizer(models.BPE())
backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
backend.decoder = decoders.ByteLevel()
backend.train_from_iterator(
    ["right wrong"],
    trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<start>", "<end>"],
    ),
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=backend, pad_token="<pad>", eos_token="<end>"
)
tokenizer.chat_template = (
    "{% for m in messages %}<start>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}<end>\n{% endgeneration %}"
    "{% else %}{{ m.content }}<end>\n{% endif %}{% endfor %}"
)
torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
)


def trained(row, **settings):
    arguments = SFTConfig(
        output_dir="out", use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, **settings
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = SFTTrainer(
            model,
            args=arguments,
            train_dataset=Dataset.from_list([row, row]),
            processing_class=tokenizer,
        )
    said.extend(str(each.message) for each in caught)
    labels = trainer.data_collator([trainer.train_dataset[0]])["labels"][0]
    return tokenizer.decode(labels[labels != -100])


chat = {
    "messages": [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "wrong", "weight": 0},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "right", "weight": 1},
    ]
}
pair = {"prompt": "one ", "completion": "wrong", "weight": 0.0}
of_chat = trained(chat, assistant_only_loss=True)
of_pair = trained(pair)
told = [text for text in said if "weight" in text.lower()]
print(f"trained of the row: {of_chat!r}")
print(f"trained of the row with a column: {of_pair!r}")
print("warnings that name the weight:", len(told))

assert of_chat == "wrong<end>\nright<end>\n"
assert of_pair.strip() == "wrong<end>"
assert not told, told
PY
