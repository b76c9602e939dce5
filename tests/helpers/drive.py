"""Drives a DiagnosticsCallback through a log by its events, as a trainer does, without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sftdiag

DONE = {"train_runtime": 1.0, "train_loss": 1.0}


class Drive:
    """A run on one rank.

    Args:
        folder: its output folder.
        callback: what watches it.
        rank_zero: whether this is world rank 0.
        dataset: the training rows.
        arguments: other TrainingArguments.
    """

    def __init__(
        self,
        folder: Path,
        callback: sftdiag.DiagnosticsCallback,
        *,
        rank_zero: bool = True,
        dataset: Any = None,
        max_steps: int = 1000,
        **arguments: Any,
    ) -> None:
        from transformers import TrainerControl, TrainerState, TrainingArguments

        self.callback = callback
        chosen = {"use_cpu": True, "lr_scheduler_type": "constant", **arguments}
        self.args = TrainingArguments(str(folder), max_steps=max_steps, **chosen)
        self.state = TrainerState(max_steps=max_steps, is_world_process_zero=rank_zero)
        self.control = TrainerControl()
        self.dataloader = SimpleNamespace(dataset=dataset)

    def begin(
        self,
        history: Iterable[Mapping[str, Any]] = (),
        *,
        last_epoch: int | None = None,
        optimizer_state: Mapping[Any, Any] | None = None,
    ) -> None:
        """Begin, or resume after this history, with an optimizer and scheduler of this state."""
        self.state.log_history = [dict(row) for row in history]
        self.state.global_step = max((row["step"] for row in self.state.log_history), default=0)
        trained: dict[str, Any] = {}
        if last_epoch is not None:
            trained["lr_scheduler"] = self._scheduler(last_epoch)
            trained["optimizer"] = SimpleNamespace(state=optimizer_state)
        self.callback.on_train_begin(
            *(self.args, self.state, self.control),
            model=None,
            train_dataloader=self.dataloader,
            **trained,
        )

    def _scheduler(self, last_epoch: int) -> Any:
        """Return the scheduler that the arguments ask for, after so many steps."""
        import torch
        from transformers import get_scheduler

        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        steps = self.state.max_steps
        scheduler = get_scheduler(self.args.lr_scheduler_type, optimizer, 0, steps)
        scheduler.last_epoch = last_epoch
        return scheduler

    def log(self, row: Mapping[str, Any]) -> None:
        """Log one row; its step is the state's."""
        self.state.global_step = row.get("step", self.state.global_step)
        logs = {key: value for key, value in row.items() if key != "step"}
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.callback.on_log(self.args, self.state, self.control, logs=logs)

    def save(self) -> None:
        """Save a checkpoint without content."""
        path = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        path.mkdir(parents=True)
        self.callback.on_save(self.args, self.state, self.control)

    def end(self) -> None:
        """End as the trainer does: a closing row, then the event."""
        self.log(DONE)
        self.callback.on_train_end(self.args, self.state, self.control)

    def run(self, rows: Iterable[Mapping[str, Any]], *, save_every: int = 0) -> None:
        """Begin, log until the rows end or the callback stops the run, and end."""
        self.begin()
        self.go_on(rows, save_every=save_every)

    def go_on(self, rows: Iterable[Mapping[str, Any]], *, save_every: int = 0) -> None:
        """Log until the rows end or the callback stops the run, and end."""
        for row in rows:
            self.log(row)
            if save_every and row["step"] % save_every == 0 and "eval_loss" not in row:
                self.save()
            if self.control.should_training_stop:
                if self.control.should_save:
                    self.save()
                break
        self.end()
