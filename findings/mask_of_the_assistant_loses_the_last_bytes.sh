#!/usr/bin/env bash
# One would guess: what stands between {% generation %} and {% endgeneration %} of a chat template is
#   what return_assistant_tokens_mask marks, and what TRL's assistant_only_loss trains, to the last token.
# What happens: the ends are found by character. Where the last character before {% endgeneration %} is
#   several tokens (an emoji, a rare Chinese character, in a byte-level vocabulary), all of them stand for
#   that character, the first is taken for the end, and the others are not marked: the model learns to
#   begin the character and not to end it; what it then generates is broken UTF-8. Answers that end with
#   an ordinary letter are whole. With the end of the turn inside the block, as in TRL's own
#   templates, all is marked.
# Versions: transformers 5.23.0, tokenizers 0.23.3, trl 1.16.0, datasets 5.2.0, torch 2.13.0, Python 3.11.
# Output seen (a byte-level BPE; tokens of the answer, those that SFTTrainer trains, and what they say):
#   yes: 1 tokens, 1 trained: 'yes'
#   yes 👍: 6 tokens, 3 trained: 'yes �'
#   你好: 6 tokens, 4 trained: '你�'
#   café: 5 tokens, 4 trained: 'caf�'
#   with the end of the turn inside: all are trained
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 \
  accelerate==1.15.0 datasets==5.2.0 trl==1.16.0
cd "$work"
OMP_NUM_THREADS=1 PYTHONUTF8=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

BLOCK = "{% generation %}{{ m.content }}{% endgeneration %}<end>"
WHOLE = "{% generation %}{{ m.content }}<end>{% endgeneration %}"
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<bot>BLOCK"
    "{% else %}<user>{{ m.content }}<end>{% endif %}{% endfor %}"
)
ANSWERS = ("yes", "yes 👍", "你好", "café")

words = Tokenizer(models.BPE())
words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
words.decoder = decoders.ByteLevel()
words.train_from_iterator(
    ["yes no question answer"] * 4,
    trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<end>", "<user>", "<bot>"],
    ),
)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
)


def trained(block):
    """Return the tokens that SFTTrainer gives labels, an answer each."""
    tokenizer.chat_template = TEMPLATE.replace("BLOCK", block)
    turns = [
        {
            "messages": [
                {"role": "user", "content": "question"},
                {"role": "assistant", "content": answer},
            ]
        }
        for answer in ANSWERS
    ]
    trainer = SFTTrainer(
        model,
        SFTConfig(
            output_dir="out",
            assistant_only_loss=True,
            report_to="none",
            bf16=False,
            use_cpu=True,
            per_device_train_batch_size=1,
        ),
        train_dataset=Dataset.from_list(turns),
        processing_class=tokenizer,
    )
    rows = [trainer.train_dataset[number] for number in range(len(ANSWERS))]
    batches = [trainer.data_collator([row])["labels"][0].tolist() for row in rows]
    return [[token for token in labels if token != -100] for labels in batches]


end = tokenizer.eos_token_id
for answer, marked, whole in zip(ANSWERS, trained(BLOCK), trained(WHOLE), strict=True):
    tokens = tokenizer(answer, add_special_tokens=False)["input_ids"]
    print(f"{answer}: {len(tokens)} tokens, {len(marked)} trained: {tokenizer.decode(marked)!r}")
    assert whole == [*tokens, end], (tokens, whole)
    last = len(answer[-1].encode())
    assert marked == tokens[: len(tokens) - last + 1], (answer, tokens, marked)
print("with the end of the turn inside: all are trained")
PY
