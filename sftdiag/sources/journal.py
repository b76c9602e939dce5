"""findings.jsonl: what a callback saw of a run as it happened, and how the run was resumed.

One JSON object a line, appended and never changed. ``"event"`` is

- ``"start"``: training began at ``step`` (0, or a checkpoint's) with this ``context``; ``changed``
  names what differs from the run so far, as ``[before, now]``;
- ``"fired"``, ``"rose"`` or ``"resolved"``: a ``finding``, in the form of the report's JSON;
- ``"end"``: training ended, with the ``verdict``.

A process that was killed may leave half a line; it is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from sftdiag.context import RunContext
from sftdiag.hints import Any
from sftdiag.sources.decoding import or_none
from sftdiag.values import EMPTY, Value

JOURNAL_FILE = ("_sftdiag", "findings.jsonl")
"""Where the callback keeps it, below the run's folder."""


class Segment(Value):
    """A part of a run that was trained with the same settings.

    Attributes:
        after_step: the last step before it; 0 for the first.
        context: what is known of the run in this part.
        changed: setting to its value before and in this part; empty for the first.
    """

    after_step: int
    context: RunContext
    changed: Mapping[str, tuple[Any, Any]] = EMPTY


def read(folder: str) -> list[Mapping[str, Any]]:
    """Return the events kept in a run's folder, oldest first; none when there is no file."""
    path = os.path.join(folder, *JOURNAL_FILE)
    if not os.path.isfile(path):
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return []
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: str) -> Mapping[str, Any] | None:
    event = or_none(line)
    return event if isinstance(event, Mapping) and "event" in event else None


def starts(events: Iterable[Mapping[str, Any]]) -> list[Segment]:
    """Return the starts that led to where the newest one goes on from, oldest first.

    A run that was resumed at a step made void what was started there or later.
    """
    led: list[Segment] = []
    for event in events:
        if event["event"] != "start":
            continue
        try:
            segment = Segment.from_dict({**event, "after_step": event.get("step")})
        except (ValueError, TypeError):
            continue
        led = before(led, segment.after_step)
        led.append(segment.replace(context=segment.context.plausible()))
    return led


def before(led: Sequence[Segment], step: int) -> list[Segment]:
    """Return those of the starts that a run resumed at this step goes on from."""
    return [start for start in led if start.after_step < step]


def segments(led: Sequence[Segment], known: RunContext) -> tuple[Segment, ...]:
    """Return the run's parts; ``known`` is the context of the last one.

    Starts that changed nothing continue the part before them.
    """
    parts = [Segment(0, known)]
    for start in led:
        if start.changed and start.after_step:
            parts.append(start)
        else:
            parts[-1] = parts[-1].replace(context=start.context)
    parts[-1] = parts[-1].replace(context=known)
    return tuple(parts)


def changes(earlier: RunContext, now: RunContext) -> dict[str, tuple[Any, Any]]:
    """Return in what two contexts differ that makes older numbers of a run incomparable.

    The learning rate, the data and the batch; what is unknown in one of them does not count.
    """
    names = (
        *("learning_rate", "effective_batch_size", "train_samples", "eval_samples"),
        *("train_fingerprint", "eval_fingerprint"),
        *("max_length", "packing", "assistant_only_loss", "completion_only_loss", "loss_type"),
    )
    pairs = {name: (getattr(earlier, name), getattr(now, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}
