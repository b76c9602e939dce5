"""Resume: what earlier processes left of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sftdiag.config import Settings
from sftdiag.context import RunContext
from sftdiag.faults import Faults
from sftdiag.findings import StepRows
from sftdiag.live.stopping import run_folder
from sftdiag.monitor import Monitor
from sftdiag.observations import Outcome
from sftdiag.outlets.fan_out import Outlets
from sftdiag.outlets.webhook import Webhook
from sftdiag.sources import CHECKS_FILE, checkpoints, every_step, journal, kept, probes, step_rows
from sftdiag.sources.journal import Segment
from sftdiag.values import Value


class Past(Value):
    """What is left of the part of a run that this start goes on from.

    Attributes:
        start: this one, with what differs from the run so far.
        led: the starts that led to this one, oldest first.
        checkpoints: the steps of the checkpoints in the run's folder.
        checked: what the checks of rows and arguments said.
        probe_rows: what was measured on the model.
        steps: what single steps were, as :func:`sftdiag.sources.every_step.encoded`.
        rows: which rows the steps behind findings were made of.
    """

    start: Segment
    led: tuple[Segment, ...] = ()
    checkpoints: tuple[int, ...] = ()
    checked: Outcome = Outcome()
    probe_rows: tuple[Mapping[str, Any], ...] = ()
    steps: str = ""
    rows: tuple[StepRows, ...] = ()

    @property
    def parts(self) -> tuple[Segment, ...]:
        """The run's parts up to this start."""
        return journal.segments([*self.led, self.start], self.start.context)


def past(args: Any, state: Any, context: RunContext) -> Past:
    """Return what is in the run's folder, else in that of the checkpoint resumed from.

    Args:
        args: the run's TrainingArguments.
        state: its TrainerState.
        context: what is known of the run.
    """
    folders = [args.output_dir or ""]
    if isinstance(args.resume_from_checkpoint, str):
        folders.append(os.path.dirname(os.path.abspath(args.resume_from_checkpoint)))
    saved = run_folder(args, state)
    saves = tuple(checkpoints(saved)) if saved else ()
    step = state.global_step
    if not step:
        return Past(Segment(0, context), checkpoints=saves)
    led: list[Segment] = []
    for folder in folders:
        led = led or journal.before(journal.starts(journal.read(folder)), step)
    rows = next((rows for folder in folders if (rows := probes.read(folder))), [])
    seen = next((found for folder in folders if (found := every_step.read(folder))), [])
    behind = next((kept_rows for f in folders if (kept_rows := step_rows.read(f))), [])
    changed = journal.changes(led[-1].context, context) if led else {}
    earlier = led[-1].context.resumed_steps if led else None
    if earlier:
        now = context.resumed_steps or ()
        context = context.replace(resumed_steps=(*(s for s in earlier if s < step), *now))
    lost = led[-1].context.lost_state_steps if led else None
    if lost:
        context = context.replace(lost_state_steps=(*lost, *(context.lost_state_steps or ())))
    return Past(
        Segment(step, context, changed),
        tuple(led),
        saves,
        kept(tuple(folders), CHECKS_FILE, Outcome()).until(step),
        tuple(row for row in rows if row["step"] <= step),
        every_step.encoded(each for each in seen if each.step <= step),
        tuple(rows for rows in behind if rows.step <= step),
    )


def opened(
    before: Past, args: Any, state: Any, lang: str, webhook: Webhook | None, faults: Faults
) -> Outlets:
    """Return where to tell of a run that starts now, with what is left of it and nothing else.

    Args:
        before: what is left.
        args: the run's TrainingArguments.
        state: its TrainerState.
        lang: language of the texts.
        webhook: where else to send alerts, or None.
        faults: keeps what goes wrong there from the run.
    """
    outlets = Outlets(args, lang, webhook, faults)
    outlets.start(before.start, state.trial_name)
    outlets.keep_probe_rows(before.probe_rows, afresh=True)
    outlets.keep_steps(every_step.packed(every_step.decoded(before.steps)), afresh=True)
    outlets.keep_rows(before.rows, afresh=True)
    return outlets


def resumed(
    before: Past, log: Sequence[Mapping[str, Any]], settings: Settings, faults: Faults
) -> Monitor:
    """Return a monitor that has taken in what is left, and the log that came with it."""
    monitor = Monitor(before.start.context, settings, on_fault=faults.failed)
    monitor.take_checks(before.checked)
    monitor.take_rows(before.rows)
    whole = every_step.merged(log, every_step.decoded(before.steps))
    monitor.replay(probes.merged(whole, before.probe_rows), before.parts)
    return monitor
