#!/usr/bin/env bash
# One would guess: get_peft_model(model, AdaLoraConfig(init_r=8, target_r=2, ...)) and the Trainer
#   make AdaLoRA: the ranks are cut to target_r on average, the loss is the model's.
# What happens: ranks are cut by model.base_model.update_and_allocate(step), which neither the
#   Trainer nor TRL calls (the text of AdaLoRA's class tells loops of one's own to): every rank is
#   as it was, all settings of the schedule are idle, in silence. And the penalty for
#   orthogonality is part of outputs.loss: it is in eval_loss, and under gradient accumulation it
#   is added once per piece, not once per step.
# Versions: peft 0.21.2, transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (init_r 8, target_r 2, 2 layers of 2 matrices: 8 ranks to keep of 32):
#   ranks in use after the run: 32 of 32; with update_and_allocate called: 8
#   eval_loss 4.56, cross-entropy of the same rows 4.16
#   first loss, batch 8 x 1: 5.56; batch 1 x 8: 15.33
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
from peft import AdaLoraConfig, get_peft_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
STEPS = 30
ids = torch.randint(3, 64, (8, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


class Allocate(TrainerCallback):
    """What the Trainer leaves out."""

    def on_optimizer_step(self, args, state, control, model, **more):
        model.base_model.update_and_allocate(state.global_step)


def run(pieces=1, steps=STEPS, callbacks=()):
    torch.manual_seed(0)
    model = get_peft_model(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=2,
            )
        ),
        AdaLoraConfig(
            init_r=8,
            target_r=2,
            tinit=5,
            tfinal=10,
            total_step=STEPS,
            target_modules=["q_proj", "v_proj"],
            task_type="CAUSAL_LM",
        ),
    )
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir="out",
            max_steps=steps,
            per_device_train_batch_size=8 // pieces,
            gradient_accumulation_steps=pieces,
            learning_rate=1e-2,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=list(callbacks),
    )
    trainer.train()
    alive = sum(
        int((weight != 0).sum()) for name, weight in model.named_parameters() if "lora_E" in name
    )
    with torch.no_grad():
        outputs = model.eval()(input_ids=ids)
        plain = torch.nn.functional.cross_entropy(
            outputs.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
        ).item()
    return trainer.state.log_history[0]["loss"], alive, trainer.evaluate()["eval_loss"], plain


_, alone, evaluated, plain = run()
_, called, _, _ = run(callbacks=[Allocate()])
first = {pieces: run(pieces, steps=1)[0] for pieces in (1, 8)}
print(f"ranks in use after the run: {alone} of 32; with update_and_allocate called: {called}")
print(f"eval_loss {evaluated:.2f}, cross-entropy of the same rows {plain:.2f}")
print(f"first loss, batch 8 x 1: {first[1]:.2f}; batch 1 x 8: {first[8]:.2f}")

assert alone == 32 and called == 8
assert evaluated - plain > 0.05
assert first[8] - first[1] > 1
PY
