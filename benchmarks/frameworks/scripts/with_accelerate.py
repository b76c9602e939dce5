"""A loop of one's own with accelerate, with the lines of docs/frameworks.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import batches
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

import sftdiag

EVERY, EVALUATE_EVERY = 2, 10


def main(folder: Path, rate: float, warmup: int, epochs: int, batch: int) -> int:
    """Train in the folder; return 1 where the loop was stopped."""
    set_seed(0)
    accelerator = Accelerator(cpu=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    train = batches.loader(folder, "train.jsonl", batch, shuffle=True)
    held_out = batches.loader(folder, "val.jsonl", 80, shuffle=False)
    steps = epochs * len(train)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    model, optimizer, train, held_out, schedule = accelerator.prepare(
        model, optimizer, train, held_out, schedule
    )
    known = sftdiag.RunContext(learning_rate=rate, max_steps=steps, vocab_size=512)
    step = 0
    with sftdiag.Loop(folder / "out", context=known) as run:
        for epoch in run.until_stop(range(epochs)):
            for place, rows in enumerate(run.until_stop(train), 1):
                loss = model(**rows).loss
                accelerator.backward(loss)
                norm = accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                step += 1
                if step % EVERY == 0:
                    mean = accelerator.reduce(loss.detach(), "mean")
                    now = epoch + place / len(train)
                    rate = schedule.get_last_lr()[0]
                    run.log(step=step, epoch=now, loss=mean, grad_norm=norm, lr=rate)
                if step % EVALUATE_EVERY == 0:
                    run.log(step=step, eval_loss=evaluated(model, held_out))
    return int(run.should_stop)


def evaluated(model: Any, held_out: Any) -> float:
    """Return the mean loss of the evaluation set."""
    model.eval()
    with torch.no_grad():
        losses = [model(**rows).loss for rows in held_out]
    model.train()
    return float(torch.stack(losses).mean())


if __name__ == "__main__":
    where, rate, *numbers = sys.argv[1:]
    raise SystemExit(main(Path(where), float(rate), *(int(number) for number in numbers)))
