"""Which steps' rows are worth a look for a finding: those that it was first seen in."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag.findings import Detection, Scalar

MOST = 8
"""Steps a finding names rows of: a person looks at few, and the worst are among them."""


def steps_behind(seen: Detection) -> tuple[int, ...]:
    """Return the steps whose rows a finding carries, the first to look at first."""
    look = _LOOKS.get(seen.code)
    steps = look(seen.onset_step, seen.evidence) if look is not None else ()
    return tuple(dict.fromkeys(step for step in steps if step > 0))[:MOST]


def _spikes(onset: int, evidence: Mapping[str, Scalar]) -> tuple[int, ...]:
    named = (evidence.get(name) for name in ("largest_step", "last_step", "first_step"))
    return (*(step for step in named if isinstance(step, int)), onset)


def _broken(onset: int, evidence: Mapping[str, Scalar]) -> tuple[int, ...]:
    # The rows of the step itself, or the update of the step before them, made the loss NaN.
    return onset, onset - 1


def _skipped(onset: int, evidence: Mapping[str, Scalar]) -> tuple[int, ...]:
    steps = str(evidence.get("steps_named") or "").split()
    return tuple(int(step) for step in reversed(steps))


_LOOKS = {"SFT105": _spikes, "SFT106": _broken, "SFT113": _skipped}
