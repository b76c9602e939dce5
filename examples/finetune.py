"""Fine-tune a tiny chat model with TRL on the CPU under the callback: healthy, or with a fault.

    python examples/finetune.py
    python examples/finetune.py --fault overfitting --stop-on error
    python examples/finetune.py --fault prompt-trained --preflight

Everything is made on the spot (data, tokenizer, a model of 0.2 M parameters), nothing is
downloaded, and a run takes well under a minute. ``examples/runs`` holds the logs of these runs.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

import sftdiag

NAMES = ("Ada", "Bo", "Cai", "Dag", "Eve", "Finn", "Gao", "Hana", "Ivo", "Jun", "Kai", "Lea")
THINGS = ("apple", "boat", "cup", "door", "egg", "fan", "gate", "hat", "ink", "jar", "kite", "lamp")
PLACES = ("attic", "barn", "cave", "den", "east", "field", "garden", "hall", "inn", "jail", "lab")
COLOURS = ("red", "blue", "green", "black", "white", "pink", "gold", "grey")
ANIMALS = ("ant", "bee", "cat", "dog", "eel", "fox", "goat", "hen")
OTHER_WORDS = ("what", "colour", "has", "the", "of", "in", "is")

HELD_OUT = 5
"""One in so many of the questions that can be asked is asked in the evaluation set only."""

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> "
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }} <|end|>"
    "{% endgeneration %}{% else %}{{ message['content'] }} <|end|> {% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Fault:
    """A set-up: how its data is made, and which arguments differ from the healthy one's."""

    about: str
    rows: int = 640
    learnable: bool = True
    odd_eval: bool = False
    masked: bool = False
    frozen: bool = False
    nan_at: int | None = None
    end_marked: bool = True
    arguments: dict[str, Any] = field(default_factory=dict)


FAULTS = {
    "none": Fault("640 rows that follow a rule, 3 epochs"),
    "overfitting": Fault(
        "32 rows whose answers follow no rule, 80 epochs",
        rows=32,
        learnable=False,
        arguments={"num_train_epochs": 80, "learning_rate": 8e-3},
    ),
    "eval-distribution": Fault("the evaluation rows ask for other things", odd_eval=True),
    "learning-rate-too-low": Fault("learning rate 1e-7", arguments={"learning_rate": 1e-7}),
    "learning-rate-too-high": Fault(
        "plain SGD with a learning rate of 30",
        arguments={"learning_rate": 30.0, "optim": "sgd", "max_grad_norm": 0.0},
    ),
    "frozen-parameters": Fault("only the last norm is trained", frozen=True),
    "label-mask": Fault("every label is masked", masked=True),
    "prompt-trained": Fault(
        "the questions are trained on, too", arguments={"assistant_only_loss": False}
    ),
    "end-of-turn": Fault("the chat template leaves the end of turn unmarked", end_marked=False),
    "nan-weights": Fault("a weight becomes NaN at step 60", nan_at=60),
}


class BreakWeight(TrainerCallback):
    """Sets one weight to NaN at a step, as a hardware or kernel fault would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Break the weight once."""
        if state.global_step == self.step:
            with torch.no_grad():
                kwargs["model"].model.norm.weight[0] = float("nan")


