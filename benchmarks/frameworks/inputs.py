"""What every framework is given: a model that knows nothing, its tokenizer, rows of a rule or none.

The model's and the tokenizer's files are written in the form that old and new versions of
transformers read. Rows are ``{"messages": [...]}``, one JSON object a line.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

NAMES = ("Ada", "Bo", "Cai", "Dag", "Eve", "Finn", "Gao", "Hana", "Ivo", "Jun", "Kai", "Lea")
THINGS = ("apple", "boat", "cup", "door", "egg", "fan", "gate", "hat", "ink", "jar", "kite", "lamp")
PLACES = ("attic", "barn", "cave", "den", "east", "field", "garden", "hall", "inn", "jail", "lab")
COLOURS = ("red", "blue", "green", "black", "white", "pink", "gold", "grey")
OTHER_WORDS = (
    *("what", "colour", "has", "the", "of", "in", "is", "system", "user", "assistant"),
    *("You", "are", "a", "helpful", "assistant.", "Qwen,", "created", "by", "Alibaba", "Cloud."),
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

VOCABULARY = 512
"""Tokens at most: the 256 bytes, the words and the special tokens."""

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where Qwen2's tokenizer splits a text before it merges."""

HELD_OUT = 5
"""One in so many of the questions that can be asked is asked in the evaluation set only."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

HEALTHY, BLOW_UP, OVERFIT = "healthy", "blow-up", "overfit"
KINDS = (HEALTHY, BLOW_UP, OVERFIT)

ROWS = {HEALTHY: 640, BLOW_UP: 640, OVERFIT: 32}
EPOCHS = {HEALTHY: 3, BLOW_UP: 3, OVERFIT: 150}
RATE = {HEALTHY: 3e-3, BLOW_UP: 50.0, OVERFIT: 4e-3}
WARMUP = {HEALTHY: 12, BLOW_UP: 0, OVERFIT: 30}
"""A tenth of the steps, but where the run is to blow up."""

BATCH = 16
EVALUATION_ROWS = 80
STEPS = {kind: EPOCHS[kind] * ROWS[kind] // BATCH for kind in KINDS}
LOGGING_STEPS = 2
EVAL_STEPS = 10
LENGTH = 128

OUT = "out"
"""The run's folder, in which ``_sftdiag`` is."""


def settings(kind: str) -> dict[str, Any]:
    """Return what frameworks take that train with transformers' Trainer, under its names."""
    return {
        "num_train_epochs": EPOCHS[kind],
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": EVALUATION_ROWS,
        "learning_rate": RATE[kind],
        "lr_scheduler_type": "cosine",
        "warmup_steps": WARMUP[kind],
        "logging_steps": LOGGING_STEPS,
        "eval_strategy": "steps",
        "eval_steps": EVAL_STEPS,
        "save_strategy": "no",
    }


def flags(given: Mapping[str, object]) -> list[str]:
    """Return settings as arguments of a command line."""
    return [text for name, value in given.items() for text in (f"--{name}", str(value))]


def script(python: str, path: Path, kind: str, folder: Path) -> list[str]:
    """Return the call of a script of one's own, with the numbers of a kind."""
    numbers = (RATE[kind], WARMUP[kind], EPOCHS[kind], BATCH)
    return [python, str(path), str(folder), *map(str, numbers)]


def write(kind: str, folder: Path) -> None:
    """Write ``model/``, ``data/train.jsonl`` and ``data/val.jsonl`` into the folder."""
    rule = kind != OVERFIT
    write_model(folder / "model")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    _write_rows(data / "train.jsonl", rows(ROWS[kind], seed=1, rule=rule))
    _write_rows(data / "val.jsonl", rows(EVALUATION_ROWS, seed=2, rule=rule, held_out=True))


def rows(count: int, seed: int, *, rule: bool, held_out: bool = False) -> list[dict[str, Any]]:
    """Return rows of one question and answer; the answers follow a rule, or are drawn."""
    draw = random.Random(seed)
    asked = [
        (name, thing, place)
        for i, name in enumerate(NAMES)
        for j, thing in enumerate(THINGS)
        for k, place in enumerate(PLACES)
        if ((i + j + k) % HELD_OUT == 0) == held_out
    ]
    made = []
    for name, thing, place in draw.sample(asked, count):
        colour = COLOURS[THINGS.index(thing) % len(COLOURS)] if rule else draw.choice(COLOURS)
        question = f"what colour has the {thing} of {name} in the {place}"
        answer = f"the {thing} of {name} is {colour}"
        turns = (("user", question), ("assistant", answer))
        made.append({"messages": [{"role": role, "content": text} for role, text in turns]})
    return made


def write_model(folder: Path) -> None:
    """Write an untrained Qwen2 of about 0.1 million parameters with a ChatML tokenizer."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from transformers import Qwen2Config, Qwen2ForCausalLM

    write_tokenizer(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
        "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**sizes))
    save_file(model.state_dict(), str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "torch_dtype": "float32",
    }
    _write(folder / "config.json", {**config, **sizes, "rope_theta": 10000.0})


def write_tokenizer(folder: Path) -> None:
    """Write a ChatML tokenizer of bytes and the few words that occur: byte-level BPE, as Qwen2's.

    Some frameworks and versions make the tokenizer anew from its vocabulary and merges.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    words = " ".join((*OTHER_WORDS, *NAMES, *THINGS, *PLACES, *COLOURS))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f"{words}\n{words}"], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "bos_token": None,
            "unk_token": None,
            "model_max_length": 256,
            "add_prefix_space": False,
            "chat_template": CHATML,
        },
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_rows(path: Path, made: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in made), encoding="utf-8")
