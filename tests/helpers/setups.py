"""Real tiny trainers, healthy and with one fault each, by the way their rows are given."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import finetune
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers.processors import TemplateProcessing
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
BOS = "<s>"
EXTRA_WORDS = (BOS, "###", "Instruction:", "Response:", "always", "say", "this", "one", "thing")

OUTSIDE = finetune.TEMPLATE.replace(" <|end|>{% endgeneration %}", "{% endgeneration %} <|end|>")
UNMARKED = finetune.TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")

TWO_ROLES = (
    "{% for message in messages %}{% if message['role'] in ('user', 'assistant') %}"
    "<|{{ message['role'] }}|> {{ message['content'] }} <|end|> {% endif %}{% endfor %}"
)
"""Writes nothing for other roles."""

Rows = list[dict[str, Any]]


def tokenizer(*, bos: bool = False, template: str | None = finetune.TEMPLATE) -> Any:
    made = finetune.make_tokenizer()
    made.add_tokens(list(EXTRA_WORDS))
    made.chat_template = template
    if bos:
        made.bos_token = BOS
        made.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, made.bos_token_id)]
        )
    return made


def talks(count: int = 120, *, held_out: bool = False) -> list[tuple[str, str]]:
    rows = finetune.conversations(finetune.FAULTS["none"], count, seed=3, held_out=held_out)
    return [(m[0]["content"], m[1]["content"]) for m in rows["messages"]]


def messages(pairs: list[tuple[str, str]]) -> Rows:
    return [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in pairs
    ]


def prompt_completion(pairs: list[tuple[str, str]]) -> Rows:
    return [
        {"prompt": f"{USER} {q} {END} {ASSISTANT}", "completion": f" {a} {END}"} for q, a in pairs
    ]


def prompt_completion_messages(pairs: list[tuple[str, str]]) -> Rows:
    return [
        {
            "prompt": [{"role": "user", "content": q}],
            "completion": [{"role": "assistant", "content": a}],
        }
        for q, a in pairs
    ]


def text(
    pairs: list[tuple[str, str]], form: str = "{user} {q} {end} {assistant} {a} {end}"
) -> Rows:
    names = {"user": USER, "assistant": ASSISTANT, "end": END}
    return [{"text": form.format(q=q, a=a, **names)} for q, a in pairs]


ALPACA = "### Instruction: {q} ### Response: {a} {end}"


def tokens(
    pairs: list[tuple[str, str]],
    labels: Callable[[list[int], int], list[int]] | None = None,
    *,
    end: bool = True,
    known: Any = None,
) -> Rows:
    """Return tokenized rows; ``labels`` gets the ids and where the answer begins."""
    known = known or tokenizer()
    make = labels or answer_only
    rows = []
    for q, a in pairs:
        prompt = known(f"{USER} {q} {END} {ASSISTANT}", add_special_tokens=False)["input_ids"]
        answer = known(a + (f" {END}" if end else ""), add_special_tokens=False)["input_ids"]
        ids = prompt + answer
        rows.append({"input_ids": ids, "labels": make(ids, len(prompt))})
    return rows


def answer_only(ids: list[int], start: int) -> list[int]:
    return [-100] * start + ids[start:]


def everything(ids: list[int], start: int) -> list[int]:
    return list(ids)


def nothing(ids: list[int], start: int) -> list[int]:
    return [-100] * len(ids)


def shifted(ids: list[int], start: int) -> list[int]:
    return [*answer_only(ids, start)[1:], -100]


def other_tokens(ids: list[int], start: int) -> list[int]:
    return [-100] * start + [(token * 7 + 3) % 60 + 5 for token in ids[start:]]


def end_masked(ids: list[int], start: int) -> list[int]:
    return [*answer_only(ids, start)[:-1], -100]


def prompt_only(ids: list[int], start: int) -> list[int]:
    return ids[:start] + [-100] * (len(ids) - start)


def lora(model: LlamaForCausalLM, **more: Any) -> Any:
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], **more)
    return get_peft_model(model, config)


ARGUMENTS = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 8,
    "logging_steps": 1,
    "save_strategy": "no",
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "seed": 7,
}


def sft(
    folder: Path,
    train: Rows,
    evaluation: Rows | None = None,
    *,
    known: Any = None,
    peft: bool = False,
    **config: Any,
) -> SFTTrainer:
    known = known or tokenizer()
    model = finetune.make_model(known)
    return SFTTrainer(
        model=lora(model) if peft else model,
        args=SFTConfig(
            output_dir=str(folder),
            **{"bf16": False, "gradient_checkpointing": False, **ARGUMENTS, **config},
        ),
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(evaluation) if evaluation else None,
        processing_class=known,
    )


def plain(
    folder: Path,
    train: Any,
    evaluation: Any = None,
    *,
    known: Any = None,
    peft: bool = False,
    collator: Any = None,
    **arguments: Any,
) -> Trainer:
    known = known or tokenizer()
    model = finetune.make_model(known)
    return Trainer(
        model=lora(model) if peft else model,
        args=TrainingArguments(str(folder), **{**ARGUMENTS, **arguments}),
        train_dataset=Dataset.from_list(train) if isinstance(train, list) else train,
        eval_dataset=Dataset.from_list(evaluation) if isinstance(evaluation, list) else evaluation,
        data_collator=collator or DataCollatorForSeq2Seq(known, label_pad_token_id=-100),
        processing_class=known,
    )


def language_modeling(known: Any) -> DataCollatorForLanguageModeling:
    return DataCollatorForLanguageModeling(known, mlm=False)


def ids_only(rows: Rows, known: Any) -> Rows:
    return [{"input_ids": known(row["text"])["input_ids"]} for row in rows]


PAIRS = talks()
HELD_OUT = talks(60, held_out=True)


def _masked_third(folder: Path) -> Trainer:
    rows = tokens(PAIRS)
    for row in rows[::3]:
        row["labels"] = [-100] * len(row["labels"])
    return plain(folder, rows)


def _labels_of_another_row(folder: Path) -> Trainer:
    rows = tokens(PAIRS, everything)
    short = min(len(row["input_ids"]) for row in rows)
    cut = [row["input_ids"][:short] for row in rows]
    turned = [*cut[1:], cut[0]]
    return plain(
        folder,
        [{"input_ids": a, "labels": b} for a, b in zip(cut, turned, strict=True)],
    )


def _pad_is_end(folder: Path) -> Trainer:
    known = tokenizer()
    known.pad_token = END
    return plain(
        folder, ids_only(text(PAIRS), known), known=known, collator=language_modeling(known)
    )


def _double_bos(folder: Path, make: Callable[..., Any]) -> Any:
    known = tokenizer(bos=True)
    rows = text(PAIRS, "<s> {user} {q} {end} {assistant} {a} {end}")
    if make is sft:
        return sft(folder, rows, known=known)
    return plain(folder, ids_only(rows, known), known=known, collator=language_modeling(known))


def _long_prompts(few: int) -> list[tuple[str, str]]:
    """Return rows of which one in ``few`` is short and the others are long."""
    return [(q if i % few == 0 else " ".join([q] * 4), a) for i, (q, a) in enumerate(PAIRS)]


def new_tokens(folder: Path, **adapter: Any) -> SFTTrainer:
    """Two new tokens in every row."""
    known = tokenizer()
    base = folder / "base"
    finetune.make_model(known).save_pretrained(base)
    known.add_special_tokens({"additional_special_tokens": ["<|tool|>", "<|result|>"]})
    model = LlamaForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(known))
    rows = messages([(f"<|tool|> {q} <|result|>", a) for q, a in PAIRS])
    return SFTTrainer(
        model=lora(model, **adapter),
        args=SFTConfig(
            output_dir=str(folder / "out"),
            assistant_only_loss=True,
            **{"bf16": False, "gradient_checkpointing": False, **ARGUMENTS},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=known,
    )


def _packed_by_hand(folder: Path) -> Trainer:
    known = tokenizer(bos=True)
    rows = [known(row["text"])["input_ids"] for row in text(PAIRS)]
    packed = [[*chain(*rows[i : i + 4])] for i in range(0, len(rows), 4)]
    return plain(folder, [{"input_ids": r, "labels": r} for r in packed], known=known)


def _padded(folder: Path) -> Trainer:
    known, rows = tokenizer(), []
    for row in tokens(PAIRS):
        spare = 40 - len(row["input_ids"])
        ids = row["input_ids"] + [known.pad_token_id] * spare
        labels = row["labels"] + [known.pad_token_id] * spare
        mask = [1] * len(row["input_ids"]) + [0] * spare
        rows.append({"input_ids": ids, "labels": labels, "attention_mask": mask})
    return plain(folder, rows, known=known)


def _same_answer(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    stock = "always say this one thing of the jar in the barn"
    return [(q, stock if i % 3 == 0 else a) for i, (q, a) in enumerate(pairs)]


def _other_talk(count: int = 60) -> list[tuple[str, str]]:
    animals = finetune.ANIMALS
    return [
        (f"{animals[i % 8]} {animals[i % 7]} {animals[i % 5]} ant", f"bee {animals[i % 3]} cat dog")
        for i in range(count)
    ]


def _cut_by_hand(folder: Path) -> Trainer:
    pairs = [(q, a + " in the barn" * (i % 3)) for i, (q, a) in enumerate(PAIRS)]
    rows = tokens(pairs)
    return plain(folder, [{name: row[name][:23] for name in row} for row in rows])


def slipped(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the questions, each with the answer of the next row."""
    questions, answers = zip(*pairs, strict=True)
    return list(zip(questions, answers[1:] + answers[:1], strict=True))


