#!/usr/bin/env bash
# One would guess: label_smoothing_factor=0.1 softens the targets of the same loss, whatever else is
#   set: a model that predicts the next token goes on doing so.
# What happens: with smoothing the Trainer makes the loss itself, and shifts the labels only where
#   the name of the model's class is in the list of causal language models. A compiled model
#   (torch_compile=True) is an OptimizedModule, of a prefix-tuned one the name of the model below
#   the head is looked up, and Qwen2-VL, Qwen2.5-VL, Qwen3-VL, Qwen3.5's and Mistral 3's
#   ForConditionalGeneration, Llava and others are not in it. There the model is taught to repeat
#   the token that it just read, and the training loss falls as ever. eval_loss is made the same
#   way, so it falls, too; only of the compiled model, which evaluates uncompiled, it shows.
#   TRL's SFTTrainer always shifts.
# Versions: transformers 5.23.0, accelerate 1.15.0, peft 0.21.2, torch 2.13.0, Python 3.11.
# Output seen (150 steps on 8 rows; accuracy of the next token, and of the one just read):
#   smoothing 0, each of them: next 100%, same 1%
#   smoothing 0.1, Llama: next 100%, same 1%, loss 0.74, eval_loss 0.74
#     Llama, torch_compile: next 1%, same 100%, loss 0.79, eval_loss 6.50
#     Qwen2.5-VL: next 1%, same 100%, loss 0.74, eval_loss 0.74
#   the trained Llama with a prefix beside it: eval_loss 1.23 without smoothing, 6.11 with 0.1
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
from peft import PrefixTuningConfig, get_peft_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.trainer_callback.PrinterCallback.on_log = lambda *args, **more: None
ids = torch.randint(3, 56, (8, 16), generator=torch.Generator().manual_seed(1))
rows = [{"input_ids": row, "labels": row.clone()} for row in ids]
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def qwen():
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={**SIZES, **ends, "rope_parameters": rope},
            vision_config={**vision, "out_hidden_size": 32, "fullatt_block_indexes": [0]},
            image_token_id=60,
            video_token_id=61,
            vision_start_token_id=62,
            vision_end_token_id=63,
        )
    )


def trainer(model, smoothing, **settings):
    return Trainer(
        model,
        TrainingArguments(
            output_dir="out",
            max_steps=150,
            per_device_train_batch_size=8,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            label_smoothing_factor=smoothing,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **settings,
        ),
        train_dataset=rows,
        eval_dataset=rows,
    )


COMPILED = {"torch_compile": True, "torch_compile_backend": "eager"}  # needs no C++ compiler
RUNS = {
    "Llama": (llama, {}),
    "Llama, torch_compile": (llama, COMPILED),
    "Qwen2.5-VL": (qwen, {}),
}
seen, trained = {}, None
for name, (make, settings) in RUNS.items():
    told = []
    for smoothing in (0.0, 0.1):
        model = make()
        run = trainer(model, smoothing, **settings)
        run.train()
        loss = run.evaluate()["eval_loss"]
        with torch.no_grad():
            best = model.eval()(input_ids=ids, use_cache=False).logits.argmax(-1)
        following = (best[:, :-1] == ids[:, 1:]).float().mean().item()
        same = (best == ids).float().mean().item()
        seen[name, smoothing] = (following, same, loss)
        told.append(f"smoothing {smoothing:g}: next {following:.0%}, same {same:.0%}")
        if name == "Llama":
            trained = {key: value.clone() for key, value in model.state_dict().items()}
    last = run.state.log_history[-3]["loss"]
    print(f"{name}: {'; '.join(told)}, loss {last:.2f}, eval_loss {loss:.2f}")
    seen[name] = last

prefixed = {}
for smoothing in (0.0, 0.1):
    model = llama()
    model.load_state_dict(trained)
    torch.manual_seed(0)
    model = get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=1, task_type="CAUSAL_LM"))
    prefixed[smoothing] = trainer(model, smoothing).evaluate()["eval_loss"]
shown = ", ".join(f"{smoothing:g}: {loss:.2f}" for smoothing, loss in prefixed.items())
print(f"eval_loss of the trained Llama with a prefix beside it: smoothing {shown}")

for name in RUNS:
    following, same, _ = seen[name, 0.0]
    assert following > 0.9 and same < 0.2, (name, seen)
assert seen["Llama", 0.1][0] > 0.9
for name in ("Llama, torch_compile", "Qwen2.5-VL"):
    following, same, _ = seen[name, 0.1]
    assert following < 0.2 and same > 0.9, (name, seen)
    assert seen[name] < 1, (name, seen)
assert seen["Qwen2.5-VL", 0.1][2] < 1 and seen["Llama, torch_compile", 0.1][2] > 4, seen
assert prefixed[0.1] > prefixed[0.0] + 2, prefixed
PY
