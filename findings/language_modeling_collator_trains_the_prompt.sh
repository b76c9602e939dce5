#!/usr/bin/env bash
# One would guess: DataCollatorForLanguageModeling(tokenizer, mlm=False) makes labels where rows have none,
#   and keeps those that they have: prompts masked by -100 stay masked, as with transformers' other
#   collators.
# What happens: it copies input_ids over them and masks the pad token only: the prompt is trained, and an end
#   of the answers that is the pad token is not. Where rows differ in length their labels are an error of
#   shape before that, so it shows; rows that were padded to max_length, or are alone in their batch, train
#   the prompt in silence. DataCollatorForSeq2Seq, DataCollatorWithFlattening and default_data_collator
#   keep the labels.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (rows of a prompt of 5 tokens, an answer of 2 and its end, padded to 10, pad token = end; how
#   many of them have a label in the batches of the Trainer):
#   language modeling, padded rows: prompt 5 of 5, answer 2 of 2, end 0 of 1
#   language modeling, one row a batch: prompt 5 of 5, answer 2 of 2, end 0 of 1
#   seq2seq: prompt 0 of 5, answer 2 of 2, end 1 of 1
#   flattening: prompt 0 of 5, answer 2 of 2, end 1 of 1
#   default_data_collator: prompt 0 of 5, answer 2 of 2, end 1 of 1
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
from tokenizers import Tokenizer, models
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

END, PROMPT, ANSWER, LENGTH = 0, [3, 4, 5, 6, 7], [8, 9], 10
words = {"<end>": END, **{f"w{number}": number for number in range(1, 64)}}
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<end>")),
    eos_token="<end>",
    pad_token="<end>",
)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
)


def row(padded):
    ids = PROMPT + ANSWER + [END]
    labels = [-100] * len(PROMPT) + ANSWER + [END]
    more = LENGTH - len(ids) if padded else 0
    return {
        "input_ids": ids + [END] * more,
        "attention_mask": [1] * len(ids) + [0] * more,
        "labels": labels + [-100] * more,
    }


def trained(name, collator, rows, batch):
    """Return how many tokens of a row's prompt, answer and end have a label."""
    trainer = Trainer(
        LlamaForCausalLM(config),
        TrainingArguments(
            output_dir="out", per_device_train_batch_size=batch, report_to="none", use_cpu=True
        ),
        data_collator=collator,
        train_dataset=rows,
    )
    labels = next(iter(trainer.get_train_dataloader()))["labels"].flatten().tolist()
    parts = tuple(
        sum(label != -100 for label in labels[start:stop])
        for start, stop in ((0, len(PROMPT)), (len(PROMPT), 7), (7, 8))
    )
    print(
        f"{name}: prompt {parts[0]} of 5, answer {parts[1]} of 2, end {parts[2]} of 1", flush=True
    )
    return parts


padded, single = [row(True)] * 4, [row(False)] * 4
copying = DataCollatorForLanguageModeling(tokenizer, mlm=False)
found = [
    trained("language modeling, padded rows", copying, padded, 2),
    trained("language modeling, one row a batch", copying, single, 1),
]
kept = [
    trained("seq2seq", DataCollatorForSeq2Seq(tokenizer), padded, 2),
    trained("flattening", DataCollatorWithFlattening(), single, 2),
    trained("default_data_collator", default_data_collator, padded, 2),
]
assert found == [(5, 2, 0), (5, 2, 0)], found
assert kept[0] == kept[2] == (0, 2, 1) and kept[1] == (0, 2, 1), kept
PY
