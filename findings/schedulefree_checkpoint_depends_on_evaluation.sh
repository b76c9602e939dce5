#!/usr/bin/env bash
# One would guess: evaluating changes nothing that is saved, and a checkpoint holds the model of
#   its step, whose loss the evaluation at that step gives.
# What happens: schedule-free optimizers keep two sets of weights, one to train on and one to use.
#   The Trainer changes to the second for an evaluation and back at the next training step, but
#   not for saving. With an evaluation at the same step the checkpoint holds the weights to use;
#   without one it holds those to train on, and so does save_model() after train(). Same seed,
#   same steps, same loss curve, other weights in the file.
# Versions: schedulefree 1.4.1, transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (the loss that the file of step 20 has, loaded anew):
#   evaluated at step 20: eval_loss 2.9648, of the file 2.9648
#   not evaluated at step 20: of the file 2.8457
#   training losses of the two runs differ by at most 2e-07
#   save_model() after train(): 1.2716, evaluate() of the same trainer 1.4473
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 \
  accelerate==1.15.0 schedulefree==1.4.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
ids = torch.randint(3, 64, (16, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


def trainer(model, **settings):
    arguments = TrainingArguments(
        max_steps=40,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        optim="schedule_free_adamw",
        logging_steps=10,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        **settings,
    )
    return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)


def run(folder, **settings):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    made = trainer(LlamaForCausalLM(config), output_dir=folder, save_steps=20, **settings)
    made.train()
    return made


def loss_of(folder):
    model = LlamaForCausalLM.from_pretrained(folder)
    return trainer(model, output_dir="again").evaluate()["eval_loss"]


def logged(made, key):
    return {row["step"]: row[key] for row in made.state.log_history if key in row}


plain = run("plain")
plain.save_model("final")
evaluated = run("evaluated", eval_strategy="steps", eval_steps=20)
shown = logged(evaluated, "eval_loss")[20]
with_one, without = loss_of("evaluated/checkpoint-20"), loss_of("plain/checkpoint-20")
left, right = logged(plain, "loss"), logged(evaluated, "loss")
apart = max(abs(left[step] - right[step]) for step in left)
final, told = loss_of("final"), plain.evaluate()["eval_loss"]
print(f"evaluated at step 20: eval_loss {shown:.4f}, of the file {with_one:.4f}")
print(f"not evaluated at step 20: of the file {without:.4f}")
print(f"training losses of the two runs differ by at most {apart:.1g}")
print(f"save_model() after train(): {final:.4f}, evaluate() of the same trainer {told:.4f}")

assert abs(shown - with_one) < 1e-3
assert abs(shown - without) > 0.02
assert apart < 1e-3
assert abs(final - told) > 0.02
PY
