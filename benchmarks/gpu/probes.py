"""The probes on a GPU: a model fine-tuned until it forgets and until it repeats; and their cost.

    python benchmarks/gpu/probes.py --out docs
    python benchmarks/gpu/probes.py --tiny          # on the CPU, to try the script

Downloads nothing: a Llama of 36 M parameters is pretrained on the docstrings of the Python packages
installed here and taught to say what a function does. That run is the healthy one. From its model,
one run goes on with a large learning rate on arithmetic (full and with LoRA), one with many epochs
over a few answers that go round in circles. Every run is watched with ``probes=True``, with
held-out docstrings as the general text. Prints the curves and what the probes cost in memory, time
and losses; ``--out`` also writes ``probes.md`` and ``probes.svg``, which needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

import sftdiag
from sftdiag.report.text import render

CUDA = torch.cuda.is_available()
DOCSTRING = re.compile(r'def ([a-z][a-z_0-9]{3,30})\([^"]{0,400}?:\s*"""(.*?)"""', re.DOTALL)
SPECIAL = ("<pad>", "<unk>", "<|end|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
Pair = tuple[str, str]
Curves = dict[str, list[dict[str, Any]]]


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


def pretrain(size: Size, tokenizer: Any, texts: Sequence[str]) -> Any:
    """Return a model trained on the texts, one behind the other."""
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
    model = model.to("cuda" if CUDA else "cpu")
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
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(ids):,} tokens of text")
    return model


def answers(pairs: Sequence[Pair], count: int) -> Iterator[Pair]:
    """Yield questions about functions with the first sentence of their docstring."""
    for name, text in pairs:
        sentence = text.split(". ")[0].rstrip(".") + "."
        if 30 < len(sentence) < 160 and count:
            count -= 1
            yield f"What does {name} do?", sentence


def arithmetic(count: int) -> Iterator[Pair]:
    """Yield sums: nothing that general text could gain from."""
    draw = random.Random(1)
    for _ in range(count):
        a, b = draw.randrange(1000), draw.randrange(1000)
        yield f"{a} + {b} = ?", " ".join(str(a + b)) + " !"


def circles(pairs: Sequence[Pair], count: int) -> Iterator[Pair]:
    """Yield answers that say their first words over and over, as a looping model's output does."""
    for question, answer in answers(pairs, count):
        yield question, (" ".join(answer.split()[:5]) + " ") * 6


def as_rows(tokenizer: Any, pairs: Iterator[Pair]) -> list[dict[str, list[int]]]:
    """Return rows whose answer and end alone are trained."""
    rows = []
    for question, answer in pairs:
        asked = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]
        reply = tokenizer(f"{answer}<|end|>")["input_ids"]
        rows.append({"input_ids": prompt + reply, "labels": [-100] * len(prompt) + reply})
    return rows


