"""Rows of questions and answers as users have them, and the faults that rows can have."""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.gpu.finetunes.matrix import Spec

Pair = tuple[str, str]
Dataset: Any = importlib.import_module("datasets").Dataset

END = "{% endgeneration %}"
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|assistant|>\n"
    "{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}\n"
    "{% else %}<|user|>\n{{ message['content'] }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
OTHER_TEMPLATE = "### Question: {}\n### Answer: {}"
SHARD = (0.4, 0.55)
"""The part of the rows that is corrupted, in the order of training."""


def split(spec: Spec, questions: dict[str, list[Pair]]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs of training and evaluation; the held-out ones come from the front."""
    held = questions[spec.eval_source][: spec.eval_rows]
    pool = questions[spec.source][400:]
    draw = random.Random(1000 + spec.seed)
    train = draw.sample(pool, min(spec.rows, len(pool)))
    if spec.fault == "answers-of-others":
        answers = [answer for _, answer in train]
        train = [(q, a) for (q, _), a in zip(train, answers[1:] + answers[:1], strict=True)]
    if spec.fault == "corrupted-shard":
        first, last = (int(share * len(train)) for share in SHARD)
        train[first:last] = [(q, scrambled(a, draw)) for q, a in train[first:last]]
    if spec.fault == "unshuffled":
        other = questions["python"][400:]
        half = len(train) // 2
        train[half:] = draw.sample(other, min(len(train) - half, len(other)))
    return train, held


def scrambled(answer: str, draw: random.Random) -> str:
    """Return the answer's characters in another order, as a wrong decoding would leave them."""
    return "".join(draw.sample(answer, len(answer)))


def conversation(pair: Sequence[str]) -> dict[str, Any]:
    """Return a row of messages."""
    roles = ("user", "assistant")
    return {"messages": [{"role": r, "content": c} for r, c in zip(roles, pair, strict=True)]}


def tokens(pair: Sequence[str], tokenizer: Any, fault: str) -> dict[str, list[int]]:
    """Return a row of tokens with labels that have the fault."""
    shown = tokenizer.apply_chat_template(
        conversation(pair)["messages"], return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = list(shown["input_ids"]), list(shown["assistant_masks"])
    labels = [token if seen else -100 for token, seen in zip(ids, mask, strict=True)]
    if fault == "misaligned":
        # One token late, as where the collator shifts what the model shifts again.
        labels = [*labels[1:], -100]
    return {"input_ids": ids, "labels": labels}


def datasets(spec: Spec, questions: dict[str, list[Pair]], tokenizer: Any) -> tuple[Any, Any]:
    """Return the rows of training and evaluation."""
    train, held = split(spec, questions)
    if spec.fault == "misaligned":
        rows = [[tokens(pair, tokenizer, spec.fault) for pair in part] for part in (train, held)]
    elif spec.fault == "eval-template":
        rows = [[tokens(pair, tokenizer, "") for pair in train], []]
        for question, answer in held:
            asked = tokenizer(OTHER_TEMPLATE.format(question, ""))["input_ids"]
            reply = tokenizer(answer + tokenizer.eos_token)["input_ids"]
            labels = [-100] * len(asked) + reply
            rows[1].append({"input_ids": asked + reply, "labels": labels})
    else:
        rows = [[conversation(pair) for pair in part] for part in (train, held)]
    return Dataset.from_list(rows[0]), Dataset.from_list(rows[1])


def template(fault: str) -> str:
    """Return the chat template; with the end of turn outside its marks where that is the fault."""
    return (
        TEMPLATE.replace(f"<|end|>{END}", f"{END}<|end|>") if fault == "end-of-turn" else TEMPLATE
    )