def sharegpt(pairs: list[tuple[str, str]]) -> Rows:
    return [
        {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]}
        for q, a in pairs
    ]


def _other_end(folder: Path) -> SFTTrainer:
    """The tokenizer and the saved generation_config end a text with another token than a turn."""
    known = tokenizer()
    known.eos_token = "###"
    trainer = sft(folder, messages(PAIRS), known=known, assistant_only_loss=True)
    trainer.model.generation_config.eos_token_id = known.eos_token_id
    return trainer


def blocks() -> list[tuple[str, str]]:
    """Return talks, then as many rows of another kind, with words of their own."""
    draw = random.Random(5)
    words = [*EXTRA_WORDS[-5:], *finetune.ANIMALS]
    other = [
        (" ".join(draw.choices(words, k=8)), " ".join(draw.choices(words, k=5))) for _ in PAIRS
    ]
    return [*PAIRS, *other]


Make = Callable[[Path], Any]

FAULTS: dict[str, tuple[str, str, Make]] = {
    "tokens, all masked, Trainer": (
        "SFT401", "error", lambda f: plain(f, tokens(PAIRS, nothing)),
    ),
    "tokens, all masked, SFT": (
        "SFT401", "error", lambda f: sft(f, tokens(PAIRS, nothing), max_length=None),
    ),
    "tokens, a third masked": ("SFT402", "warning", _masked_third),
    "prompt-completion, most rows dropped": (
        "SFT403", "error", lambda f: sft(f, prompt_completion(_long_prompts(5)), max_length=24),
    ),
    "messages, some rows dropped, LoRA": (
        "SFT403",
        "warning",
        lambda f: sft(
            f,
            messages([(" ".join([q] * 4) if i % 5 == 0 else q, a) for i, (q, a) in
                      enumerate(PAIRS)]),
            max_length=28,
            assistant_only_loss=True,
            peft=True,
        ),
    ),
    "tokens, labels shifted": ("SFT404", "error", lambda f: plain(f, tokens(PAIRS, shifted))),
    "tokens, labels of another row": ("SFT404", "error", _labels_of_another_row),
    "tokens, labels of another text, LoRA": (
        "SFT404", "error", lambda f: sft(f, tokens(PAIRS, other_tokens), peft=True),
    ),
    "messages, prompt trained": ("SFT405", "warning", lambda f: sft(f, messages(PAIRS))),
    "messages, prompt trained, LoRA": (
        "SFT405", "warning", lambda f: sft(f, messages(PAIRS), peft=True),
    ),
    "text, prompt trained": ("SFT405", "info", lambda f: sft(f, text(PAIRS))),
    "tokens, prompt trained": ("SFT405", "info", lambda f: plain(f, tokens(PAIRS, everything))),
    "messages, prompt trained, packed": (
        "SFT405", "info", lambda f: sft(f, messages(PAIRS), packing=True, max_length=64),
    ),
    "prompt-completion, prompt trained": (
        "SFT405", "info", lambda f: sft(f, prompt_completion(PAIRS), completion_only_loss=False),
    ),
    "tokens, end of turn masked": (
        "SFT406", "warning", lambda f: sft(f, tokens(PAIRS, end_masked)),
    ),
    "tokens, no end of turn": (
        "SFT406", "warning", lambda f: plain(f, tokens(PAIRS, end=False), peft=True),
    ),
    "text, padding is the end of turn": ("SFT406", "warning", _pad_is_end),
    "text, two begin-of-text tokens, SFT": ("SFT407", "warning", lambda f: _double_bos(f, sft)),
    "text, two begin-of-text tokens": ("SFT407", "warning", lambda f: _double_bos(f, plain)),
    "messages, answers cut": (
        "SFT408",
        "warning",
        lambda f: sft(f, messages(PAIRS), max_length=17, assistant_only_loss=True),
    ),
    "tokens, answers cut": ("SFT408", "warning", _cut_by_hand),
    "messages, end of turn outside the marks": (
        "SFT409",
        "warning",
        lambda f: sft(
            f, messages(PAIRS), known=tokenizer(template=OUTSIDE), assistant_only_loss=True
        ),
    ),
    "text in another template": ("SFT410", "warning", lambda f: sft(f, text(PAIRS, ALPACA))),
    "evaluation in another template": (
        "SFT410",
        "warning",
        lambda f: sft(f, text(PAIRS), text(HELD_OUT, ALPACA)),
    ),
    "new tokens, LoRA": ("SFT411", "warning", new_tokens),
    "messages, wrapped packing": (
        "SFT412",
        "warning",
        lambda f: sft(
            f,
            messages(PAIRS),
            packing=True,
            packing_strategy="wrapped",
            max_length=64,
            assistant_only_loss=True,
        ),
    ),
    "tokens, packed by hand": ("SFT412", "warning", _packed_by_hand),
    "messages, evaluated on training rows": (
        "SFT413",
        "warning",
        lambda f: sft(f, messages(PAIRS), messages(PAIRS[:40]), assistant_only_loss=True),
    ),
    "messages, other evaluation rows": (
        "SFT414",
        "warning",
        lambda f: sft(f, messages(PAIRS), messages(_other_talk()), assistant_only_loss=True),
    ),
    "text, length too short": ("SFT415", "info", lambda f: sft(f, text(PAIRS), max_length=16)),
    "prompt-completion, duplicates": (
        "SFT416", "warning", lambda f: sft(f, prompt_completion(PAIRS[:40] * 3)),
    ),
    "prompt-completion, one answer": (
        "SFT417", "warning", lambda f: sft(f, prompt_completion(_same_answer(PAIRS))),
    ),
    "tokens, padding trained": ("SFT418", "warning", _padded),
    "messages, answers of other rows": (
        "SFT419", "warning", lambda f: sft(f, messages(slipped(PAIRS)), assistant_only_loss=True),
    ),
    "prompt-completion, answers of other rows, LoRA": (
        "SFT419", "warning", lambda f: sft(f, prompt_completion(slipped(talks(400))), peft=True),
    ),
    "tokens, answers of other rows": (
        "SFT419", "warning", lambda f: plain(f, tokens(slipped(PAIRS))),
    ),
    "messages, one kind after another": (
        "SFT420",
        "error",
        lambda f: sft(
            f,
            messages(blocks()),
            messages(HELD_OUT),
            assistant_only_loss=True,
            train_sampling_strategy="sequential",
        ),
    ),
    "prompt-completion, one kind after another, LoRA": (
        "SFT420",
        "warning",
        lambda f: sft(
            f, prompt_completion(blocks()), peft=True, train_sampling_strategy="sequential"
        ),
    ),
    "tokens, one kind after another": (
        "SFT420",
        "error",
        lambda f: plain(
            f, tokens(blocks()), tokens(HELD_OUT), train_sampling_strategy="sequential"
        ),
    ),
    "prompt-completion, answers empty": (
        "SFT421",
        "error",
        lambda f: sft(f, prompt_completion_messages([(q, "") for q, _ in PAIRS])),
    ),
    "prompt-completion, a tenth of the completions empty": (
        "SFT421",
        "warning",
        lambda f: sft(f, prompt_completion_messages(
            [(q, "" if i % 10 == 0 else a) for i, (q, a) in enumerate(PAIRS)]
        )),
    ),
    "tokens, mask inverted": (
        "SFT422", "error", lambda f: plain(f, tokens(PAIRS, prompt_only)),
    ),
    "tokens, mask inverted, LoRA": (
        "SFT422", "error", lambda f: sft(f, tokens(PAIRS, prompt_only), peft=True),
    ),
    "messages, another end of text": ("SFT423", "warning", _other_end),
    "ShareGPT roles that the template does not write": (
        "SFT403", "error", lambda f: sft(f, sharegpt(PAIRS), known=tokenizer(template=TWO_ROLES)),
    ),
    "tokens, all masked and dropped": (
        "SFT403", "error", lambda f: sft(f, tokens(PAIRS, nothing)),
    ),
}  # fmt: skip
"""Name to the code that must be found, its severity, and the trainer."""


