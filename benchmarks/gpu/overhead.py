"""What it costs a run that attach sees every step and which rows it was made of.

    python -m benchmarks.gpu.overhead                      # measures and prints the table
    python -m benchmarks.gpu.overhead --size "135 M" --seconds 75 --to FILE   # one size, kept
    python -m benchmarks.gpu.overhead --keep FILE ... --write   # anywhere: docs/speed_steps.md
    python -m benchmarks.gpu.overhead --keep FILE ... --write --beside   # of another machine

Sizes are measured one after another, or each on a GPU of its own (CUDA_VISIBLE_DEVICES) in a
process of its own; the page is written of what is stored in benchmarks/gpu/overhead.json. Files of
the same size, each from a process of its own, are pooled: a block of 135 M differs from the next by
3 % and hardly resembles it (66 of them: a deviation of 0.030, a lag correlation of 0.13), so that
an interval of 0.3 % takes some 400 blocks.

Rows are logged every tenth step. Stretches of ten steps with all that attach does
(the callback, the losses and norms taken from the trainer, the row numbers) and without any of it,
in blocks (with, without, without, with): a drift of the machine's speed slows both alike. A block
gives one ratio; printed are their median and its 95 % interval, from order statistics. Beside it
stands the ratio by the typical time of a stretch, from the median seconds of each of its steps by
its place after the log row: the machine's stalls, which take either now and then, are in neither;
and on a GPU the ratio at equal speed of the host, by its time for the forward passes.
What is inside the callback's events is timed beside it, and what the trainer's methods that attach
wraps take beyond themselves: the whole of the wrapper, its call included. On the CPU it trains a
tiny model.

A small model's step is soon one in which the GPU waits for the host to launch kernels: the host's
own noise is then all that is measured. The 135 M size is trained as it is where speed counts:
weights in bf16, compiled by torch.compile, and as many rows as make a step of about 60 ms, so that
the GPU is what it waits for.

Transformers calls every event of every callback; those that ours leaves as they are cost no more
with it than with any other, and are not counted. On the CPU the least that could be spent is
measured, too: the same hooks, holding a loss, a norm and a clock's time, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback

import sftdiag
from benchmarks.speed import alternating
from benchmarks.speed.measuring import ratio
from sftdiag.live import row_log

DOCS = Path(__file__).resolve().parents[2] / "docs" / "speed_steps.md"
STORED = Path(__file__).with_suffix(".json")
LEAST_TOKENS = 0.995
STRETCH = 10
"""Steps: one log row falls into each stretch."""
WARM_UP_BLOCKS = 1
FEWEST, MOST = 8, 400
"""Blocks; as many as fit into the seconds, and eight for an interval at all."""
LEAST_SECONDS = 0.055
"""Of a forward and backward pass: with the update that is a step of 60 ms."""

PASSES = 5
"""Timed; the shortest counts. The first compiles."""

STEPS_OF_THE_LEAST = 400
STOPWATCH_SECONDS = 15.0

OF_A_RUN = ("on_step_end", "on_pre_optimizer_step")
"""Events that the callback has for one run, made as it begins; the second where it is guarded."""


REPLACED = ("clip_grad_norm_",)
"""Methods that a guard's run does by itself: their whole time counts as its."""


class Size(NamedTuple):
    """What is trained: a Llama and the rows of a step; and the seconds to measure it.

    Attributes:
        batch: rows of a step; where the model is compiled, those of the pass by which the rows of
            a step of 60 ms are reckoned.
        compiled: the weights are in bf16, and the model is compiled.
        guard: steps are guarded.
    """

    name: str
    hidden: int
    between: int
    layers: int
    vocabulary: int
    batch: int
    length: int
    seconds: float
    compiled: bool = False
    guard: bool = False


ON_A_GPU = (
    Size("135 M", 576, 1536, 30, 49_152, 32, 512, 150.0, compiled=True),
    Size("135 M, guard", 576, 1536, 30, 49_152, 32, 512, 150.0, compiled=True, guard=True),
    Size("0.7 B", 1536, 6144, 16, 32_000, 8, 1024, 330.0),
)
ON_THE_CPU = (Size("tiny", 64, 256, 2, 512, 4, 64, 8.0),)


