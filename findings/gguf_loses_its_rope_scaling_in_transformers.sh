#!/usr/bin/env bash
# One would guess: from_pretrained(folder, gguf_file="model.gguf") makes the model that the file
#   describes, to go on training it; what the file has and transformers cannot do is refused.
# What happens: the weights come over to the last bit, the frequency base as well, the scaling of
#   the rotary embedding does not: rope.scaling.type and .factor (linear, YaRN) and the tensor
#   rope_freqs.weight (Llama 3.1 and later) are passed over in silence. The model is at sea at
#   once (linear), or beyond the context it was first trained on (the others), and a fine-tuning
#   from there learns other positions than the file's model has. rope_parameters set on the loaded
#   configuration, before the model is made of it, cure it.
# Versions: transformers 5.23.0, gguf 0.19.0, torch 2.13.0, Python 3.11.
# Output seen (a tiny Llama that has learned to repeat 16 words, its positions divided by 8):
#   linear: file says linear, factor 8; loaded default; weights equal True; loss 0.00, loaded 11.46
#   yarn: file says yarn, factor 8; loaded default; weights equal True
#   llama3: file has rope_freqs.weight; loaded default; weights equal True
#   linear, with its rope_parameters given: loss 0.00
#   warnings that name rope: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile torch==2.13.0 transformers==5.23.0 gguf==0.19.0 \
    accelerate==1.15.0
cd "$work"
"$work/venv/bin/python" - <<'PY' 2>stderr
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

HEADS, LAYERS, FACTOR = 2, 2, 8.0
KINDS = {
    "linear": {"factor": FACTOR},
    "yarn": {"factor": FACTOR, "original_max_position_embeddings": 64},
    "llama3": {
        "factor": FACTOR,
        "original_max_position_embeddings": 64,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def made(kind):
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=512,
            rope_parameters={"rope_type": kind, "rope_theta": 10_000.0, **KINDS[kind]},
        )
    )


def batch(rows):
    ids = torch.randint(3, 64, (rows, 16)).repeat(1, 3)
    labels = ids.clone()
    labels[:, :16] = -100
    return {"input_ids": ids, "labels": labels}


def loss_of(model):
    torch.manual_seed(5)
    with torch.no_grad():
        return model.eval()(**batch(64)).loss.item()


def write(model, kind, file):
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_vocab_size(64)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(128)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(32)
    if kind == "llama3":  # converters write the factor of each frequency
        plain = 10_000.0 ** -(torch.arange(0, 32, 2) / 32)
        factors = (plain / model.model.rotary_emb.inv_freq).numpy()
        writer.add_tensor("rope_freqs.weight", np.ascontiguousarray(factors, np.float32))
    else:
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(FACTOR)
        writer.add_rope_scaling_orig_ctx_len(64)
    writer.add_file_type(0)
    for name, weight in model.state_dict().items():
        values, stem = weight.numpy(), name.removesuffix(".weight")
        if stem not in NAMES:
            _, _, layer, stem = stem.split(".", 3)
        if stem.endswith(("q_proj", "k_proj")):  # llama.cpp pairs neighbours, transformers halves
            halves = values.reshape(HEADS, 2, -1, values.shape[1])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        block = "" if name.startswith(("model.embed", "model.norm", "lm_head")) else f"blk.{layer}."
        writer.add_tensor(f"{block}{NAMES[stem]}.weight", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


for kind in KINDS:
    model = made(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(300 if kind == "linear" else 0):
        optimizer.zero_grad()
        model(**batch(32)).loss.backward()
        optimizer.step()
    write(model, kind, f"{kind}.gguf")
    fields = gguf.GGUFReader(f"{kind}.gguf").fields
    told = fields.get("llama.rope.scaling.type")
    says = "has rope_freqs.weight"
    if told:
        factor = fields["llama.rope.scaling.factor"].contents()
        says = f"says {told.contents()}, factor {factor:g}"
    loaded = AutoModelForCausalLM.from_pretrained(".", gguf_file=f"{kind}.gguf")
    taken = loaded.config.rope_parameters["rope_type"]
    pairs = zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    equal = all(torch.equal(one, other) for one, other in pairs)
    line = f"{kind}: file {says}; loaded {taken}; weights equal {equal}"
    if kind == "linear":
        trained, lost = loss_of(model), loss_of(loaded)
        line += f"; loss {trained:.2f}, loaded {lost:.2f}"
        config = AutoConfig.from_pretrained(".", gguf_file="linear.gguf")
        config.rope_parameters = model.config.rope_parameters
        cured = loss_of(
            AutoModelForCausalLM.from_pretrained(".", gguf_file="linear.gguf", config=config)
        )
    print(line)
    assert taken == "default" and equal
print(f"linear, with its rope_parameters given: loss {cured:.2f}")
named = sum("rope" in line for line in Path("stderr").read_text().lower().splitlines())
print(f"warnings that name rope: {named}")

assert trained < 0.1 and lost > 2 and abs(cured - trained) < 0.01 and named == 0
PY
