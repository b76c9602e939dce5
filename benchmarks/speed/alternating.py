"""A trainer that is watched by stretches: with, without, without, with, in one process.

A drift of the machine's speed slows both alike; a block of four stretches gives one ratio. Shared
by callback.py here and benchmarks/gpu/overhead.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.speed.measuring import Ratio

ROWS, TOKENS = 2000, 500
UNKNOWABLE = 1 / 3
"""Share of tokens that follow from nothing."""

LEARNING_RATE = 1e-3
"""At which the smallest of the models here learns within seconds."""

DRAWS = 2000
"""Of a bootstrap: its quantiles then move by less than a tenth of the interval."""


class Stretch(NamedTuple):
    """Some steps: whether they were watched, their seconds, and those spent on watching.

    ``steps``: seconds of each, from where it begins to where the next does. ``host``: those that
    the processor took to launch the forward passes, which are the same with and without.
    """

    watched: bool
    seconds: float
    inside: float
    steps: tuple[float, ...]
    host: float = 0.0


class Alternate(TrainerCallback):
    """Takes a callback out of a trainer and puts it back by stretches, and takes the times.

    Args:
        trainer: has the callback.
        watched: the callback.
        stretch: steps of a stretch; a log row falls into each. It ends where the next step begins,
            after that row: what is told of steps must be told of the row's own. The last one of a
            run is not counted.
    """

    def __init__(self, trainer: Trainer, watched: TrainerCallback, stretch: int) -> None:
        self.stretches: list[Stretch] = []
        self._handler = trainer.callback_handler
        self._with = [*self._handler.callbacks, self]
        self._without = [callback for callback in self._with if callback is not watched]
        self._handler.callbacks = self._with
        self._stretch, self._ended = stretch, 0
        self._start = self._inside = self._step = self._host = self._launched = 0.0
        self._steps: list[float] = []
        # The others do nothing, and are called on every callback there is.
        events = (name for name in dir(TrainerCallback) if name.startswith("on_"))
        own, bare = type(watched), TrainerCallback
        self.time(watched, [e for e in events if getattr(own, e) is not getattr(bare, e)])

    def time(self, owner: Any, names: Sequence[str]) -> None:
        """Count the time in these methods as spent on watching."""
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def time_launches(self, trainer: Trainer) -> None:
        """Take the processor's time for each forward pass, which nothing of the watch is part of.

        It tells how fast the host is just now: one that is shared with others does the same work
        in 10 ms or in 19, for seconds on end.
        """
        prepare, backward = trainer._prepare_inputs, trainer.accelerator.backward

        def begins(*args: Any, **kwargs: Any) -> Any:
            inputs = prepare(*args, **kwargs)
            self._launched = time.thread_time()
            return inputs

        def ends(*args: Any, **kwargs: Any) -> Any:
            self._host += time.thread_time() - self._launched
            return backward(*args, **kwargs)

        vars(trainer)["_prepare_inputs"] = begins
        vars(trainer.accelerator)["backward"] = ends

    def _timed(self, method: Callable[..., Any], sign: int = 1) -> Callable[..., Any]:
        """Return the method, whose time counts; with -1 as what it is no part of."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = method(*args, **kwargs)
            self._inside += sign * (time.perf_counter() - start)
            return result

        return timed

    def switch(self, *, on: bool) -> None:
        """Put the callback back, or take it out."""
        self._handler.callbacks = self._with if on else self._without

    def is_enough(self, now: float) -> bool:
        """Return whether training may end here, after a whole stretch."""
        return False

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """At the end of a stretch take its time and begin the next."""
        now = time.perf_counter()
        if state.global_step == self._ended:
            self._start = self._step = now
            return
        self._steps.append(now - self._step)
        self._step = now
        if state.global_step % self._stretch:
            return
        self._ended = state.global_step
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        here = self._handler.callbacks is self._with
        self._steps[-1] += now - self._step
        seconds = now - self._start
        self.stretches.append(Stretch(here, seconds, self._inside, tuple(self._steps), self._host))
        goes_on = len(self.stretches) % 4 in (0, 3)
        if goes_on is not here:
            self.switch(on=goes_on)
        if self.is_enough(now):
            control.should_training_stop = True
        self._steps.clear()
        self._start, self._inside, self._host = time.perf_counter(), 0.0, 0.0
        self._step = self._start


def block_ratios(stretches: Sequence[Stretch]) -> list[float]:
    """Return tokens/s with the callback over without, of each whole block of four stretches."""
    ratios = []
    for place in range(0, len(stretches) - 3, 4):
        block = first, second, third, fourth = stretches[place : place + 4]
        assert [stretch.watched for stretch in block] == [True, False, False, True]
        ratios.append((second.seconds + third.seconds) / (first.seconds + fourth.seconds))
    return ratios


