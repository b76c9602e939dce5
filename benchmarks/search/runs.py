"""Makes the stored runs that the searchers are held against each other on, on a GPU.

    python -m benchmarks.gpu.finetunes.smollm2 rows --to TEXTS   # anywhere with apt-get, dpkg
    python -m benchmarks.search.runs rows --texts TEXTS --gguf FILE --to ROWS.json  # anywhere
    python -m benchmarks.search.runs base --gguf FILE --to BASE                     # on the GPU
    python -m benchmarks.search.runs run --rows ROWS.json --base BASE --to FILE     # on the GPU

``run`` goes on where FILE ends, and stops when its time is over. A plain loop, without a Trainer:
a run of 4 to 48 steps takes seconds, of which a Trainer takes one to be made. Up to 32 rows go
through the model at once; time is counted as if each batch were accumulated from passes of 16, by
what such a pass, an update and an evaluation take alone on the GPU, measured before the runs.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.search import cells
from benchmarks.search.cells import Cell

LEFT = 8.0
"""Seconds before the end in which no run is begun: a run takes less."""

SAVED_EVERY = 30.0
"""Seconds between writes of what is done."""

MASKED = -100
MOST = 32
"""Rows of a pass: 14 workers keep the activations of so many at once."""

WARM_UPS, TIMED = 5, 20
"""Passes before, and of, a measurement of time."""


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.runs")
    commands = parser.add_subparsers(dest="command", required=True)
    rows = commands.add_parser("rows", help="tokenize the rows of both data sets")
    rows.add_argument("--texts", type=Path, required=True)
    rows.add_argument("--gguf", type=Path, required=True)
    rows.add_argument("--to", type=Path, required=True)
    base = commands.add_parser("base", help="make the base of its GGUF")
    base.add_argument("--gguf", type=Path, required=True)
    base.add_argument("--to", type=Path, required=True)
    run = commands.add_parser("run", help="make the runs that are left")
    run.add_argument("--rows", type=Path, required=True)
    run.add_argument("--base", type=Path, required=True)
    run.add_argument("--to", type=Path, required=True, help="a .json.xz file")
    run.add_argument("--seconds", type=float, default=430.0)
    run.add_argument("--workers", type=int, default=14)
    run.add_argument("--most", type=int, help="runs at most; for a test")
    run.add_argument(
        "--again",
        type=float,
        help="second seeds alone, of the cells within this share of their data set's best",
    )
    chosen = parser.parse_args()
    if chosen.command == "rows":
        write_rows(chosen.texts, chosen.gguf, chosen.to)
    elif chosen.command == "base":
        from benchmarks.gpu.finetunes.smollm2.base import make

        make(chosen.gguf, chosen.to)
    else:
        left = make_runs(
            chosen.rows,
            chosen.base,
            chosen.to,
            seconds=chosen.seconds,
            workers=chosen.workers,
            most=chosen.most,
            again=chosen.again,
        )
        print(f"{left} runs are left")
    return 0


def write_rows(texts: Path, gguf: Path, to: Path) -> None:
    """Write the tokens and labels of the rows of both data sets, answers only."""
    from transformers import AutoTokenizer

    from benchmarks.gpu.finetunes.smollm2 import rows, sources, templates

    known: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    known.chat_template = templates.MARKED
    found: dict[str, Any] = {"pad": known.pad_token_id}
    for name, conversations in sources.read(texts).items():
        if name not in cells.SOURCES:
            continue
        made = (rows.labelled(turns, known) for turns in conversations)
        short = [row for row in made if len(row["input_ids"]) <= cells.LENGTH]
        held = cells.HELD_OUT
        assert len(short) >= held + cells.ROWS, (name, len(short))
        found[name] = {"eval": short[:held], "train": short[held : held + cells.ROWS]}
        tokens = [len(row["input_ids"]) for row in short]
        trained = [sum(label != MASKED for label in row["labels"]) for row in short]
        print(name, len(short), sum(tokens) / len(tokens), sum(trained) / len(trained))
    to.write_text(json.dumps(found))


def read(path: Path) -> dict[str, Any]:
    """Return what is stored.

    ``seconds`` of the parts of a run, trained ``tokens`` of the evaluation rows, ``runs`` by key.
    """
    if not path.exists():
        return {"seconds": {}, "tokens": {}, "runs": {}}
    with lzma.open(path, "rt", encoding="utf-8") as file:
        stored: dict[str, Any] = json.load(file)
    return stored


def write(path: Path, stored: Mapping[str, Any]) -> None:
    """Store it; the file is never half written."""
    part = path.with_suffix(".part")
    with lzma.open(part, "wt", encoding="utf-8") as file:
        json.dump(stored, file, separators=(",", ":"))
    part.replace(path)


def make_runs(
    rows: Path,
    base: Path,
    to: Path,
    *,
    seconds: float,
    workers: int,
    most: int | None,
    again: float | None = None,
) -> int:
    """Make the runs that are not stored yet; return how many are left when the time is over."""
    end = time.time() + seconds
    stored = read(to)
    stored["tokens"] = _trained_tokens(rows)
    known = cells.everything() if again is None else second_seeds(stored, again)
    wanted = [cell for cell in known if cell.key not in stored["runs"]][:most]
    spawned = multiprocessing.get_context("spawn")
    if not stored["seconds"]:
        # Alone on the GPU, in a process of its own, so that its memory is given back.
        with ProcessPoolExecutor(1, spawned) as alone:
            stored["seconds"] = alone.submit(_measure, rows, base).result()
        write(to, stored)
        print(json.dumps(stored["seconds"]), flush=True)
    queue: Any = spawned.Queue()
    results: Any = spawned.Queue()
    for cell in wanted:
        queue.put(tuple(cell))
    for _ in range(workers):
        queue.put(None)
    arguments = (rows, base, queue, results, end)
    processes = [spawned.Process(target=_work, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    left, began, saved = len(wanted), time.time(), time.time()
    while left and time.time() < end:
        if not any(process.is_alive() for process in processes) and results.empty():
            break
        try:
            key, run = results.get(timeout=1.0)
        except Exception:
            continue
        stored["runs"][key] = run
        left -= 1
        if time.time() - saved > SAVED_EVERY:
            write(to, stored)
            saved = time.time()
            print(f"{len(wanted) - left} runs in {saved - began:.0f} s", flush=True)
    write(to, stored)
    for process in processes:
        process.join(max(0.0, min(5.0, end - time.time())))
        if process.is_alive():
            process.terminate()
    queue.cancel_join_thread()
    return left


def second_seeds(stored: Mapping[str, Any], within: float) -> list[Cell]:
    """Return the second seeds of the cells whose first one lies near its data set's best.

    The lowest first, over both sets, so that whatever time there is tells the best ones apart.
    """
    first, second = cells.SEEDS
    losses = {
        cell: loss
        for cell in cells.everything()
        if cell.seed == first and cell.key in stored["runs"]
        if (loss := stored["runs"][cell.key]["eval_loss"][-1]) is not None
    }
    best = {
        source: min(x for c, x in losses.items() if c.source == source) for source in cells.SOURCES
    }
    over = {cell: loss / best[cell.source] - 1 for cell, loss in losses.items()}
    near = sorted((cell for cell in over if over[cell] <= within), key=over.__getitem__)
    return [cell._replace(seed=second) for cell in near]


def _trained_tokens(rows: Path) -> dict[str, list[int]]:
    """Return how many tokens of each evaluation row are trained, by data set."""
    content = json.loads(rows.read_text())
    return {
        source: [
            sum(label != MASKED for label in row["labels"][1:]) for row in content[source]["eval"]
        ]
        for source in cells.SOURCES
    }


def _measure(rows: Path, base: Path) -> dict[str, Any]:
    return Bench(rows, base).seconds()


def _work(rows: Path, base: Path, queue: Any, results: Any, end: float) -> None:
    bench = Bench(rows, base)
    while time.time() < end - LEFT and (task := queue.get()) is not None:
        try:
            results.put((Cell(*task).key, bench.run(Cell(*task))))
        except Exception:
            print(f"{task} failed:\n{traceback.format_exc()}", flush=True)
    results.close()
    results.join_thread()


class Bench:
    """The base with an adapter of each rank, of which one is trained at a time, and all rows."""

    def __init__(self, rows: Path, base: Path) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.torch = torch
        self.cuda = torch.cuda.is_available()
        self.device = "cuda" if self.cuda else "cpu"
        dtype = torch.bfloat16 if self.cuda else torch.float32
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        model.config.use_cache = False
        self.causal = model.to(self.device)
        for rank in cells.RANKS:
            adapter = LoraConfig(
                r=rank,
                lora_alpha=cells.ALPHA_OVER_RANK * rank,
                lora_dropout=0.0,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            )
            if rank == cells.RANKS[0]:
                model = get_peft_model(model, adapter, adapter_name=f"r{rank}")
            else:
                model.add_adapter(f"r{rank}", adapter)
        self.model = model.train()
        content = json.loads(rows.read_text())
        self.rows = {
            (source, part): self._tensors(content[source][part], content["pad"])
            for source in cells.SOURCES
            for part in ("train", "eval")
        }

    def _tensors(self, rows: Sequence[Mapping[str, list[int]]], pad: int) -> tuple[Any, Any]:
        """Return ids and labels of all rows, padded on the right; label t is of token t + 1."""
        torch, width = self.torch, cells.LENGTH
        ids = torch.full((len(rows), width), pad)
        labels = torch.full((len(rows), width), MASKED)
        for at, row in enumerate(rows):
            count = len(row["input_ids"])
            ids[at, :count] = torch.tensor(row["input_ids"])
            labels[at, : count - 1] = torch.tensor(row["labels"][1:])
        return ids.to(self.device), labels.to(self.device)

    def fresh(self, rank: int, seed: int) -> list[Any]:
        """Return the trainable weights of a rank's adapter, drawn anew."""
        torch, name = self.torch, f"r{rank}"
        torch.manual_seed(seed)
        self.model.set_adapter(name)
        for module in self.model.modules():
            if name in getattr(module, "lora_A", ()):
                module.reset_lora_parameters(name, True)
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def losses(self, ids: Any, labels: Any) -> tuple[Any, Any]:
        """Return the loss of each trained token, and of which row it is.

        Padding is on the right, where no token before it sees it: no mask is needed. The vocabulary
        is asked for at trained tokens only.
        """
        torch = self.torch
        with torch.autocast(self.device, torch.bfloat16, enabled=self.cuda):
            hidden = self.causal.model(input_ids=ids, use_cache=False).last_hidden_state
            trained = labels != MASKED
            logits = self.causal.lm_head(hidden[trained])
        losses = torch.nn.functional.cross_entropy(
            logits.float(), labels[trained], reduction="none"
        )
        return losses, trained.nonzero()[:, 0]

    def learn(self, ids: Any, labels: Any) -> Any:
        """Add up the gradients of the mean loss over a batch's trained tokens; return that loss."""
        tokens = (labels != MASKED).sum()
        total = self.torch.zeros((), device=self.device)
        for some, wanted in zip(ids.split(MOST), labels.split(MOST), strict=True):
            loss = self.losses(some, wanted)[0].sum() / tokens
            loss.backward()
            total += loss.detach()
        return total

    def evaluated(self, source: str) -> tuple[Any, Any]:
        """Return the mean loss over trained tokens, and of each row."""
        torch = self.torch
        with torch.no_grad():
            losses, owners = self.losses(*self.rows[source, "eval"])
            count = int(self.rows[source, "eval"][0].shape[0])
            zeros = torch.zeros(count, device=self.device)
            sums = zeros.index_add(0, owners, losses)
            tokens = zeros.index_add(0, owners, torch.ones_like(losses))
        return losses.mean(), sums / tokens

    def order(self, source: str, cell: Cell) -> Iterator[Any]:
        """Yield the rows of each step: all of them once an epoch, in a random order."""
        draw = self.torch.Generator().manual_seed(cell.seed)
        for _ in range(cell.epochs):
            shuffled = self.torch.randperm(cells.ROWS, generator=draw).to(self.device)
            yield from shuffled.view(-1, cell.batch)

    def run(self, cell: Cell) -> dict[str, Any]:
        """Train, and return the curves.

        ``loss`` and ``grad_norm`` at each step, ``eval_loss`` at :attr:`Cell.evaluated_at`,
        ``rows`` the losses of the evaluation rows at the end, ``seconds`` beside other workers.
        """
        torch, began = self.torch, time.time()
        weights = self.fresh(cell.rank, cell.seed)
        optimizer = torch.optim.AdamW(weights, lr=cell.rate, weight_decay=0.0, fused=self.cuda)
        ids, labels = self.rows[cell.source, "train"]
        evaluated_at = set(cell.evaluated_at)
        losses, norms, curve, last = [], [], [], None
        for step, picked in enumerate(self.order(cell.source, cell), 1):
            for group in optimizer.param_groups:
                group["lr"] = cell.rate * share(step - 1, cell.steps)
            loss = self.learn(ids[picked], labels[picked])
            norms.append(torch.nn.utils.clip_grad_norm_(weights, cells.CLIP, foreach=True))
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
            if step in evaluated_at:
                mean, last = self.evaluated(cell.source)
                curve.append(mean)
        return {
            "loss": _short(torch.stack(losses)),
            "grad_norm": _short(torch.stack(norms)),
            "eval_loss": _short(torch.stack(curve), 5),
            "rows": _short(last),
            "seconds": round(time.time() - began, 2),
        }

    def seconds(self) -> dict[str, Any]:
        """Return what a pass of 16 rows, an update and an evaluation take, by rank and data set."""
        found: dict[str, Any] = {"device": self._device()}
        for source in cells.SOURCES:
            ids, labels = (tensor[: cells.MICRO] for tensor in self.rows[source, "train"])
            for rank in cells.RANKS:
                weights = self.fresh(rank, 0)
                optimizer = self.torch.optim.AdamW(weights, lr=1e-6, fused=self.cuda)

                def one_pass(ids: Any = ids, labels: Any = labels) -> None:
                    self.losses(ids, labels)[0].mean().backward()

                def update(weights: Any = weights, optimizer: Any = optimizer) -> None:
                    self.torch.nn.utils.clip_grad_norm_(weights, cells.CLIP, foreach=True)
                    optimizer.step()

                def evaluation(source: str = source) -> None:
                    self.evaluated(source)

                found[f"{source} {rank}"] = {
                    work.__name__.removeprefix("one_"): self._time(work)
                    for work in (one_pass, update, evaluation)
                }
        return found

    def _time(self, work: Any) -> float:
        times = []
        for at in range(WARM_UPS + TIMED if self.cuda else 1):
            self._wait()
            began = time.perf_counter()
            work()
            self._wait()
            if at >= WARM_UPS or not self.cuda:
                times.append(time.perf_counter() - began)
        return float(f"{sorted(times)[len(times) // 2]:.3g}")

    def _wait(self) -> None:
        if self.cuda:
            self.torch.cuda.synchronize()

    def _device(self) -> str:
        return str(self.torch.cuda.get_device_name()) if self.cuda else "a CPU"


def share(step: int, steps: int) -> float:
    """Return the share of the peak rate at a step, from 0: a warm-up, then a cosine."""
    warm_up = max(1, round(cells.WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _short(values: Any, digits: int = 4) -> list[float | None]:
    """Return numbers of so many digits; None for those that are not finite."""
    found = values.float().tolist()
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in found]


if __name__ == "__main__":
    raise SystemExit(main())
