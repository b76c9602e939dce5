"""The probes on a GPU: a model fine-tuned until it forgets and until it repeats; and their cost.

    python -m benchmarks.gpu.probes --out docs
    python -m benchmarks.gpu.probes --only same --out docs    # a minute: are the losses the same
    python -m benchmarks.gpu.probes --only budget --out docs  # a minute: is the time budget kept
    python -m benchmarks.gpu.probes --tiny                    # on the CPU, to try the script

Downloads nothing: a Llama of 46 M parameters is pretrained on the docstrings of the Python packages
installed here and taught to say what a function does. That run is the healthy one. From its model,
one run goes on with a large learning rate on arithmetic (full and with LoRA), one with many epochs
over a few answers that go round in circles. Every run is watched with ``probes=True``, with
held-out docstrings as the general text. Prints the curves and what the probes cost in memory, time
and losses; ``--out`` also writes ``probes.md`` and ``probes.svg``, which needs matplotlib.
``--only`` takes the model untrained and writes ``probes_same.md`` or ``probes_budget.md``.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from benchmarks.gpu.probes.bench import Bench, Curves, table
from benchmarks.gpu.probes.cost import same_losses, within_budget
from benchmarks.gpu.probes.model import CUDA, Size, fresh
from benchmarks.gpu.probes.rows import answers, arithmetic, as_rows, circles

QUICK: dict[str, Callable[[Bench], Iterator[str]]] = {
    "same": same_losses,
    "budget": within_budget,
}
"""Measured by themselves with ``--only``."""


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
    options.add_argument("--only", choices=QUICK, help="one quick measurement, untrained model")
    chosen = options.parse_args()
    # cuBLAS reads it once: without it, its sums differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    faults = logging.StreamHandler()
    faults.setLevel(logging.ERROR)
    logging.getLogger("sftdiag").addHandler(faults)
    device = torch.cuda.get_device_name() if CUDA else "the CPU"
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        size = Size(tiny=chosen.tiny)
        if chosen.only is not None:
            size.megabytes = min(size.megabytes, 10)
        bench = Bench(size, Path(folder), pretrained=chosen.only is None)
        print(f"ready after {time.perf_counter() - began:.0f} s", flush=True)
        measured: list[str] = []
        for line in QUICK.get(chosen.only, everything)(bench):
            measured.append(line)
            print(f"{line}\n{time.perf_counter() - began:.0f} s", flush=True)
            if chosen.out is not None and chosen.only is None:
                write(bench, measured, device, chosen.out)
    if chosen.out is not None and chosen.only is not None:
        write_quick(chosen.only, measured, device, chosen.out)
    return 0


def write(bench: Bench, measured: Sequence[str], device: str, folder: Path) -> None:
    """Write what is known so far."""
    lines = [
        "<!-- Written by benchmarks/gpu/probes. -->\n",
        "# Probes over a run\n",
        f"By `python -m benchmarks.gpu.probes` on {device}, torch {torch.__version__}: a Llama",
        f"of {bench.model.num_parameters():,} parameters, pretrained on docstrings, taught to say",
        "what a function does (healthy),",
        "then fine-tuned from there until it forgets and until it repeats.\n",
        "![curves](probes.svg)\n",
        "| what the probes cost | |\n|---|---|",
        *measured,
        *(f"\n## {name}\n\n{table(rows)}" for name, rows in bench.curves.items()),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "probes.md").write_text("\n".join(lines) + "\n")
    draw(bench.curves, folder / "probes.svg")


def write_quick(name: str, measured: Sequence[str], device: str, folder: Path) -> None:
    """Write one quick measurement."""
    lines = [
        "<!-- Written by benchmarks/gpu/probes. -->\n",
        f"# Probes: {name}\n",
        f"By `python -m benchmarks.gpu.probes --only {name}` on {device},",
        f"torch {torch.__version__}.\n",
        "| | |\n|---|---|",
        *measured,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"probes_{name}.md").write_text("\n".join(lines) + "\n")


def everything(bench: Bench) -> Iterator[str]:
    """Run the four fine-tunes, each from where it should start; yield what is measured of it."""
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
    yield from within_budget(bench)
    yield from same_losses(bench)
    adapter = LoraConfig(r=128, lora_alpha=256, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(fresh(taught), adapter)
    bench.watch("forgets with LoRA", sums, adapted, learning_rate=1e-3)
    yield bench.cost("forgets with LoRA")


if __name__ == "__main__":
    raise SystemExit(main())
