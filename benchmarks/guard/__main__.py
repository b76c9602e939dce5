"""What a guard saves: runs of TRL with one poisoned batch each, with a guard and without.

    python -m benchmarks.guard            # prints the tables
    python -m benchmarks.guard --write    # and writes docs/guard.md

A tiny chat model is pretrained once, then fine-tuned on 640 rows, 80 steps of 8, in as many orders
of the rows as there are runs. Each has one batch of bad rows between steps 56 and 75, of one of
three kinds. The same run is made without the poison (under a guard, which leaves a healthy run as
it is), with it and without a guard, and with both. More healthy runs under a guard show that it
skips nothing. On the CPU, some minutes.
"""

from __future__ import annotations

import argparse
import copy
import io
import logging
import math
import tempfile
import warnings
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import sftdiag
from benchmarks.guard import poison, real
from benchmarks.marked import END

RUNS, HEALTHY = 20, 40
FIRST, LAST = 56, 75
"""Steps between which the batch is bad."""
SAME, WORSE = 0.01, 0.05
SETTINGS: dict[str, Any] = {"learning_rate": 1e-4, "weight_decay": 0.01, "disable_tqdm": True}
PRETRAINING: dict[str, Any] = {
    "learning_rate": 3e-3,
    "lr_scheduler_type": "cosine",
    "max_steps": 240,
    "disable_tqdm": True,
}
_STATES: dict[str | None, Any] = {}


class Run(NamedTuple):
    """How a run ended: its evaluation loss, the steps skipped, and the rows named first."""

    loss: float
    skipped: list[int]
    first_rows: list[int]


def trainer_of(kind: str | None, folder: str, seed: int, step: int, model: str | None) -> Any:
    """Return the trainer of one run, its model pretrained."""
    trainer = poison.make(kind, folder, steps=(step,), seed=seed, **SETTINGS)
    if model not in _STATES:
        start = poison.make(None, folder, seed=1000, **PRETRAINING)
        start.train()
        _STATES[model] = copy.deepcopy(start.model.state_dict())
    bad = trainer.processing_class.convert_tokens_to_ids(poison.BAD)
    trainer.model.load_state_dict(_STATES[model])
    # The hook that makes a model of float16's range is there in all of its runs.
    hooked = kind == poison.OVERFLOW
    poison.break_model(trainer.model, None if hooked else model, bad)
    if hooked:
        poison.break_embedding(trainer.model, kind, bad)
    return trainer


def run(kind: str | None, seed: int, step: int, *, model: str | None, guard: bool) -> Run:
    """Train one run and evaluate it."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(kind, folder, seed, step, model)
        callback = sftdiag.attach(trainer, guard=guard, ignore=["SFT4", "SFT5"])
        with redirect_stdout(io.StringIO()):
            trainer.train()
            loss = float(trainer.evaluate()["eval_loss"])
        found = [f for f in callback.report.findings if f.code == "SFT113"]
        skipped = [int(n) for f in found for n in str(f.evidence["steps_named"]).split()]
        return Run(loss, skipped, [row for f in found for row in ranked(f)])


def ranked(finding: sftdiag.Finding) -> list[int]:
    """Return the rows behind a finding, the most surprising first, as ``callback.rows`` does."""
    pairs = [
        (loss if math.isfinite(loss) else math.inf, row)
        for rows in finding.rows
        for loss, row in zip(rows.losses or (), rows.rows, strict=False)
    ]
    return [row for _, row in sorted(pairs, key=lambda pair: -pair[0])]


def poisoned() -> tuple[list[str], dict[str, int]]:
    """Make the runs with a bad batch; return their rows of the table, and the counts."""
    lines, counts = [], dict.fromkeys(("same", "ruined", "worse", "exact", "named", "healthy"), 0)
    for seed in range(RUNS):
        kind = poison.KINDS[seed % len(poison.KINDS)]
        step = FIRST + seed * 7 % (LAST - FIRST + 1)
        clean = run(None, seed, step, model=kind, guard=True)
        counts["healthy"] += bool(clean.skipped)
        bare = run(kind, seed, step, model=kind, guard=False)
        kept = run(kind, seed, step, model=kind, guard=True)
        bad = poison.poisoned_rows(kind, step)
        named = set(kept.first_rows[: len(bad)]) == set(bad)
        counts["same"] += abs(kept.loss / clean.loss - 1) <= SAME
        ruined = not math.isfinite(bare.loss)
        counts["ruined"] += ruined
        counts["worse"] += not ruined and bare.loss > (1 + WORSE) * clean.loss
        counts["exact"] += kept.skipped == [step]
        counts["named"] += named
        cells = (
            *(kind, step, f"{clean.loss:.4f}", f"{bare.loss:.4f}", f"{kept.loss:.4f}"),
            *(f"{kept.loss / clean.loss - 1:+.2%}", ", ".join(map(str, kept.skipped)) or "-"),
            "yes" if named else "no",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
        print(lines[-1], flush=True)
    return lines, counts


def console() -> str:
    """Return what a guarded run with two poisoned batches says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        faster = {**SETTINGS, "learning_rate": 3e-3}
        trainer = poison.make(poison.GARBAGE, folder, steps=(45, 60), **faster)
        callback = sftdiag.attach(trainer, guard=True, ignore=["SFT4", "SFT5"])
        with redirect_stdout(io.StringIO()):
            trainer.train()
        (found,) = callback.report.findings
        shown = io.StringIO()
        with redirect_stdout(shown):
            callback.rows(found)
        rows = shown.getvalue().splitlines()
        told = [str(callback.report), "", f">>> callback.rows({found.id!r})", *rows[:9], "..."]
    return "\n".join(told)


def main() -> int:
    """Print the tables; return 1 where what the project asks for is missed."""
    parser = argparse.ArgumentParser(description="What a guard saves.")
    parser.add_argument("--write", action="store_true", help="write docs/guard.md too")
    write = parser.parse_args().write
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    poison.quiet()
    lines, counts = poisoned()
    healthy = [
        run(None, 100 + seed, FIRST, model=poison.KINDS[seed % 3], guard=True)
        for seed in range(HEALTHY - RUNS)
    ]
    false = counts["healthy"] + sum(bool(each.skipped) for each in healthy)
    harmed = counts["ruined"] + counts["worse"]
    text = "\n".join(
        [
            "# What a guard saves",
            "",
            "Printed by `python -m benchmarks.guard --write`: tiny runs of TRL's SFTTrainer, 80",
            "steps of 8 rows at a constant rate without clipping, one batch of bad rows in each.",
            "",
            f"- With a guard {counts['same']} of {RUNS} end within {SAME:.0%} of the run without "
            f"the poison; {counts['exact']} skip exactly the bad step.",
            f"- Without one {counts['ruined']} end at NaN and {counts['worse']} more are worse "
            f"by more than {WORSE:.0%}: {harmed} of {RUNS}.",
            f"- The bad rows are the first named in {counts['named']} of {RUNS}.",
            f"- Of {HEALTHY} healthy runs under a guard {false} had a step skipped.",
            "",
            "| poison | at step | eval loss without it | with it | with it and a guard "
            "| to without | skipped | bad rows named first |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
            "## A run with two bad batches",
            "",
            "```",
            console(),
            "```",
            "",
            real.MARK,
            END,
        ]
    )
    print(text)
    if write:
        real.DOCS.write_text(text + "\n", encoding="utf-8")
        real.publish()
    return int(counts["same"] < RUNS - 1 or harmed < 15 or false > 0)


if __name__ == "__main__":
    raise SystemExit(main())
