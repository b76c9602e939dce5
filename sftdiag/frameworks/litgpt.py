"""litgpt: its command line with the run under watch; it has no hook of its own.

python -m sftdiag.frameworks.litgpt finetune_lora CHECKPOINT ...

does what ``litgpt finetune_lora CHECKPOINT ...`` does. What litgpt gives its logger is seen, and a
run that is to stop is left by SystemExit, with exit code 1: litgpt asks nobody whether to go on. On
several devices, where one alone would stop and the others wait, it is told and not stopped. Steps
are litgpt's iterations, as in its metrics.csv.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from sftdiag.context import RunContext
from sftdiag.faults import say
from sftdiag.frameworks._by_loop import ByLoop
from sftdiag.frameworks._command_line import ends_with
from sftdiag.live.loop import Loop
from sftdiag.live.unharmed import unharmed
from sftdiag.records import as_float, as_positive

NAME = "litgpt"

CODE = 1
"""The exit code of a run that is stopped."""

SEVERAL = "litgpt on several devices is not stopped, only told of"


class Watched(ByLoop):
    """One run of litgpt under watch.

    Args:
        given: the arguments of the command's function.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._follow(Loop())
        self._begun = self._several = False
        self._folder: Path | None = None

    def logger(self, made: Any, folder: Path) -> Any:
        """Return the logger with what it is given seen."""
        self._folder = folder
        original = made.log_metrics

        @functools.wraps(original)
        def log_metrics(metrics: Mapping[str, Any], step: int | None = None) -> Any:
            result = original(metrics, step)
            self._take(metrics, step)
            if self._loop.should_stop and not self._several:
                raise SystemExit(CODE)
            return result

        made.log_metrics = log_metrics
        return made

    @unharmed
    def _take(self, metrics: Mapping[str, Any], step: int | None) -> None:
        if not self._begun:
            self._begun = True
            self._begin(step)
        # The row's own step counts optimizer steps, and evaluations have none.
        row = {name: value for name, value in metrics.items() if name != "step"}
        self._loop.log(row, step=step)

    def _begin(self, step: int | None) -> None:
        from lightning.fabric.utilities.rank_zero import rank_zero_only
        from torch import distributed

        rank = getattr(rank_zero_only, "rank", None) or 0
        self._several = distributed.is_initialized() and distributed.get_world_size() > 1
        if self._several and rank == 0 and self._loop.policy.acts:
            say(logging.WARNING, SEVERAL)
        known = self._faults.run("the context", lambda: context(self._given), RunContext())
        done = max(0, (step or 1) - 1) if self._given.get("resume") else 0
        self._loop = Loop(self._folder, start_step=done, rank=rank, context=known)

    def close(self) -> None:
        """Say the verdict."""
        self._over()


def watched(setup: Callable[..., None], module: ModuleType) -> Callable[..., None]:
    """Return the function of one of litgpt's commands with its run under watch."""

    @functools.wraps(setup)
    def run(*args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(setup).bind(*args, **kwargs)
        bound.apply_defaults()
        watch = Watched(bound.arguments)
        original = module.choose_logger

        def choose_logger(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            chosen = inspect.signature(original).bind(*args, **kwargs).arguments
            return watch.logger(made, chosen["out_dir"])

        module.choose_logger = choose_logger  # type: ignore[attr-defined]
        try:
            setup(*args, **kwargs)
        finally:
            module.choose_logger = original  # type: ignore[attr-defined]
            watch.close()

    return run


def context(given: Mapping[str, Any]) -> RunContext:
    """Return what the arguments of a command say of the run."""
    from litgpt.config import Config

    train, optimizer = given.get("train"), given.get("optimizer")
    settings = optimizer.get("init_args", {}) if isinstance(optimizer, Mapping) else {}
    name = optimizer.get("class_path") if isinstance(optimizer, Mapping) else optimizer
    model = Config.from_file(Path(given["checkpoint_dir"]) / "model_config.yaml")
    rank = as_positive(given.get("lora_r"))
    known: dict[str, Any] = {
        "framework": NAME,
        "method": ("qlora" if given.get("quantize") else "lora") if rank else None,
        "vocab_size": as_positive(model.padded_vocab_size),
        "learning_rate": as_float(settings.get("lr")),
        "weight_decay": as_float(settings.get("weight_decay")),
        "optim": str(name).rpartition(".")[2].lower() if name else None,
        "num_train_epochs": as_positive(getattr(train, "epochs", None)),
        "per_device_train_batch_size": as_positive(getattr(train, "micro_batch_size", None)),
        "max_length": as_positive(getattr(train, "max_seq_length", None)),
        "lora_r": rank,
        "lora_alpha": as_float(given.get("lora_alpha")) if rank else None,
        "lora_dropout": as_float(given.get("lora_dropout")) if rank else None,
    }
    devices, nodes = given.get("devices"), given.get("num_nodes") or 1
    if train is not None and isinstance(devices, int) and devices > 0:
        each = train.gradient_accumulation_iters(devices, nodes)
        known |= {"gradient_accumulation_steps": each, "world_size": devices * nodes}
        if each == 1:
            # Else litgpt's steps are not those that the log counts.
            known["max_steps"] = as_positive(train.max_steps)
            known["warmup_steps"] = as_positive(train.lr_warmup_steps)
    return RunContext(**known)


def main(arguments: list[str]) -> int:
    """Run litgpt's command line, which takes sys.argv; commands that train are under watch."""
    Loop()  # A setting that is wrong is said before anything is loaded.
    from litgpt import __main__ as command_line

    for name, setup in command_line.PARSER_DATA.items():
        module = sys.modules[setup.__module__]
        if hasattr(module, "choose_logger"):
            command_line.PARSER_DATA[name] = watched(setup, module)
    command_line.main()
    return 0


if __name__ == "__main__":
    ends_with(main)
