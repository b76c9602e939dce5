#!/usr/bin/env bash
# One would guess: gradient_accumulation_steps=8 with a batch of 1 is the batch of 8 in smaller
#   pieces, for the whole loss; the Trainer has normalised the loss over the pieces since 4.46.
# What happens: the cross-entropy is divided by the tokens of all pieces, the load balancing loss
#   of a mixture of experts (output_router_logits=True) is not: the model adds it whole to each
#   piece. With N pieces router_aux_loss_coef counts N times, in the gradient of the routers and in
#   the logged loss; eval_loss has it once. TRL's SFTTrainer counts it once.
# Versions: transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, Python 3.11.
# Output seen (router_aux_loss_coef 0.02, the same 8 rows, first step):
#   batch 8 x 1: loss 4.221, of it router 0.041; routers' gradient by it 0.0006, by the rest 0.0007
#   batch 4 x 2: loss 4.263, of it router 0.082; routers' gradient by it 0.0016, by the rest 0.0007
#   batch 1 x 8: loss 4.515, of it router 0.335; routers' gradient by it 0.0081, by the rest 0.0007
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
from transformers import (
    MixtralConfig,
    MixtralForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
ids = torch.randint(3, 64, (8, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]


class Routers(TrainerCallback):
    """The gradient of all routers, before the step."""

    def on_pre_optimizer_step(self, args, state, control, model, **more):
        self.gradient = torch.cat(
            [
                weight.grad.flatten().clone()
                for name, weight in model.named_parameters()
                if name.endswith("mlp.gate.weight")
            ]
        )


def step(pieces, balanced):
    torch.manual_seed(0)
    model = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            num_local_experts=4,
            router_aux_loss_coef=0.02,
            output_router_logits=balanced,
        )
    )
    for name, weight in model.named_parameters():  # routers that have their favourites
        if name.endswith("mlp.gate.weight"):
            torch.nn.init.normal_(weight)
    routers = Routers()
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir="out",
            max_steps=1,
            per_device_train_batch_size=8 // pieces,
            gradient_accumulation_steps=pieces,
            max_grad_norm=0.0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=rows,
        callbacks=[routers],
    )
    trainer.train()
    return trainer.state.log_history[0]["loss"], routers.gradient


seen = {}
for pieces in (1, 2, 8):
    loss, gradient = step(pieces, True)
    bare, others = step(pieces, False)
    seen[pieces] = loss - bare, (gradient - others).norm().item()
    print(
        f"batch {8 // pieces} x {pieces}: loss {loss:.3f}, of it router {seen[pieces][0]:.3f}; "
        f"routers' gradient by it {seen[pieces][1]:.4f}, by the rest {others.norm():.4f}"
    )

assert 1.9 < seen[2][0] / seen[1][0] < 2.3 and 7.5 < seen[8][0] / seen[1][0] < 10
assert seen[8][1] > 4 * seen[1][1]
PY