class AtEqualSpeed(NamedTuple):
    """A ratio of tokens/s at equal speed of the host, and that of the host's own time.

    ``launching`` tells whether the correction takes anything away that is the watch's: it is 1
    where the same forward passes took the host as long with it as without.
    """

    ratio: Ratio
    launching: Ratio


def at_equal_speed(stretches: Sequence[Stretch]) -> AtEqualSpeed:
    """Return tokens/s with the callback over without, at the same speed of the host.

    The logarithm of each block's ratio is laid off against that of the host's time for its forward
    passes, without over with: what the line through them says where that is 0 (a control variate).
    Intervals of 95 % are of a bootstrap over blocks.
    """
    whole = len(stretches) // 4
    values = [[each.seconds, each.host] for each in stretches[: 4 * whole]]
    logs = np.log(np.array(values).reshape(whole, 4, 2)[:, [[0, 3], [1, 2]]].sum(axis=2))
    seconds, hosts = (logs[:, 1] - logs[:, 0]).T

    def of(blocks: NDArray[np.int64]) -> float:
        x, y = hosts[blocks], seconds[blocks]
        slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
        return float(np.exp(y.mean() - slope * x.mean()))

    def launching(blocks: NDArray[np.int64]) -> float:
        return float(np.exp(hosts[blocks].mean()))

    return AtEqualSpeed(_bootstrapped(of, whole), _bootstrapped(launching, whole))


def _bootstrapped(of: Callable[[NDArray[np.int64]], float], blocks: int) -> Ratio:
    """Return what is said of blocks, and its 95 % interval by drawing them again."""
    drawn = np.random.default_rng(0).integers(blocks, size=(DRAWS, blocks))
    low, high = np.quantile([of(each) for each in drawn], (0.025, 0.975))
    return Ratio(of(np.arange(blocks)), float(low), float(high))


def typical_ratio(stretches: Sequence[Stretch]) -> Ratio:
    """Return tokens/s with the callback over without, by the typical time of a stretch.

    That is the sum over its steps, each by its place after the log row, of the median seconds: a
    stall of the machine, which takes either now and then, is left out of both. The 95 % interval is
    of a bootstrap over blocks of four stretches.
    """
    whole = len(stretches) // 4
    steps = np.array([stretch.steps for stretch in stretches[: 4 * whole]])
    steps = steps.reshape(whole, 4, -1)
    with_it, without = steps[:, [0, 3]], steps[:, [1, 2]]

    def of(blocks: NDArray[np.int64]) -> float:
        typical = [np.median(part[blocks], axis=(0, 1)).sum() for part in (without, with_it)]
        return float(typical[0] / typical[1])

    return _bootstrapped(of, whole)


def llama_trainer(
    folder: Path,
    config: LlamaConfig,
    *,
    batch: int,
    steps: int,
    logging_steps: int,
    callbacks: Sequence[TrainerCallback] = (),
    compiled: bool = False,
) -> Trainer:
    """Return a trainer of a Llama with random weights, on the GPU in bf16 where there is one.

    Its rows are as long as the model takes, and such that a healthy run comes of them: each token
    is the one after the token before, or in one place of three any, so that the loss falls at once
    and stands at what nobody can know. ``compiled``: by torch.compile, of weights that are in bf16
    themselves, which leaves the host the fewest kernels to launch.
    """
    cuda = torch.cuda.is_available()
    torch.manual_seed(0)
    with torch.device("cuda" if cuda else "cpu"):
        model: Any = LlamaForCausalLM(config)
    if compiled:
        model.to(torch.bfloat16)
    steps_on = torch.ones(ROWS, config.max_position_embeddings, dtype=torch.int64)
    anywhere = torch.rand(steps_on.shape) < UNKNOWABLE
    steps_on[anywhere] = torch.randint(TOKENS, (int(anywhere.sum()),))
    rows = [{"input_ids": ids, "labels": ids} for ids in steps_on.cumsum(1) % TOKENS]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            str(folder),
            max_steps=steps,
            per_device_train_batch_size=batch,
            logging_steps=logging_steps,
            learning_rate=LEARNING_RATE,
            bf16=cuda and not compiled,
            torch_compile=compiled,
            use_cpu=not cuda,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        # One epoch: the start of another would fall into the same stretch of every block.
        train_dataset=rows * (1 + steps * batch // len(rows)),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def llama(vocabulary: int, hidden: int, between: int, layers: int, length: int) -> LlamaConfig:
    """Return the configuration of a Llama with heads of 64."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=between,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=length,
    )


def of_model(trainer: Trainer, batch: int) -> str:
    """Return what is trained, in words."""
    model: Any = trainer.model
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    length = model.config.max_position_embeddings
    return f"Llama of {parameters:,.1f} M parameters, {batch} x {length} tokens"
