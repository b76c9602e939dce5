"""The cases: each trains one run, or a few, on every rank and returns what this rank saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from transformers import EarlyStoppingCallback

import sftdiag
from benchmarks.gpu.ranks.bench import (
    DEEPSPEED,
    SHARDED,
    Bench,
    Masked,
    nan_gradient,
    nan_logged,
    nan_loss,
)
from benchmarks.gpu.ranks.cases_apart import (
    AT,
    Seen,
    crashed_before,
    late,
    more_before,
    only_on,
    rows_at_evaluation,
    rows_raise,
    rows_stop,
)
from benchmarks.gpu.ranks.cases_broken import (
    fails_at_row,
    fails_at_step,
    fails_in_guard,
    guarded,
    slow,
)
from benchmarks.gpu.ranks.cases_faulty import blow_up, faulty
from benchmarks.gpu.ranks.delays import EVERY

HEALTHY = 80
"""Steps of a healthy run: enough to be judged."""


class Case(NamedTuple):
    """A case.

    Attributes:
        about: what is done, in a line of docs/ranks.md.
        run: does it.
        often: repeated to show that nothing hangs.
        skip: backends on which there is nothing to see.
        saves: needs a checkpoint, which FSDP2 cannot write without a GPU.
        many: made with more than two ranks, too.
    """

    about: str
    run: Callable[[Bench], Seen]
    often: bool = True
    skip: tuple[str, ...] = ()
    saves: bool = False
    many: bool = False

    def fits(self, backend: str, device: str, world: int = 2) -> bool:
        """Return whether the case can be made there."""
        saved = device == "cuda" or backend != "fsdp2"
        enough = world == 2 or self.many
        return enough and backend not in self.skip and (saved or not self.saves)


def unwatched(bench: Bench) -> Seen:
    """A healthy run without sftdiag, twice: what differs between these differs by itself."""
    return [bench.train(bench.trainer(max_steps=HEALTHY)) for _ in range(2)]


def healthy(bench: Bench) -> Seen:
    """The same with it."""
    trainer = bench.trainer(max_steps=HEALTHY)
    return [bench.train(trainer, sftdiag.attach(trainer, stop_on="warning"))]


def stop(bench: Bench) -> Seen:
    """NaN on every rank; the policy is set on rank 0 only, as where its host has the file."""
    trainer = bench.trainer()
    nan_loss(trainer, AT)
    options = {"stop_on": "error"} if bench.rank == 0 else {}
    return [bench.train(trainer, sftdiag.attach(trainer, **options))]


def stop_and_save(bench: Bench) -> Seen:
    """A stop that saves, where there are checkpoints to save."""
    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": 10} if bench.saves else {}
    trainer = bench.trainer(learning_rate=1e-7, max_steps=120, **saving)
    callback = sftdiag.attach(
        trainer, stop_on={"SFT101": "info", "SFT105": "info"}, save_on_stop=True
    )
    return [bench.train(trainer, callback)]


def raise_error(bench: Bench) -> Seen:
    """An exception, on every rank."""
    trainer = bench.trainer()
    nan_loss(trainer, AT)
    return [bench.train(trainer, sftdiag.attach(trainer, raise_on={"non-finite"}))]


def resume(bench: Bench) -> Seen:
    """A run that is stopped by its number of steps, and resumed from its checkpoint."""
    seen = []
    for steps in (8, STEPS_RESUMED):
        trainer = bench.trainer(
            folder="resumed", max_steps=steps, save_strategy="steps", save_steps=8
        )
        nan_logged(trainer, AT)
        callback = sftdiag.attach(trainer, stop_on="error")
        seen.append(bench.train(trainer, callback, resume_from_checkpoint=steps > 8 or None))
    return seen


STEPS_RESUMED = 24
"""Steps of a run that is resumed."""


def smoke(bench: Bench) -> Seen:
    """smoke_test on both ranks, then the run with ``smoke_steps``."""
    trainer = bench.trainer()
    said: dict[str, Any] = {}
    try:
        result = sftdiag.smoke_test(trainer, 16)
        said = {"smoke": result.verdict, "reason": result.reason}
    except sftdiag.ConfigError as error:
        said = {"refused": str(error)}
    callback = sftdiag.attach(trainer, smoke_steps=10)
    seen = bench.train(trainer, callback)
    run = callback.smoke.result
    return [{**seen, **said, "smoke_steps": run.verdict if run else None}]


def smoke_rows(bench: Bench) -> Seen:
    """smoke_test where rank 1's collator masks every label: one verdict on both."""
    trainer = bench.trainer()
    if bench.rank == 1:
        trainer.data_collator = Masked(trainer.data_collator)
    result = sftdiag.smoke_test(trainer, 8)
    return [{"step": trainer.state.global_step, "smoke": result.verdict, "reason": result.reason}]


def smoke_on_one(bench: Bench) -> Seen:
    """smoke_test on rank 0 only, then the run on both."""
    trainer = bench.trainer(max_steps=8)
    said = {}
    if bench.rank == 0:
        try:
            sftdiag.smoke_test(trainer, 8)
        except sftdiag.ConfigError as error:
            said = {"refused": str(error)}
    return [{**bench.train(trainer), **said}]