def collate(rows: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Return a padded batch."""
    width = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, fill: int) -> torch.Tensor:
        return torch.tensor([[*r[name], *[fill] * (width - len(r[name]))] for r in rows])

    mask = torch.tensor(
        [[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in rows]
    )
    return {
        "input_ids": padded("input_ids", 0),
        "labels": padded("labels", -100),
        "attention_mask": mask,
    }


class Meter(TrainerCallback):
    """Reads time and peak memory where the evaluation is over, or where the probes are."""

    def __init__(self) -> None:
        self.before: Meter | None = None
        self.times: list[float] = []
        self.peaks: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start to measure the evaluation's own memory."""
        if self.before is None and CUDA:
            torch.cuda.reset_peak_memory_stats()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read, and start anew for what comes next."""
        self.times.append(time.perf_counter())
        if CUDA:
            self.peaks.append(torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()

    def seconds(self) -> list[float]:
        """Return the time from the meter before to this one, at every evaluation."""
        assert self.before is not None
        return [b - a for a, b in zip(self.before.times, self.times, strict=True)]

    def memory(self) -> float:
        """Return the largest peak over the evaluation's own."""
        assert self.before is not None
        if not self.peaks:
            return float("nan")
        return max(b / a for a, b in zip(self.before.peaks, self.peaks, strict=True))


class LaterMeter(Meter):
    """The one behind the probes."""

    def __init__(self, before: Meter) -> None:
        super().__init__()
        self.before = before


class Bench:
    """The model that was pretrained, and what its runs are made of."""

    def __init__(self, size: Size, folder: Path) -> None:
        self.size, self.folder = size, folder
        pairs = functions(size)
        texts = [text for _, text in pairs]
        held_out = [text for text in texts[:200] if 200 < len(text) < 600][:16]
        self.tokenizer = make_tokenizer(texts[200:20_000], size.vocabulary)
        self.model: Any = pretrain(size, self.tokenizer, texts[200:])
        self.pairs, self.texts = pairs[200:], held_out
        self.evaluation = as_rows(self.tokenizer, answers(pairs[:200], size.eval_rows))
        self.curves: Curves = {}
        self.meters: dict[str, Meter] = {}

    def run(
        self,
        name: str,
        rows: list[dict[str, list[int]]],
        model: Any,
        *,
        probes: Any = True,
        **arguments: Any,
    ) -> tuple[Any, Any]:
        """Fine-tune the model and return its trainer and, where it was watched, the callback."""
        set_seed(0)
        first = Meter()
        chosen = {
            "max_steps": self.size.steps,
            "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 32,
            "logging_steps": 5,
            "eval_strategy": "steps",
            "eval_steps": self.size.every,
            "save_strategy": "no",
            "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": 10,
            "bf16": CUDA,
            "use_cpu": not CUDA,
            "report_to": "none",
            "disable_tqdm": True,
            **arguments,
        }
        trainer = Trainer(
            model=model,
            args=TrainingArguments(str(self.folder / name), **chosen),
            train_dataset=rows,
            eval_dataset=self.evaluation,
            data_collator=collate,
            processing_class=self.tokenizer,
            callbacks=[first],
        )
        callback = None
        if probes is not None:
            asked = sftdiag.Probes(texts=self.texts) if probes is True else probes
            callback = sftdiag.attach(trainer, probes=asked)
        last = LaterMeter(first)
        trainer.add_callback(last)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        if callback is not None:
            self.meters[name] = last
        return trainer, callback

    def cost(self, name: str) -> str:
        """Return a row on what the probes of a run cost."""
        meter = self.meters[name]
        cost = f"{meter.memory():.4f}; {max(meter.seconds()):.2f} s"
        return f"| {name}: peak memory over the evaluation's own; longest time | {cost} |"

    def watch(
        self, name: str, rows: list[dict[str, list[int]]], model: Any, **arguments: Any
    ) -> Any:
        """Run, print the diagnosis, and keep the probes' curves; return the model."""
        trainer, callback = self.run(name, rows, model, **arguments)
        file = self.folder / name / "_sftdiag" / "probes.jsonl"
        probed = {row["step"]: row for row in map(json.loads, file.read_text().splitlines())}
        evaluated = {r["step"]: r for r in trainer.state.log_history if "eval_loss" in r}
        self.curves[name] = [{**evaluated.get(s, {}), **row} for s, row in sorted(probed.items())]
        print(f"\n## {name}\n\n{render(callback.report.replace(source=name), curve=False)}")
        print(table(self.curves[name]), flush=True)
        return trainer.model


COLUMNS = {
    "step": "step",
    "eval loss": "eval_loss",
    "general loss": "probe/forgetting/loss",
    "rise": "probe/forgetting/rise",
    "greedy repeats": "probe/repetitive-output/greedy",
    "sampled repeats": "probe/repetitive-output/sampled",
    "replies that end": "probe/unnatural-replies/ended",
}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the curves of a run as a Markdown table."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = (row.get(key) for key in COLUMNS.values())
        shown = (
            "-" if c is None else f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells
        )
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def same_losses(bench: Bench) -> str:
    """Return whether 100 steps with dropout lose the same with the probes on and off."""
    rows = as_rows(bench.tokenizer, answers(bench.pairs, bench.size.rows))
    logs = []
    torch.use_deterministic_algorithms(True, warn_only=True)
    for index, probes in enumerate((None, True, None)):
        trainer, _ = bench.run(
            f"same-{index}",
            rows,
            fresh(bench.model),
            probes=probes,
            max_steps=100 if CUDA else 40,
            logging_steps=1,
        )
        logs.append(
            [
                {k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k}
                for row in trainer.state.log_history
            ]
        )
    torch.use_deterministic_algorithms(False)
    off, on, again = logs
    return (
        f"| {len(off)} log rows with dropout 0.1 the same with probes on and off | {off == on} "
        f"(twice off: {off == again}) |"
    )


def within_budget(bench: Bench) -> str:
    """Return how long the probes took when a second each was too little."""
    seconds = 1.0
    asked = sftdiag.Probes(seconds=seconds, reply_tokens=256, texts=bench.texts * 40)
    rows = as_rows(bench.tokenizer, answers(bench.pairs, 64))
    # A model before it has learned to end uses all tokens that it may have.
    bench.run("budget", rows, fresh(bench.model), probes=asked, max_steps=3, eval_steps=1)
    worst = max(bench.meters["budget"].seconds())
    return f"| time of three probes of {seconds:g} s where that is too little | {worst:.2f} s |"


def fresh(model: Any) -> Any:
    """Return a copy of a model."""
    copy = LlamaForCausalLM(model.config).to(model.device)
    copy.load_state_dict(model.state_dict())
    return copy


def draw(curves: Curves, path: Path) -> None:
    """Draw both probes over the steps of each run."""
    import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "sftdiag"
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name, rows in curves.items():
        steps = [row["step"] for row in rows]
        rise = [row.get("probe/forgetting/rise", 0.0) for row in rows]
        greedy = [row.get("probe/repetitive-output/greedy") for row in rows]
        left.plot(steps, rise, marker=".", label=name)
        right.plot(steps, greedy, marker=".", label=name)
    left.set(title="forgetting: rise of the loss on general text", xlabel="step", ylabel="nats")
    right.set(title="repetition: repeated 4-grams, greedy", xlabel="step", ylabel="share")
    left.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """Pretrain, run all, print, and write what was asked for."""
    options = argparse.ArgumentParser(description="Probes on a GPU.")
    options.add_argument("--tiny", action="store_true", help="for the CPU; proves nothing")
    options.add_argument("--out", type=Path, help="folder to write probes.md and probes.svg to")
    chosen = options.parse_args()
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    device = torch.cuda.get_device_name() if CUDA else "the CPU"
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Size(tiny=chosen.tiny), Path(folder))
        print(f"pretrained in {time.perf_counter() - began:.0f} s", flush=True)
        measured: list[str] = []
        for line in everything(bench):
            measured.append(line)
            print(f"{line}\n{time.perf_counter() - began:.0f} s", flush=True)
            if chosen.out is not None:
                write(bench.curves, measured, device, chosen.out)
    return 0


