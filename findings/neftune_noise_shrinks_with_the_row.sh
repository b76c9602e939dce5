#!/usr/bin/env bash
# One would guess: neftune_noise_alpha=5 adds the same noise to a row however it is batched: padded to
#   a longer one beside it, or packed with others.
# What happens: the noise is divided by the root of the batch's width, padding and packed rows
#   included; in the paper it is the row's own length. Beside a row sixteen times as long it is a
#   quarter; packed to 2,048 an eighth of that of a row of 32 alone. packing=True, a larger
#   max_length or one long row turn the regularisation down, without a word; the setting
#   tried without packing is another one with it (alpha times the root of packed over usual length is
#   the same).
# Versions: transformers 5.23.0, trl 1.16.0, datasets 5.2.0, accelerate 1.15.0, torch 2.13.0,
#   Python 3.11.
# Output seen (rows of 32 tokens, alpha 5, 32 dimensions; the root mean square of what the Trainer
#   adds to their embeddings):
#   rows of 32: batch of (4, 32), noise 0.0904
#   beside a row of 512: batch of (2, 512), noise 0.0226
#   packing=True, max_length=2048: batch of (1, 2048), noise 0.0113
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 datasets==5.2.0 trl==1.16.0
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import torch
import transformers
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
words = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1, "a": 2}, unk_token="<pad>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")
SHORT, LONG = {"input_ids": [2] * 32}, {"input_ids": [2] * 512}


class Noise(TrainerCallback):
    """What is added to the embeddings of the batch's first row, in its first 32 places."""

    def on_step_begin(self, args, state, control, model, **more):
        embedding = model.get_input_embeddings()

        def measure(module, given, output):
            clean = torch.nn.functional.embedding(given[0], module.weight)
            self.size = (output - clean)[0, :32].pow(2).mean().sqrt().item()
            self.shape = tuple(given[0].shape)

        self.hook = embedding.register_forward_hook(measure)

    def on_step_end(self, args, state, control, **more):
        self.hook.remove()


def run(name, rows, batch, **settings):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=2048,
        )
    )
    noise = Noise()
    SFTTrainer(
        model,
        SFTConfig(
            output_dir="out",
            max_steps=1,
            per_device_train_batch_size=batch,
            neftune_noise_alpha=5,
            max_length=2048,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[noise],
    ).train()
    print(f"{name}: batch of {noise.shape}, noise {noise.size:.4f}")
    return noise.size


alone = run("rows of 32", [SHORT] * 8, 4)
beside = run("beside a row of 512", [SHORT, LONG], 2)
packed = run("packing=True, max_length=2048", [SHORT] * 256, 1, packing=True)
assert 3.5 < alone / beside < 4.5 and 7 < alone / packed < 9, (alone, beside, packed)
PY