def conversations(fault: Fault, rows: int, seed: int, *, held_out: bool = False) -> Dataset:
    """Return rows with one question and answer each; no two are the same, nor held out and not."""
    draw = random.Random(seed)
    asked = [
        (name, thing, place)
        for i, name in enumerate(NAMES)
        for j, thing in enumerate(THINGS)
        for k, place in enumerate(PLACES)
        if ((i + j + k) % HELD_OUT == 0) == held_out
    ]
    messages = []
    for name, thing, place in draw.sample(asked, rows):
        colour = (
            COLOURS[THINGS.index(thing) % len(COLOURS)] if fault.learnable else draw.choice(COLOURS)
        )
        question, answer = (
            f"what colour has the {thing} of {name} in the {place}",
            f"the {thing} of {name} is {colour}",
        )
        if fault.odd_eval and held_out:
            animal = draw.choice(ANIMALS)
            question, answer = f"{animal} {animal} {thing}", f"{colour} {name} {animal} of {animal}"
        messages.append(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        )
    return Dataset.from_dict({"messages": messages})


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer of the few words that occur."""
    special = ["<pad>", "<unk>", "<|end|>", "<|user|>", "<|assistant|>"]
    words = [*special, *OTHER_WORDS, *NAMES, *THINGS, *PLACES, *COLOURS, *ANIMALS]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|end|>",
        extra_special_tokens=["<|user|>", "<|assistant|>"],
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, *, dropout: float = 0.0) -> LlamaForCausalLM:
    """Return an untrained Llama of about 0.2 million parameters."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        attention_dropout=dropout,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def make_trainer(
    name: str, output_dir: Path | str, *, dropout: float = 0.0, **arguments: Any
) -> SFTTrainer:
    """Return a trainer with a fault; ``arguments`` override those of SFTConfig."""
    fault = FAULTS[name]
    tokenizer = make_tokenizer()
    if not fault.end_marked:
        mark = "{% endgeneration %}"
        tokenizer.chat_template = TEMPLATE.replace(f" <|end|>{mark}", f"{mark} <|end|>")
    model = make_model(tokenizer, dropout=dropout)
    if fault.frozen:
        model.requires_grad_(False)
        model.model.norm.requires_grad_(True)
    train = conversations(fault, fault.rows, seed=1)
    evaluation = conversations(fault, 80, seed=2, held_out=True)
    if fault.masked:
        train, evaluation = (_without_labels(rows, tokenizer) for rows in (train, evaluation))
    chosen = {
        "num_train_epochs": 3,
        "learning_rate": 3e-3,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 80,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 10,
        "save_strategy": "no",
        "assistant_only_loss": not fault.masked,
        "max_length": None,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 7,
        **fault.arguments,
        **arguments,
    }
    return SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=str(output_dir), **chosen),
        train_dataset=train,
        eval_dataset=evaluation,
        processing_class=tokenizer,
        callbacks=[BreakWeight(fault.nan_at)] if fault.nan_at is not None else [],
    )


def _without_labels(rows: Dataset, tokenizer: PreTrainedTokenizerFast) -> Dataset:
    ids = [
        tokenizer.apply_chat_template(row, return_dict=True)["input_ids"]
        for row in rows["messages"]
    ]
    return Dataset.from_dict({"input_ids": ids, "labels": [[-100] * len(row) for row in ids]})


def save_log(trainer: SFTTrainer, folder: Path) -> None:
    """Write trainer_state.json and the model's config.json, which analyze reads beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer.state.save_to_json(str(folder / "trainer_state.json"))
    config = {key: getattr(trainer.model.config, key) for key in ("model_type", "vocab_size")}
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n")


def main() -> int:
    """Train, print the diagnosis, and return 1 when the run is not healthy."""
    parser = argparse.ArgumentParser(description="Fine-tunes a tiny model under sftdiag.")
    parser.add_argument("--fault", choices=FAULTS, default="none")
    parser.add_argument("--stop-on", help="a severity, or codes and names, that stop the run")
    parser.add_argument("--preflight", action="store_true", help="check and do not train")
    parser.add_argument("--output", type=Path, default=Path("outputs"))
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    options = parser.parse_args()
    trainer = make_trainer(options.fault, options.output)
    if options.preflight:
        checked = sftdiag.preflight(trainer, lang=options.lang)
        checked.show()
        return int(bool(checked.at_least("warning")))
    callback = sftdiag.attach(trainer, stop_on=options.stop_on, lang=options.lang)
    trainer.train()
    save_log(trainer, options.output)
    print(f"the log is in {options.output}: sftdiag analyze {options.output}")
    return int(bool(callback.report.at_least("error")))


if __name__ == "__main__":
    raise SystemExit(main())
