"""The base: a tokenizer and a Llama of 26 M parameters, pretrained from a fixed seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.gpu.finetunes.data import TEMPLATE

SPECIAL = ("<pad>", "<|end|>", "<|user|>", "<|assistant|>")
VOCABULARY = 8192
LENGTH = 512
BATCH = 64
STEPS = 1500
"""About 49 M tokens: two minutes of an H100."""
RATE = 1e-3
TOKENS = "tokens.npy"


def make_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer trained on the texts, with the chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|end|>",
        extra_special_tokens=["<|user|>", "<|assistant|>"],
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(vocabulary: int, *, tiny: bool) -> Any:
    """Return an untrained Llama."""
    # The tiny one in 64s, as 4-bit weights on a CPU must be.
    width, inner, layers = (64, 128, 2) if tiny else (512, 1376, 7)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            num_key_value_heads=width // 32,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def pretrain(model: Any, ids: torch.Tensor, *, steps: int, batch: int) -> None:
    """Train the model on windows of the tokens."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.05)
    windows = torch.arange(LENGTH, device=ids.device)
    for step in range(steps):
        starts = torch.randint(len(ids) - LENGTH, (batch,), device=ids.device)
        rows = ids[starts[:, None] + windows].long()
        with torch.autocast(model.device.type, torch.bfloat16, enabled=model.device.type == "cuda"):
            loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % max(1, steps // 5) == 0:
            print(f"pretraining step {step}: loss {loss.item():.3f}", flush=True)


def encode(texts: Sequence[str], folder: Path) -> int:
    """Train the tokenizer on the texts, save it and the texts' tokens; return their number."""
    tokenizer = make_tokenizer(texts[: len(texts) // 4], VOCABULARY)
    tokenizer.save_pretrained(folder)
    # The fast tokenizer takes all cores for a list of texts.
    encoded = tokenizer._tokenizer.encode_batch_fast([text + "<|end|>" for text in texts])
    ids = np.array([token for text in encoded for token in text.ids], dtype=np.int16)
    np.save(folder / TOKENS, ids)
    return len(ids)


def make(folder: Path, text: Path, *, tiny: bool) -> None:
    """Pretrain and save the base, unless the folder has it."""
    if (folder / "config.json").exists():
        return
    began = time.perf_counter()
    torch.manual_seed(0)
    tokenizer: Any = AutoTokenizer.from_pretrained(text)
    ids = torch.from_numpy(np.load(text / TOKENS))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = make_model(len(tokenizer), tiny=tiny).to(device)
    steps, batch = (40, 4) if tiny else (STEPS, BATCH)
    pretrain(model, ids.to(model.device), steps=steps, batch=batch)
    size = sum(parameter.numel() for parameter in model.parameters())
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"base of {size:,} parameters after {time.perf_counter() - began:.0f} s", flush=True)