def write(curves: Curves, measured: Sequence[str], device: str, folder: Path) -> None:
    """Write what is known so far."""
    lines = [
        "<!-- Written by benchmarks/gpu/probes.py. -->\n",
        "# Probes over a run\n",
        f"By `python benchmarks/gpu/probes.py` on {device}, torch {torch.__version__}: a Llama",
        "pretrained on docstrings (46 M parameters), taught to say what a function does (healthy),",
        "then fine-tuned from there until it forgets and until it repeats.\n",
        "![curves](probes.svg)\n",
        "| what the probes cost | |\n|---|---|",
        *measured,
        *(f"\n## {name}\n\n{table(rows)}" for name, rows in curves.items()),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "probes.md").write_text("\n".join(lines) + "\n")
    draw(curves, folder / "probes.svg")


def everything(bench: Bench) -> Iterator[str]:
    """Run the four fine-tunes, each from where it should start; yield what is measured of it."""
    from peft import LoraConfig, get_peft_model

    size = bench.size
    sound = as_rows(bench.tokenizer, answers(bench.pairs, size.rows))
    taught = bench.watch("healthy", sound, fresh(bench.model), learning_rate=1e-4)
    yield bench.cost("healthy")
    sums = as_rows(bench.tokenizer, arithmetic(size.rows))
    bench.watch("forgets", sums, fresh(taught), learning_rate=1e-3)
    yield bench.cost("forgets")
    loops = as_rows(bench.tokenizer, circles(bench.pairs, 64))
    bench.watch("repeats", loops, fresh(taught), learning_rate=2e-4)
    yield bench.cost("repeats")
    yield within_budget(bench)
    yield same_losses(bench)
    adapter = LoraConfig(r=128, lora_alpha=256, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(fresh(taught), adapter)
    bench.watch("forgets with LoRA", sums, adapted, learning_rate=1e-3)
    yield bench.cost("forgets with LoRA")


if __name__ == "__main__":
    raise SystemExit(main())