class Alternate(alternating.Alternate):
    """Takes all that attach does off a trainer and puts it back by stretches, and times both."""

    def __init__(
        self,
        trainer: Trainer,
        watched: TrainerCallback,
        seconds: float,
        stretch: int = STRETCH,
    ) -> None:
        super().__init__(trainer, watched, stretch)
        if torch.cuda.is_available():
            self.time_launches(trainer)
        self._began = 0.0
        self._seconds = seconds
        self._watched = watched
        self._numbers = row_log._numbers
        self._plain: dict[str, Any] = {}
        self._wrapped = (trainer, "training_step"), (trainer.accelerator, "clip_grad_norm_")
        for owner, name in self._wrapped:
            # What a guard puts in the place of a method that somebody wrapped is another.
            if name not in REPLACED or getattr(watched, "guard", None) is None:
                setattr(owner, name, self._timed(getattr(owner, name), sign=-1))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Time what attach has put around the trainer's methods, less what is in there."""
        for owner, name in self._wrapped:
            setattr(owner, name, self._timed(getattr(owner, name)))
        # They stand in the place of what was timed.
        own = vars(self._watched)
        self.time(self._watched, [e for e in OF_A_RUN if e in own])

    def switch(self, *, on: bool) -> None:
        """Give the trainer its own methods back, or those that attach put there, too."""
        super().switch(on=on)
        row_log._numbers = self._numbers if on else (lambda batch: batch)
        for owner, name in self._wrapped:
            if on:
                vars(owner)[name] = self._plain.pop(name)
            else:
                self._plain[name] = vars(owner).pop(name)

    def check(self) -> None:
        """Raise where the steps were not seen to the end: what was measured is something else."""
        watched: Any = self._watched
        steps = watched.steps
        if steps is None or not watched.sees_steps:
            raise AssertionError(f"the steps were not followed: {steps.off if steps else None}")

    def is_enough(self, now: float) -> bool:
        """After whole blocks, once there are enough and the time is over."""
        self._began = self._began or now
        blocks, rest = divmod(len(self.stretches), 4)
        done = blocks - WARM_UP_BLOCKS
        return rest == 0 and done >= FEWEST and now - self._began > self._seconds


def batch_of(size: Size) -> int:
    """Return the rows of a step, by what a forward and backward pass of some rows takes."""
    if not size.compiled:
        return size.batch
    with torch.device("cuda"):
        model: Any = LlamaForCausalLM(config_of(size))
    fast: Any = torch.compile(model.to(torch.bfloat16))
    ids = torch.randint(0, 500, (size.batch, size.length), device="cuda")
    taken = []
    for _ in range(PASSES):
        torch.cuda.synchronize()
        start = time.perf_counter()
        fast(input_ids=ids, labels=ids).loss.backward()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
        model.zero_grad()
    return math.ceil(size.batch * LEAST_SECONDS / min(taken))


def config_of(size: Size) -> LlamaConfig:
    """Return the configuration of its Llama."""
    return alternating.llama(size.vocabulary, size.hidden, size.between, size.layers, size.length)