def _multi_turn(folder: Path) -> SFTTrainer:
    rows = []
    for (q, a), (again, b) in zip(PAIRS[::2], PAIRS[1::2], strict=True):
        rows.append(
            {"messages": messages([(q, a)])[0]["messages"] + messages([(again, b)])[0]["messages"]}
        )
    return sft(folder, rows, assistant_only_loss=True)


def _prose(folder: Path) -> SFTTrainer:
    rows = [{"text": f"{a} {q}"} for q, a in PAIRS]
    return sft(folder, rows, known=tokenizer(template=None))


def _own_padding(folder: Path) -> Trainer:
    known = tokenizer(template=None)
    rows = [{"input_ids": known(f"{q} {a} {END}")["input_ids"]} for q, a in PAIRS]
    return plain(folder, rows, known=known, collator=language_modeling(known))


HEALTHY: dict[str, Make] = {
    "messages": lambda f: sft(f, messages(PAIRS), messages(HELD_OUT), assistant_only_loss=True),
    "messages, LoRA": lambda f: sft(f, messages(PAIRS), assistant_only_loss=True, peft=True),
    "messages, packed": lambda f: sft(
        f, messages(PAIRS), assistant_only_loss=True, packing=True, max_length=64
    ),
    "several turns": _multi_turn,
    "prompt-completion": lambda f: sft(f, prompt_completion(PAIRS), prompt_completion(HELD_OUT)),
    "prompt-completion, messages": lambda f: sft(f, prompt_completion_messages(PAIRS)),
    "messages, in order": lambda f: sft(
        f,
        messages(PAIRS),
        messages(HELD_OUT),
        assistant_only_loss=True,
        train_sampling_strategy="sequential",
    ),
    "messages, one kind after another, drawn at random": lambda f: sft(
        f, messages(blocks()), assistant_only_loss=True
    ),
    "prose": _prose,
    "tokens": lambda f: sft(f, tokens(PAIRS), tokens(HELD_OUT)),
    "tokens, Trainer": lambda f: plain(f, tokens(PAIRS), tokens(HELD_OUT)),
    "tokens, Trainer, LoRA": lambda f: plain(f, tokens(PAIRS), peft=True),
    "text, Trainer": _own_padding,
    "begin-of-text token": lambda f: sft(f, prompt_completion(PAIRS), known=tokenizer(bos=True)),
}  # fmt: skip
"""Set-ups that must pass without a warning."""
