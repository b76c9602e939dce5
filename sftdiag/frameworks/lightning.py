"""Lightning: a callback for its Trainer, of ``lightning`` and of ``pytorch_lightning``.

It takes what the module logs with ``self.log``, at the steps at which the Trainer gives it to its
loggers, under the names that they get; where the module logs no loss, that of ``training_step``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from sftdiag.columns import canonical
from sftdiag.context import RunContext, of_user
from sftdiag.errors import UnhealthyRunError
from sftdiag.findings import Report
from sftdiag.frameworks._by_loop import ByLoop
from sftdiag.live.loop import Loop
from sftdiag.live.unharmed import unharmed
from sftdiag.values import EMPTY

NAME = "Lightning"

EVERY = 50
"""Steps between two rows where the Trainer gives its loggers none: its own default."""

PRECISIONS = {"bf16-mixed": "bf16", "16-mixed": "fp16", "32-true": "fp32"}
"""The Trainer's names for what the context calls precision."""

SAVING = (
    *("on_train_batch_end", "on_train_epoch_end", "on_validation_end"),
    *("on_exception", "on_train_end"),
)
"""The events at which Lightning's checkpoint callbacks save."""

try:
    # The two packages' classes are strangers to each other: the one in use counts.
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning import Callback
    else:
        from lightning.pytorch import Callback
except ImportError as error:
    raise ImportError("this needs lightning: pip install lightning") from error


