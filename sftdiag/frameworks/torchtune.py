"""torchtune: a metric logger, which its YAML or command line names; recipes have no other way in.

metric_logger._component_=sftdiag.frameworks.torchtune.MetricLogger

logs as torchtune's own would, and ends a recipe that is to stop: a recipe asks nobody whether to go
on, so that it is left by SystemExit, with exit code 1. Recipes on several devices log on the first
alone; torchrun ends the others.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from sftdiag.context import RunContext
from sftdiag.frameworks._by_loop import ByLoop
from sftdiag.live.loop import Loop
from sftdiag.live.unharmed import unharmed
from sftdiag.records import as_float, as_positive

NAME = "torchtune"

OURS = (
    *("stop_on", "raise_on", "select", "ignore", "grace_steps", "report_to", "webhook", "lang"),
    *("columns", "enabled"),
)
"""Options of :class:`sftdiag.Loop`; all others are the logger's."""

CODE = 1
"""The exit code of a recipe that is stopped."""


class MetricLogger(ByLoop):
    """Hands all on to one of torchtune's loggers, and diagnoses the run while it trains.

    Args:
        logger: the name of one in ``torchtune.training.metric_logging``, such as ``"WandBLogger"``.
        options: those of :class:`sftdiag.Loop`, such as ``stop_on``; the logger's own.

    Raises:
        ConfigError: an option of ours is wrong.
    """

    def __init__(self, logger: str = "DiskLogger", **options: Any) -> None:
        from torchtune.training import metric_logging

        self._options = {name: options.pop(name) for name in OURS if name in options}
        self._follow(Loop(None, **self._options))
        self._settings: Mapping[str, Any] = {}
        self._recipe: Callable[[], Any] = lambda: None
        self._begun = self._planned = False
        self._logger = getattr(metric_logging, logger)(**options)

    def __getattr__(self, name: str) -> Any:
        if name == "_logger":
            raise AttributeError(name)  # It could not be made.
        return getattr(self._logger, name)

    def log_config(self, config: Any) -> None:
        """Keep the recipe's settings, which say what the run is."""
        self._logger.log_config(config)
        self._keep(config, sys._getframe(1).f_locals.get("self"))

    @unharmed
    def _keep(self, config: Any, recipe: Any) -> None:
        """Keep the settings, and who tells them: the recipe alone knows the steps of an epoch."""
        from omegaconf import OmegaConf

        if hasattr(recipe, "total_epochs"):
            self._recipe = weakref.ref(recipe)
        self._settings = OmegaConf.to_container(config, resolve=True)

    def log(self, name: str, data: Any, step: int) -> None:
        """Log a number."""
        self.log_dict({name: data}, step)

    def log_dict(self, payload: Mapping[str, Any], step: int) -> None:
        """Log numbers; leave the recipe where it is to stop."""
        self._logger.log_dict(payload, step)
        self._take(payload, step)
        if self._loop.should_stop:
            self.close()
            raise SystemExit(CODE)

    @unharmed
    def _take(self, payload: Mapping[str, Any], step: int) -> None:
        if not self._begun:
            self._begun = True
            given = self._settings
            # A recipe tells its first step only when it has made it.
            done = step - 1 if given.get("resume_from_checkpoint") else 0
            known = self._faults.run("the context", lambda: context(given), RunContext())
            folder = given.get("output_dir")
            self._loop = Loop(folder, start_step=done, context=known, **self._options)
        each = as_positive(getattr(self._recipe(), "_steps_per_epoch", None))
        if each is not None and not self._planned:
            self._planned = True
            self._loop.learn(max_steps=each * self._recipe().total_epochs)
        self._loop.log(dict(payload), step=step, epoch=step / each if each else None)

    def close(self) -> None:
        """Say the verdict, and close the logger."""
        self._over()
        self._logger.close()


def context(given: Mapping[str, Any]) -> RunContext:
    """Return what a recipe's settings say of the run."""
    optimizer, scheduler = given.get("optimizer") or {}, given.get("lr_scheduler") or {}
    model, tokenizer = given.get("model") or {}, given.get("tokenizer") or {}
    epochs = as_positive(given.get("epochs"))
    each = as_positive(given.get("max_steps_per_epoch"))
    clip = as_float(given.get("clip_grad_norm"))
    rank = as_positive(model.get("lora_rank"))
    return RunContext(
        framework=NAME,
        method="lora" if rank else "full",
        vocab_size=as_positive(model.get("vocab_size")),
        learning_rate=as_float(optimizer.get("lr")),
        weight_decay=as_float(optimizer.get("weight_decay")),
        optim=str(optimizer.get("_component_", "")).rpartition(".")[2].lower() or None,
        warmup_steps=as_positive(scheduler.get("num_warmup_steps")),
        num_train_epochs=epochs,
        max_steps=epochs * each if epochs and each else None,
        per_device_train_batch_size=as_positive(given.get("batch_size")),
        gradient_accumulation_steps=as_positive(given.get("gradient_accumulation_steps")),
        max_grad_norm=clip if clip is not None and isfinite(clip) else None,
        max_length=as_positive(tokenizer.get("max_seq_len")),
        lora_r=rank,
        lora_alpha=as_float(model.get("lora_alpha")),
        lora_dropout=as_float(model.get("lora_dropout")),
    )
