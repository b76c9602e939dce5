#!/usr/bin/env bash
# One would guess: from_pretrained gives float32 weights, and bf16=True in the arguments means
#   mixed precision on top of them.
# What happens: since transformers 5 the dtype is the checkpoint's. A bfloat16 checkpoint (as
#   nearly all published ones are) is trained in bfloat16, the optimizer's state too. At a
#   learning rate of 1e-5 an update is below half a step of most weights and is rounded away:
#   after 50 steps some 15 % of the weights have moved, in float32 all; the loss falls by a tenth
#   of what it falls in float32. The gradient norm is the same in both, and nothing warns.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen:
#   torch.bfloat16: 15.0% of the weights moved, eval_loss fell by 0.0003, last grad_norm 1.19
#   torch.float32: 99.6% of the weights moved, eval_loss fell by 0.0031, last grad_norm 1.18
#   dtype without an argument: torch.bfloat16
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

transformers.utils.logging.set_verbosity_error()
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
)
LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained("base")
ids = torch.randint(3, 64, (64, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


def measure(**dtype):
    model = LlamaForCausalLM.from_pretrained("base", **dtype)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    arguments = TrainingArguments(
        output_dir="out",
        max_steps=50,
        per_device_train_batch_size=4,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        bf16=True,
        logging_steps=50,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    first = trainer.evaluate()["eval_loss"]
    trainer.train()
    fell = first - trainer.evaluate()["eval_loss"]
    norm = next(row["grad_norm"] for row in trainer.state.log_history if "grad_norm" in row)
    moved = sum((weight != before[name]).sum().item() for name, weight in model.named_parameters())
    return model.dtype, moved / sum(each.numel() for each in before.values()), fell, norm


results = {}
for name, dtype in (("default", {}), ("float32", {"dtype": torch.float32})):
    kind, share, fell, norm = results[name] = measure(**dtype)
    print(
        f"{kind}: {share:.1%} of the weights moved, "
        f"eval_loss fell by {fell:.4f}, last grad_norm {norm:.2f}"
    )
print("dtype without an argument:", results["default"][0])

assert results["default"][0] == torch.bfloat16 and results["float32"][0] == torch.float32
assert results["default"][1] < 0.3 and results["float32"][1] > 0.95
assert results["default"][2] < 0.6 * results["float32"][2]
assert abs(results["default"][3] - results["float32"][3]) < 0.1
PY
