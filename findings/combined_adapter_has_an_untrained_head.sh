#!/usr/bin/env bash
# One would guess: add_weighted_adapter of an adapter with modules_to_save (a head, an embedding with new
#   tokens) and one without gives a combination with the trained head, or refuses it, as it refuses two
#   adapters that both have one; a single adapter with weight 1 comes back as it was.
# What happens: the combination has a head of its own, made anew from the base: what was learned there is
#   gone, by every combination_type, also of one adapter alone. It is saved with the combination, so the
#   folder looks whole. Where the one without is given first, there is no head at all. Nothing is said.
#   Copied by hand (module.modules_to_save["mix"].load_state_dict(...["chat"].state_dict())) it is right.
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Output seen (a tiny Llama; "chat" has learned 8 rows with lm_head and embed_tokens in modules_to_save,
#   "plain" is new, so that adding it changes nothing):
#   untrained 4.17, chat 0.06
#   linear of chat: loss 4.14, 2 heads saved, copied by hand 0.06
#   cat of chat: loss 4.14, 2 heads saved, copied by hand 0.06
#   svd of chat: loss 4.14, 2 heads saved, copied by hand 0.06
#   linear of chat and plain: loss 4.14, 2 heads saved, copied by hand 0.18
#   cat of chat and plain: loss 4.14, 2 heads saved, copied by hand 0.06
#   svd of chat and plain: loss 4.14, 2 heads saved, copied by hand 0.06
#   linear of plain and chat: loss 4.14, 0 heads saved
#   cat of plain and chat: loss 4.14, 0 heads saved
#   svd of plain and chat: loss 4.14, 0 heads saved
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 peft==0.21.2
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W ignore - <<'PY' 2>/dev/null
import warnings

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

HEADS, TARGETS = ["lm_head", "embed_tokens"], ["q_proj", "v_proj"]
ids = torch.randint(0, 64, (8, 16), generator=torch.Generator().manual_seed(1))


def loss(model):
    return model(input_ids=ids, labels=ids).loss


torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
)
chat = LoraConfig(r=8, target_modules=TARGETS, modules_to_save=HEADS)
model = get_peft_model(LlamaForCausalLM(config), chat, adapter_name="chat")
model.add_adapter("plain", LoraConfig(r=8, target_modules=TARGETS))
before = loss(model).item()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
for _ in range(60):
    optimizer.zero_grad()
    loss(model).backward()
    optimizer.step()
model.eval()
trained = loss(model).item()
print(f"untrained {before:.2f}, chat {trained:.2f}", flush=True)
assert before > 4 and trained < 0.5

wrappers = [module for module in model.modules() if hasattr(module, "modules_to_save")]
wrappers = [module for module in wrappers if "chat" in module.modules_to_save]
assert len(wrappers) == len(HEADS)
for adapters in (["chat"], ["chat", "plain"], ["plain", "chat"]):
    for how in ("linear", "cat", "svd"):
        name = f"{how}_{'_'.join(adapters)}"
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.add_weighted_adapter(adapters, [1.0] * len(adapters), name, how)
            model.set_adapter(name)
            mixed = loss(model).item()
            model.save_pretrained("saved", selected_adapters=[name])
        saved = load_file(f"saved/{name}/adapter_model.safetensors")
        heads = sum(any(head in key for head in HEADS) for key in saved)
        text = f"{how} of {' and '.join(adapters)}: loss {mixed:.2f}, {heads} heads saved"
        assert mixed > 3 and not told, (name, told)
        assert heads == (0 if adapters[0] == "plain" else len(HEADS)), name
        if heads:
            for wrapper in wrappers:
                learned = wrapper.modules_to_save["chat"].state_dict()
                wrapper.modules_to_save[name].load_state_dict(learned)
            cured = loss(model).item()
            text += f", copied by hand {cured:.2f}"
            assert cured < trained + 0.2, name
        print(text, flush=True)
PY
