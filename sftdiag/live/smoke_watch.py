"""SmokeWatch: the first steps of the real run, judged for the callback."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sftdiag import texts
from sftdiag.config import count
from sftdiag.context import RunContext
from sftdiag.faults import say
from sftdiag.findings import Report
from sftdiag.live.made_step import NO_STEPS, Taken
from sftdiag.records import as_float
from sftdiag.tuning import smoke as judging
from sftdiag.tuning.numbers import number
from sftdiag.tuning.smoke import Gradients, SmokeTest, judge


def look_at_gradients(model: Any) -> Gradients | None:
    """Return how many trainable tensors a gradient reaches; None where gradients are spread."""
    trained = [p for p in model.parameters() if p.requires_grad]
    seen = [p.grad for p in trained if p.grad is not None]
    # A rank that asked a DTensor would wait for the others' parts.
    if not seen or any(hasattr(grad, "to_local") for grad in seen):
        return None
    return Gradients(sum(bool((grad != 0).any()) for grad in seen), len(trained))


class SmokeWatch:
    """Judges the first steps of a real run, once.

    Args:
        steps: after how many optimizer steps; None never.
        lang: language of the line.

    Attributes:
        result: the verdict, once the steps are over.
        waiting: the steps are not over yet.

    Raises:
        ConfigError: ``steps`` is below 1.
    """

    def __init__(self, steps: int | None, lang: str) -> None:
        self.steps = None if steps is None else count("smoke_steps", steps, 1)
        self.result: SmokeTest | None = None
        self._words = texts.load(judging.__file__, "smoke", lang)
        self.waiting = False
        self._losses: list[float] = []
        self._gradients: Gradients | None = None

    def begin(self, step: int) -> None:
        """Start afresh; a run that is resumed after its first steps is not judged by them."""
        self.waiting = self.steps is not None and step < self.steps
        self.result, self._losses, self._gradients = None, [], None

    def look(self, step: int, model: Any) -> None:
        """Look at the gradients once, half way."""
        if self.waiting and self.steps is not None and step == self.steps // 2:
            self._gradients = look_at_gradients(model)

    def due(self, step: int, logs: Mapping[str, Any], made: Taken = NO_STEPS) -> bool:
        """Take in a row of the log; return whether the first steps are over with it.

        Args:
            step: optimizer steps done.
            logs: the row.
            made: the steps whose mean it is, where they are seen.
        """
        if not self.waiting or self.steps is None:
            return False
        loss = as_float(logs.get("loss"))
        if made:
            self._losses += made.column("loss")
        elif loss is not None:
            self._losses.append(loss)
        return step >= self.steps

    def judge(
        self, logs: Mapping[str, Any], report: Report, context: RunContext, state: Any
    ) -> None:
        """Judge the first steps, and say so in one line on world rank 0."""
        self.waiting = False
        self.result = judge(report, self._losses, gradients=self._gradients)
        step = state.global_step
        after = texts.counted(self._words["after"].format(step=step))
        line = f"{after}{self.result.line}"
        rate, peak = as_float(logs.get("learning_rate")), context.learning_rate
        warmup = context.warmup_steps or 0
        if rate is not None and peak and step < warmup:
            shown = {"rate": number(rate), "peak": number(peak), "warmup": warmup}
            line += self._words["semicolon"] + self._words["below_peak"].format(**shown)
        if state.is_world_process_zero:
            say(logging.INFO if self.result.go else logging.WARNING, line, always=True)