def probes(bench: Bench) -> Seen:
    """The model is asked on rank 0, and both go by what it said; an evaluation comes first."""
    trainer = bench.trainer(eval_strategy="steps", eval_steps=8, eval_on_start=True)
    asked = sftdiag.Probes(seconds=5, reply_tokens=8)
    return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error", probes=asked))]


def early_stopping(bench: Bench) -> Seen:
    """Early stopping ends the run, sftdiag watches; at its end the best model is loaded."""
    trainer = bench.trainer(
        eval_strategy="steps",
        eval_steps=6,
        save_strategy="steps",
        save_steps=6,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,
    )
    trainer.add_callback(EarlyStoppingCallback(2))
    return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error"))]


def best_model(bench: Bench) -> Seen:
    """A stop by sftdiag, after which the best model is loaded."""
    trainer = bench.trainer(
        eval_strategy="steps",
        eval_steps=5,
        save_strategy="steps",
        save_steps=5,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
    )
    nan_loss(trainer, AT + 3)
    return [bench.train(trainer, sftdiag.attach(trainer, stop_on="error"))]


def saves_where_it_evaluates(bench: Bench) -> Seen:
    """An evaluation and a save at one step, without sftdiag."""
    seen: Seen = []
    for apart in (False, True):
        trainer = bench.trainer(
            max_steps=24,
            eval_strategy="steps",
            eval_steps=10,
            save_strategy="steps",
            save_steps=9 if apart else 10,
        )
        try:
            seen.append(bench.train(trainer))
        except Exception as error:
            seen.append({"step": trainer.state.global_step, "error": _first_line(error)})
    return seen


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:300]


CASES: dict[str, Case] = {
    "unwatched": Case("healthy, without sftdiag, twice", unwatched, often=False, many=True),
    "healthy": Case('healthy, `stop_on="warning"`', healthy, often=False, many=True),
    "stop": Case("NaN on all ranks; the policy on rank 0 only", stop, many=True),
    "stop-and-save": Case("a rate of 1e-7; `save_on_stop`", stop_and_save),
    "raise": Case("NaN on all ranks; `raise_on`", raise_error, many=True),
    "rows-stop": Case("rank 1's collator masks every label; `stop_on`", rows_stop, many=True),
    "rows-raise": Case("the same; `raise_on`", rows_raise),
    "rows-eval": Case("rank 1's evaluation rows unlabelled; no `attach`", rows_at_evaluation),
    "only-rank-0": Case("the callback on rank 0 only; NaN", only_on(0)),
    "only-rank-1": Case("the callback on rank 1 only; NaN", only_on(1)),
    "fails-row": Case("the callback fails on rank 1 in a log row; NaN", fails_at_row, many=True),
    "fails-step": Case("the same in a step", fails_at_step, many=True),
    "guard": Case("one gradient of rank 1 NaN; `guard=True`", guarded, skip=DEEPSPEED, many=True),
    "fails-guard": Case(
        "the same, and the guard fails on rank 1", fails_in_guard, skip=DEEPSPEED, many=True
    ),
    "slow": Case("rank 1 takes 0.1 s longer for each step; healthy", slow, many=True),
    "more-before": Case("an earlier run watched on one rank, then the other", more_before),
    "crashed-before": Case("an earlier run ended by an error; then rank 0 only", crashed_before),
    "late": Case("rank 0 begins 4 s later; NaN", late, many=True),
    "resume": Case("resumed at step 8; logged loss NaN", resume, saves=True, many=True),
    "smoke": Case("`smoke_test`, then `smoke_steps=10`", smoke),
    "smoke-rows": Case(
        "`smoke_test`, rank 1's labels masked", smoke_rows, skip=("zero2", *SHARDED)
    ),
    "smoke-one": Case("`smoke_test` on rank 0 only", smoke_on_one, often=False),
    "probes": Case("`probes`, evaluated every 8 steps", probes),
    "early": Case("early stopping, best model at the end", early_stopping, saves=True),
    "best": Case("NaN; best model at the end", best_model, saves=True),
    "eval-save": Case(
        "without sftdiag: evaluation and save at a step, then apart",
        saves_where_it_evaluates,
        often=False,
        saves=True,
    ),
    **{
        f"{name}-{every}": Case(
            f"{about}; `logging_steps={every}`", faulty(fault, every, ranks=ranks), often=False
        )
        for name, about, fault, ranks in (
            ("nan-all", "loss NaN on all ranks", nan_loss, (0, 1)),
            ("nan-one", "logged loss NaN on rank 1", nan_logged, (1,)),
            ("nan-gradient", "gradient NaN on rank 1", nan_gradient, (1,)),
        )
        for every in EVERY
    },
    **{
        f"blow-up-{every}": Case(
            f"SGD at a rate of 30; `logging_steps={every}`", blow_up(every), often=False
        )
        for every in EVERY
    },
}
"""By name, in the order of docs/ranks.md."""

bench = Bench
"""What trains them."""
