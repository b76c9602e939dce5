"""The text, the tokenizer and the model that the runs begin with."""

from __future__ import annotations

import random
import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

CUDA = torch.cuda.is_available()
DOCSTRING = re.compile(r'def ([a-z][a-z_0-9]{3,30})\([^"]{0,400}?:\s*"""(.*?)"""', re.DOTALL)
SPECIAL = ("<pad>", "<unk>", "<|end|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
Pair = tuple[str, str]
"""The name of a function and its docstring, or a question and its answer."""


class Size:
    """How large everything is: as on the GPU, or tiny."""

    def __init__(self, *, tiny: bool) -> None:
        self.megabytes = 3 if tiny else 120
        self.vocabulary = 1000 if tiny else 8192
        self.width, self.layers, self.heads = (64, 2, 2) if tiny else (512, 10, 8)
        self.length, self.batch = (64, 8) if tiny else (256, 64)
        self.pretraining_steps = 150 if tiny else 700
        self.rows, self.eval_rows = (256, 32) if tiny else (6000, 64)
        self.steps, self.every = (40, 20) if tiny else (160, 20)


def functions(size: Size) -> list[Pair]:
    """Return names and docstrings of functions, in an order that is the same everywhere."""
    roots = [Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib")]
    found: dict[str, str] = {}
    left = size.megabytes * 2**20
    for path in (path for root in roots for path in sorted(root.rglob("*.py"))):
        if left <= 0:
            break
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        left -= len(text)
        for name, docstring in DOCSTRING.findall(text):
            plain = " ".join(docstring.split())
            if len(plain) > 80 and plain.isascii():
                found.setdefault(plain, name)
    pairs = [(name, text) for text, name in found.items()]
    random.Random(0).shuffle(pairs)
    return pairs


def make_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Return a byte-level tokenizer trained on the texts."""
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
        unk_token="<unk>",
        eos_token="<|end|>",
        extra_special_tokens=["<|user|>", "<|assistant|>"],
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(size: Size, tokenizer: Any) -> Any:
    """Return an untrained model with dropout."""
    set_seed(0)
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.width,
            intermediate_size=4 * size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=512,
            attention_dropout=0.1,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=2,
            bos_token_id=None,
        )
    )
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    return model.to("cuda" if CUDA else "cpu")


def pretrain(model: Any, size: Size, tokenizer: Any, texts: Sequence[str]) -> None:
    """Train a model on the texts, one behind the other."""
    ids = [token for row in tokenizer(list(texts))["input_ids"] for token in (*row, 2)]
    stream = torch.tensor(ids, device=model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, size.pretraining_steps)
    for step in range(size.pretraining_steps):
        starts = torch.randint(len(stream) - size.length, (size.batch,)).tolist()
        batch = torch.stack([stream[start : start + size.length] for start in starts])
        with torch.autocast(model.device.type, torch.bfloat16, enabled=CUDA):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % max(1, size.pretraining_steps // 5) == 0:
            print(f"pretraining step {step}: loss {loss.item():.3f}", flush=True)
    print(f"pretrained on {len(ids):,} tokens of text")


def fresh(model: Any, attention: str = "sdpa") -> Any:
    """Return a copy of a model."""
    copy = LlamaForCausalLM(model.config).to(model.device)
    copy.load_state_dict(model.state_dict())
    copy.set_attn_implementation(attention)
    return copy
