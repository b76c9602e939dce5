#!/usr/bin/env bash
# One would guess: weight decay on an adapter pulls towards the base model, as an adapter at zero
#   is no adapter; the names say so (a "delta" of trainable tokens, a DoRA beside the frozen base).
# What happens: it does for LoRA. IA3's factors, DoRA's magnitudes and BOFT's scales start at the
#   base's value, not at 0, and trainable tokens and modules_to_save are whole copies of its rows
#   and layers: decay pulls them to 0, off the base, where no gradient holds them. The Trainer gives
#   weight decay to all of them. rate x decay x steps is the shrink: 5e-3 x 0.1 x 500 takes 22 %.
# Versions: peft 0.21.2, transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (150 steps of loss 0, learning_rate 1e-2, weight_decay 0.1: change of the logits
#   against the base model, in parts of their size):
#   LoRA: 0.00
#   LoRA, DoRA: 0.20
#   LoRA, modules_to_save: 0.14
#   LoRA, trainable tokens: 0.09
#   IA3: 0.10
#   BOFT: 0.20
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 peft==0.21.2
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import transformers
from peft import BOFTConfig, IA3Config, LoraConfig, TrainableTokensConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
ids = torch.randint(3, 64, (4, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ADAPTERS = {
    "LoRA": LoraConfig(r=4, target_modules=ATTENTION),
    "LoRA, DoRA": LoraConfig(r=4, target_modules=ATTENTION, use_dora=True),
    "LoRA, modules_to_save": LoraConfig(
        r=4, target_modules=ATTENTION, modules_to_save=["lm_head"]
    ),
    "LoRA, trainable tokens": LoraConfig(
        r=4, target_modules=ATTENTION, trainable_token_indices=list(range(64))
    ),
    "IA3": IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "BOFT": BOFTConfig(boft_block_size=4, target_modules=ATTENTION),
}


class Learned(Trainer):
    """A run whose rows have nothing left to learn."""

    def compute_loss(self, model, inputs, *args, **more):
        return 0 * super().compute_loss(model, inputs, *args, **more)


def base():
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    for weight in model.parameters():  # as large as trained ones
        if weight.ndim > 1:
            weight.data.mul_(5)
    return model


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits


whole = logits(base())
moved = {}
for name, settings in ADAPTERS.items():
    model = get_peft_model(base(), settings)
    Learned(
        model,
        TrainingArguments(
            output_dir="out",
            max_steps=150,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            weight_decay=0.1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
    ).train()
    moved[name] = ((logits(model) - whole).norm() / whole.norm()).item()
    print(f"{name}: {moved[name]:.2f}")

assert moved.pop("LoRA") < 1e-6
assert min(moved.values()) > 0.05, moved
PY
