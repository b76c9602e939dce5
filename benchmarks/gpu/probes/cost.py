"""What the probes cost: nothing in the losses, and no more time than they may have.

Two runs lose the same to the last bit only with deterministic kernels: on a GPU the backward pass
of fused attention, and cuBLAS without a workspace of fixed size, add in an order of their own. So
each comparison runs twice without probes; where these two differ, nothing can be said.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import set_seed

import sftdiag
from benchmarks.gpu.probes.bench import Bench
from benchmarks.gpu.probes.model import CUDA, fresh
from benchmarks.gpu.probes.rows import answers, as_rows
from sftdiag.probes import PROBES


def same_losses(bench: Bench) -> Iterator[str]:
    """Yield whether runs with dropout are the same to the last bit with the probes on and off."""
    adapter = LoraConfig(r=8, target_modules="all-linear", lora_dropout=0.1, task_type="CAUSAL_LM")
    torch.use_deterministic_algorithms(True)
    try:
        yield same(bench, "full, sdpa attention", lambda: fresh(bench.model, "sdpa"))
        yield same(
            bench,
            "LoRA, gradient checkpointing, eager attention",
            lambda: get_peft_model(fresh(bench.model, "eager"), adapter),
            gradient_checkpointing=True,
        )
    finally:
        torch.use_deterministic_algorithms(False)


def same(bench: Bench, name: str, make: Callable[[], Any], **arguments: Any) -> str:
    """Return a row: whether a set-up trains the same with the probes on, off and off again."""
    rows = as_rows(bench.tokenizer, answers(bench.pairs, bench.size.rows))
    asked = sftdiag.Probes(seconds=60, reply_tokens=32, texts=bench.texts)
    try:
        off, on, again = (
            trained(bench, f"{name} {index}", rows, make, probes=probes, **arguments)
            for index, probes in enumerate((None, asked, None))
        )
        rounds = asked_rounds(bench.folder / f"{name} 1")
    except RuntimeError as error:  # an operation that has no deterministic kernel here
        return f"| {name} | could not run: {str(error).splitlines()[0]} |"
    if off != again:
        known = "two runs without probes differ: nothing can be said"
    else:
        known = f"same with probes on and off: {off == on}"
    steps = f"{len(off[0])} log rows, weights and random numbers"
    return f"| {name}: {steps} after {rounds} rounds of probes | {known} |"


def trained(
    bench: Bench,
    name: str,
    rows: list[dict[str, list[int]]],
    make: Callable[[], Any],
    **arguments: Any,
) -> tuple[list[str], str, list[float]]:
    """Train, and return the log, a digest of the weights and the next random numbers."""
    steps = 100 if CUDA else 20
    chosen = {"max_steps": steps, "eval_steps": steps // 2, "logging_steps": 1, **arguments}
    set_seed(0)  # an adapter begins at random
    trainer, _ = bench.run(name, rows, make(), **chosen)
    log = [
        repr({k: v for k, v in row.items() if "runtime" not in k and "per_second" not in k})
        for row in trainer.state.log_history
    ]
    digest = hashlib.sha256()
    for parameter in trainer.model.parameters():
        digest.update(parameter.detach().float().cpu().numpy().tobytes())
    device = next(trainer.model.parameters()).device
    drawn = [random.random(), float(torch.rand(())), float(torch.rand((), device=device))]
    return log, digest.hexdigest(), drawn


def asked_rounds(folder: Path) -> int:
    """Return how often the model was asked and answered.

    Raises:
        RuntimeError: a probe was skipped: what did not run has changed nothing.
    """
    lines = (folder / "_sftdiag" / "probes.jsonl").read_text().splitlines()
    if any("/skipped/" in line for line in lines) or not lines:
        raise RuntimeError(f"the probes did not run: {lines}")
    return len(lines)


def within_budget(bench: Bench) -> Iterator[str]:
    """Yield how long each probe, and all of them, took when a second each was too little."""
    seconds = 1.0
    rows = as_rows(bench.tokenizer, answers(bench.pairs, 64))
    for name in (*(kind.name for kind in PROBES), None):
        asked = sftdiag.Probes(
            name and [name], seconds=seconds, reply_tokens=256, texts=bench.texts * 40
        )
        run = f"budget of {name or 'all'}"
        # A model before it has learned to end uses all tokens that it may have.
        bench.run(run, rows, fresh(bench.model), probes=asked, max_steps=3, eval_steps=1)
        worst = max(bench.meters[run].seconds())
        what = name or "all three, of which two share the replies"
        yield f"| longest time where {seconds:g} s a probe is too little: {what} | {worst:.2f} s |"