class Least(TrainerCallback):
    """The least that a callback can do which sees every step: it holds two numbers and a time."""

    def __init__(self, trainer: Trainer) -> None:
        self.held: list[Any] = []
        self.inside = 0.0
        self._hold(trainer, "training_step")
        self._hold(trainer.accelerator, "clip_grad_norm_")

    def _hold(self, owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def holding(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            start = time.perf_counter()
            self.held.append(result)
            self.inside += time.perf_counter() - start
            return result

        setattr(owner, name, holding)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hold the time of the step."""
        start = time.perf_counter()
        self.held.append((state.global_step, time.monotonic()))
        self.inside += time.perf_counter() - start

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the numbers."""
        start = time.perf_counter()
        numbers = [each.item() for each in self.held if isinstance(each, torch.Tensor)]
        assert len(numbers) in (0, 2 * STRETCH)
        self.held.clear()
        self.inside += time.perf_counter() - start


def least_ms(folder: Path, size: Size) -> float:
    """Return the milliseconds a step of the least that could be spent on watching."""
    trainer = alternating.llama_trainer(
        folder, config_of(size), batch=size.batch, steps=STEPS_OF_THE_LEAST, logging_steps=STRETCH
    )
    least = Least(trainer)
    trainer.add_callback(least)
    trainer.train()
    return least.inside / STEPS_OF_THE_LEAST * 1000


class Idle(TrainerCallback):
    """Has the events of the callback that come at each step and row, and does nothing."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do nothing."""


def stopwatch_ms(folder: Path, size: Size) -> float:
    """Return the milliseconds a step that the stopwatches take for their own, around nothing."""
    trainer = alternating.llama_trainer(
        folder, config_of(size), batch=size.batch, steps=10**5, logging_steps=STRETCH
    )
    idle = Idle()
    trainer.add_callback(idle)
    alternate = Alternate(trainer, idle, STOPWATCH_SECONDS)
    trainer.train()
    seen = [each.inside for each in alternate.stretches[4 * WARM_UP_BLOCKS :] if each.watched]
    return statistics.mean(seen) / STRETCH * 1000


def measure(folder: Path, size: Size, seconds: float) -> dict[str, Any]:
    """Train; return what was trained, each block's ratio, ms inside a step and ms a step."""
    steps = 4 * (MOST + WARM_UP_BLOCKS) * STRETCH + 1
    batch = batch_of(size)
    trainer = alternating.llama_trainer(
        folder,
        config_of(size),
        batch=batch,
        steps=steps,
        logging_steps=STRETCH,
        compiled=size.compiled,
    )
    watched = sftdiag.attach(trainer, ignore=["SFT4", "SFT5"], guard=size.guard)
    alternate = Alternate(trainer, watched, seconds)
    trainer.train()
    alternate.check()
    stretches = alternate.stretches[4 * WARM_UP_BLOCKS :]
    cuda = torch.cuda.is_available()
    precision = (
        "weights in bf16, compiled"
        if size.compiled
        else "bf16 mixed precision"
        if cuda
        else "float32"
    )
    return {
        "device": torch.cuda.get_device_name() if cuda else "the CPU",
        "torch": torch.__version__,
        "what": alternating.of_model(trainer, batch),
        "precision": precision,
        **({} if cuda else beside(folder, size)),
        **judged(stretches),
    }


def beside(folder: Path, size: Size) -> dict[str, float]:
    """Return what watching costs at the least, and what it costs to take the time of it."""
    return {
        "least_ms": least_ms(folder.with_name("least"), size),
        "stopwatch_ms": stopwatch_ms(folder.with_name("stopwatch"), size),
    }


def judged(stretches: Sequence[alternating.Stretch]) -> dict[str, Any]:
    """Return what stretches say, and themselves."""
    ratios = alternating.block_ratios(stretches)
    seen = [stretch.inside for stretch in stretches if stretch.watched]
    equal = {}
    if all(stretch.host for stretch in stretches):
        seen_at = alternating.at_equal_speed(stretches)
        equal = {"equal": list(seen_at.ratio), "launching": list(seen_at.launching)}
    return {
        **equal,
        "step_ms": statistics.median(s.seconds for s in stretches) / STRETCH * 1000,
        "inside_ms": statistics.mean(seen) / STRETCH * 1000,
        "blocks": len(ratios),
        "ratio": list(ratio(ratios)),
        "typical": list(alternating.typical_ratio(stretches)),
        "ratios": [round(each, 5) for each in ratios],
        "stretches": stretches,
    }


def pooled(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what files of one size say together: their blocks, one after another.

    Raises:
        SystemExit: they are not of the same model on the same device.
    """
    first, *others = files
    if not others:
        return dict(first)
    if {(file["what"], file["device"]) for file in files} != {(first["what"], first["device"])}:
        raise SystemExit("files to pool are of one model on one kind of device")
    stretches = [
        alternating.Stretch(*stretch)
        for file in files
        for stretch in file["stretches"][: 4 * file["blocks"]]
    ]
    return {**first, **judged(stretches)}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page's table, a row a size."""
    lines = [
        f"A log row every {STRETCH} steps.",
        "",
        "| tokens/s with attach over without | median | 95 % interval | without stalls "
        "| 95 % interval | at equal speed of the host | 95 % interval | on watching |",
        "|---|---|---|---|---|---|---|---|",
    ]
    order = [size.name for size in (*ON_A_GPU, *ON_THE_CPU)]
    rows = [
        (name, seen)
        for name, newest in sorted(results.items(), key=lambda result: order.index(result[0]))
        for seen in (newest, *newest.get("before", ()))
    ]
    for name, seen in rows:
        middle, low, high = seen["ratio"]
        inside, step = seen["inside_ms"], seen["step_ms"]
        typical = "- | -"
        if "typical" in seen:
            typical = "{:.4f} | {:.4f} to {:.4f}".format(*seen["typical"])
        equal = "- | -"
        if "equal" in seen:
            equal = "{:.4f} | {:.4f} to {:.4f}".format(*seen["equal"])
            equal += " (its own {:.4f}, {:.4f} to {:.4f})".format(*seen["launching"])
        was = f" ({seen['was']})" if "was" in seen else ""
        least = ""
        if "stopwatch_ms" in seen:
            least += f", with the stopwatches' own {seen['stopwatch_ms']:.3f} ms"
        if "least_ms" in seen:
            least += f"; at the least {seen['least_ms']:.3f} ms"
        lines.append(
            f"| {name}: {seen['what']}, {seen['precision']}, {step:.1f} ms a step on "
            f"{seen['device']}, torch {seen['torch']}, {seen['blocks']} blocks{was} | {middle:.4f} "
            f"| {low:.4f} to {high:.4f} | {typical} | {equal} "
            f"| {inside:.3f} ms a step, {inside / step:.2%} of it{least} |"
        )
    return "\n".join(lines)


BARS = f"""\
To reach: on a GPU at least {LEAST_TOKENS} at the lower end of the interval; on the CPU at most
0.050 ms a step on watching, 1 % of a step of 5 ms. "At the least": what hooks at the same places
take that hold a loss, a norm and a time, read them at the log row and do nothing else. "The
stopwatches' own": what the same stopwatches say of a callback that does nothing; no run pays it.
"Without stalls": of the median seconds of each step by its place after the log row, so that what
the machine loses now and then, with or without, is in neither; its interval is a bootstrap's.
"At equal speed of the host": others share the host, which for seconds on end takes 10 or 19 ms of
its processor for the same forward passes, and a step follows it; of each block that is known, with
and without, and what it explains of the block's ratio is taken off (a control variate; means and a
bootstrap's intervals). In brackets what the host took for those passes without over with: 1 where
the watch costs them nothing, so that nothing of its cost is taken off. "On watching" is the host's
time, also that in which the device computes on and waits for nobody, as most of a guard's is, and
of a guard's run the clipping of the gradient, which it does in the trainer's stead.
Rows of one size are of different machines of the same kind; the newest stands first.
"""


def main() -> int:
    """Measure, keep and print; return 1 where an interval reaches below the bound on a GPU."""
    parser = argparse.ArgumentParser(description="Measures what seeing every step costs.")
    parser.add_argument("--size", action="append", help="measure this one alone")
    parser.add_argument("--seconds", type=float, help="for each size; default: its own")
    parser.add_argument("--to", type=Path, help="keep what was measured in this file")
    parser.add_argument("--keep", type=Path, nargs="+", help="measure nothing; store these files")
    parser.add_argument("--write", action="store_true", help="write docs/speed_steps.md too")
    parser.add_argument(
        "--beside", action="store_true", help="leave the rows that are stored of these sizes, too"
    )
    chosen = parser.parse_args()
    logging.getLogger("sftdiag").addHandler(logging.NullHandler())
    results: dict[str, Any] = {}
    kept = [json.loads(file.read_text()) for file in chosen.keep or ()]
    for name in dict.fromkeys(name for file in kept for name in file):
        results[name] = pooled([file[name] for file in kept if name in file])
    cuda = torch.cuda.is_available()
    sizes = ON_A_GPU if cuda else ON_THE_CPU
    if unknown := set(chosen.size or ()) - {size.name for size in sizes}:
        parser.error(f"no such size here: {', '.join(unknown)}")
    if not chosen.keep:
        with tempfile.TemporaryDirectory() as folder:
            for size in sizes:
                if not chosen.size or size.name in chosen.size:
                    seconds = chosen.seconds or size.seconds
                    results[size.name] = measure(Path(folder) / size.name, size, seconds)
                    if chosen.to:
                        chosen.to.write_text(json.dumps(results) + "\n")
    print(table(results))
    for seen in results.values():
        seen.pop("stretches", None)
    if chosen.write:
        stored = json.loads(STORED.read_text()) if STORED.exists() else {}
        if chosen.beside:
            for name in results.keys() & stored.keys():
                earlier = stored[name].pop("before", [])
                results[name]["before"] = [stored[name], *earlier]
        STORED.write_text(json.dumps(stored | results, indent=1) + "\n")
        command = "`python -m benchmarks.gpu.overhead --write`"
        title = "# What it costs to see every step"
        page = f"{title}\n\nPrinted by {command}.\n\n{BARS}\n{table(stored | results)}\n"
        DOCS.write_text(page)
    lows = [seen["ratio"][1] for seen in results.values()]
    return int(cuda and min(lows, default=1.0) < LEAST_TOKENS)


if __name__ == "__main__":
    raise SystemExit(main())