class DiagnosticsCallback(ByLoop, Callback):  # type: ignore[misc]
    """Diagnoses a run of a Lightning Trainer while it trains; never stops it unasked.

    A stop sets ``trainer.should_stop``, on all ranks at the same step. Where the weights are then
    worse than before (lost, blown up, NaN, overfitted), the Trainer's checkpoint callbacks save
    nothing more until its ``fit`` is over: by themselves they put them in a good one's place.

    Args:
        output_dir: where ``_sftdiag/`` goes; default: the Trainer's ``log_dir``.
        context: what else is known of the run; wins over what the Trainer tells.
        options: those of :class:`sftdiag.Loop`: ``stop_on``, ``raise_on``, ``select``, ``ignore``,
            ``grace_steps``, ``columns``, ``report_to``, ``webhook``, ``lang``, ``enabled``.

    Raises:
        ConfigError: an option is wrong.
    """

    def __init__(
        self,
        *,
        output_dir: str | os.PathLike[str] | None = None,
        context: RunContext | None = None,
        **options: Any,
    ) -> None:
        self._folder, self._options = output_dir, options
        self._known = RunContext() if context is None else of_user(context)
        try:
            self._follow(Loop(None, **options))
        except TypeError as error:
            told = str(error).replace("Loop.__init__()", "DiagnosticsCallback()")
            raise TypeError(told) from None
        self._kept_back: list[tuple[Any, dict[str, Any]]] = []
        self._none_saves = False
        self._saves: dict[int, dict[str, tuple[Any, int | None]]] = {}
        self._reset()

    def _reset(self) -> None:
        self._open = False
        self._by_step = False
        self._last = 0
        self._held: dict[str, Any] = {}
        self._refused: UnhealthyRunError | None = None

    @property
    def report(self) -> Report:
        """The diagnosis so far; valid at any time."""
        return self._loop.report

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start afresh, or where a checkpoint that is resumed from stands."""
        self._let_save()
        if not self.enabled or trainer.fast_dev_run:
            return
        # Where it is asked for, every rank is asked.
        folder = self._folder or trainer.log_dir or trainer.default_root_dir
        self._begin(trainer, pl_module, folder)
        # Also where that failed: every rank takes part in what the ranks agree on.
        self._open = True

    @unharmed
    def _begin(self, trainer: Any, pl_module: Any, folder: str | os.PathLike[str]) -> None:
        self._reset()
        self._last = trainer.global_step
        self._loop = Loop(
            folder,
            start_step=trainer.global_step,
            rank=trainer.global_rank,
            context=self._known.filled_from(
                self._faults.run("the context", lambda: context(trainer, pl_module), RunContext())
            ),
            **self._options,
        )
        self._loop.__enter__()
        self._saves = {}
        self._look_at_saves(trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take a row where the Trainer gives its loggers one."""
        step, every = trainer.global_step, trainer.log_every_n_steps or EVERY
        if self._open and step // every > self._last // every:
            self._last = step
            self._take_step(trainer, outputs, batch_idx)
            self._act(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the losses of a module that logs them by epoch alone."""
        if self._open:
            self._take_epoch(trainer)
            self._act(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Take an evaluation, unless it is the check before training or no part of it."""
        if self._open and not trainer.sanity_checking:
            self._take_evaluation(trainer)
            self._act(trainer)

    @unharmed
    def _take_step(self, trainer: Any, outputs: Any, batch_idx: int) -> None:
        row = {name: value for name, value in self._new(trainer) if not self._evaluates(name)}
        if not any(self._is_loss(name) for name in row):
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            if loss is None:
                return
            # The Trainer has divided it by the micro-batches of a step.
            row["loss"] = loss * trainer.accumulate_grad_batches
        self._by_step = True
        batches = trainer.num_training_batches
        done = (batch_idx + 1) / batches if batches and isfinite(batches) else 0.0
        self._log(trainer, row, trainer.current_epoch + done)

    @unharmed
    def _take_epoch(self, trainer: Any) -> None:
        row = {name: value for name, value in self._new(trainer) if not self._evaluates(name)}
        if not self._by_step and any(self._is_loss(name) for name in row):
            self._log(trainer, row, trainer.current_epoch + 1)

    @unharmed
    def _take_evaluation(self, trainer: Any) -> None:
        row = {name: value for name, value in self._new(trainer) if self._evaluates(name)}
        self._log(trainer, row, None)

    def _log(self, trainer: Any, row: dict[str, Any], epoch: float | None) -> None:
        self._look_at_saves(trainer)
        if epoch is not None and trainer.optimizers:
            row.setdefault("lr", trainer.optimizers[0].param_groups[0]["lr"])
        try:
            self._loop.log(row, step=trainer.global_step, epoch=epoch)
        except UnhealthyRunError as error:
            self._refused = error

    def _new(self, trainer: Any) -> Iterator[tuple[str, Any]]:
        """Yield what was logged since the last look: the Trainer keeps all that ever was."""
        for name, value in trainer.callback_metrics.items():
            if self._held.get(name) is not value:
                self._held[name] = value
                yield name, value

    def _called(self, name: str) -> str:
        """Return the Trainer's name for one of the module's; its own where it is not known."""
        own = {column: known for known, column in self._options.get("columns", EMPTY).items()}
        return str(own.get(name) or canonical(name) or name)

    def _is_loss(self, name: str) -> bool:
        return self._called(name) in ("loss", "train_loss")

    def _evaluates(self, name: str) -> bool:
        return self._called(name).startswith("eval_")

    def _act(self, trainer: Any) -> None:
        """Stop or raise on every rank where one of them has to; all of them come here."""
        if not self._loop.policy.acts:
            return
        stop, refused = self._loop.should_stop, self._refused is not None
        if trainer.world_size > 1:
            any_of = trainer.strategy.reduce_boolean_decision
            stop, refused = any_of(stop, all=False), any_of(refused, all=False)
        if (stop or refused) and not self._none_saves:
            worse = self._faults.run("the weights", lambda: self._loop.weights_worse, False)
            if trainer.world_size > 1:  # a save takes all ranks
                worse = trainer.strategy.reduce_boolean_decision(worse, all=False)
            if worse:
                self._none_saves = True
                self._faults.run("the stop's saves", lambda: self._let_none_save(trainer), None)
        if refused:
            self._over()
            raise self._refused or UnhealthyRunError("another rank's losses, see its log")
        trainer.should_stop = trainer.should_stop or stop

    def _let_none_save(self, trainer: Any) -> None:
        """Take their events from the checkpoint callbacks."""
        for each in getattr(trainer, "checkpoint_callbacks", ()):
            own = vars(each)
            self._kept_back.append((each, {name: own[name] for name in SAVING if name in own}))
            own.update(dict.fromkeys(SAVING, _nothing))
        if self._kept_back:
            self._loop.saves_end()

    def _let_save(self) -> None:
        """Give the checkpoint callbacks their events back."""
        for each, own in self._kept_back:
            for name in SAVING:
                vars(each).pop(name, None)
            vars(each).update(own)
        self._kept_back, self._none_saves = [], False

    def _look_at_saves(self, trainer: Any) -> None:
        self._faults.run("the checkpoints", lambda: self._take_saves(trainer), None)

    def _take_saves(self, trainer: Any) -> None:
        """Take in which checkpoints the Trainer's callbacks keep now."""
        for each in getattr(trainer, "checkpoint_callbacks", ()):
            known = self._saves.get(id(each), {})
            scores = getattr(each, "best_k_models", EMPTY)
            newest = (getattr(each, name, "") for name in ("best_model_path", "last_model_path"))
            kept = dict(known) if getattr(each, "save_top_k", None) == -1 else {}
            for path in filter(None, (*scores, *newest)):
                score = scores.get(path)
                same = path in known and path in scores and known[path][0] is score
                kept[path] = known[path] if same else (score, _step_of(path, each))
            self._saves[id(each)] = kept
        steps = {step for kept in self._saves.values() for _, step in kept.values()}
        self._loop.take_checkpoints(step for step in steps if step is not None)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave the Trainer's other callbacks as they were."""
        self._let_save()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Say the verdict."""
        self._over()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Say the verdict of a run that an error ends."""
        self._over()

    def _over(self) -> None:
        self._open = False
        super()._over()


def _nothing(*_: Any, **__: Any) -> None:
    """Stand for an event at which nothing is to be saved; of the module, so that it is pickled."""


def _step_of(path: str, callback: Any) -> int | None:
    """Return the step of the checkpoint that a callback saved last; None where it does not tell."""
    named = re.search(r"step=(\d+)", os.path.basename(path))
    return int(named[1]) if named else getattr(callback, "_last_global_step_saved", None) or None


def context(trainer: Any, pl_module: Any) -> RunContext:
    """Return what a Trainer that begins to train, and its module, tell of the run."""
    planned = trainer.estimated_stepping_batches
    loader = trainer.train_dataloader
    batch: Any = getattr(loader, "batch_size", None)
    data: Any = getattr(loader, "dataset", None)
    weights = list(pl_module.parameters())
    known: dict[str, Any] = {
        "framework": "lightning",
        "max_steps": int(planned) if isfinite(planned) and planned > 0 else None,
        "num_train_epochs": trainer.max_epochs if (trainer.max_epochs or 0) > 0 else None,
        "per_device_train_batch_size": batch if isinstance(batch, int) else None,
        "gradient_accumulation_steps": trainer.accumulate_grad_batches,
        "world_size": trainer.world_size,
        "precision": PRECISIONS.get(str(trainer.precision)),
        "train_samples": len(data) if hasattr(data, "__len__") else None,
        "total_parameters": sum(each.numel() for each in weights),
        "trainable_parameters": sum(each.numel() for each in weights if each.requires_grad),
        "vocab_size": next(_vocabularies(pl_module), None),
    }
    if trainer.gradient_clip_algorithm in (None, "norm"):
        known["max_grad_norm"] = trainer.gradient_clip_val
    if trainer.optimizers:
        optimizer = trainer.optimizers[0]
        group = optimizer.param_groups[0]
        known |= {
            "optim": type(optimizer).__name__.lower(),
            "learning_rate": group.get("initial_lr", group["lr"]),
            "weight_decay": group.get("weight_decay"),
            "adam_betas": group.get("betas"),
            "adam_epsilon": group.get("eps"),
        }
    return RunContext(**known)


def _vocabularies(pl_module: Any) -> Iterator[int]:
    """Yield the vocabularies of transformers models in a module."""
    for each in pl_module.children():
        size = getattr(getattr(each, "config", None), "vocab_size", None)
        if isinstance(size, int):
            yield size
