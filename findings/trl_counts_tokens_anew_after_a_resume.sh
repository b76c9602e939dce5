#!/usr/bin/env bash
# One would guess: num_tokens in TRL's log is the number of tokens that the run has trained on; a run
#   resumed from a checkpoint goes on counting, as its step, epoch and num_input_tokens_seen do.
# What happens: the count is the trainer's own and is not in the checkpoint: it begins at 0 with each
#   resume, within one log_history. The last row holds the tokens since the last resume: a budget of
#   tokens, a curve over num_tokens or a cost that is made of it is too small, and the x axis runs
#   backwards. include_num_input_tokens_seen="non_padding" counts on.
# Versions: trl 1.16.0, transformers 5.23.0, datasets 5.2.0, accelerate 1.15.0, torch 2.13.0,
#   Python 3.11.
# Output seen (8 steps of 4 rows of 10 tokens; num_tokens, and num_input_tokens_seen of the Trainer):
#   in one go: num_tokens 40 80 120 160 200 240 280 320; seen 40 80 120 160 200 240 280 320
#   resumed at step 4: num_tokens 40 80 120 160 40 80 120 160; seen 40 80 120 160 200 240 280 320
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 trl==1.16.0 transformers==5.23.0 \
  datasets==5.2.0 accelerate==1.15.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import datasets
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

datasets.disable_progress_bars()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
words = {"<pad>": 0, "<end>": 1, **{f"w{number}": number + 2 for number in range(62)}}
plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")
texts = [" ".join(f"w{(row + 7 * at) % 62}" for at in range(9)) for row in range(32)]
rows = datasets.Dataset.from_dict({"text": texts})


def run(name, resumed=None):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        eos_token_id=1,
    )
    arguments = SFTConfig(
        output_dir="out",
        max_steps=8,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_steps=4,
        include_num_input_tokens_seen="non_padding",
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    model = LlamaForCausalLM(config)
    trainer = SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.train(resume_from_checkpoint=resumed)
    log = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["step"] for row in log] == list(range(1, 9))
    ours = [int(row["num_tokens"]) for row in log]
    seen = [int(row["num_input_tokens_seen"]) for row in log]
    print(
        f"{name}: num_tokens {' '.join(map(str, ours))}; seen {' '.join(map(str, seen))}",
        flush=True,
    )
    return ours, seen


whole, seen = run("in one go")
resumed, seen_resumed = run("resumed at step 4", "out/checkpoint-4")
assert whole == seen == seen_resumed == [40 * step for step in range(1, 9)], (whole, seen)
assert resumed == [40, 80, 120, 160] * 2, resumed
PY
