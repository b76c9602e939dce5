"""Probes: one thing measured on the model at evaluation each. ``PROBES`` is the one table."""

from __future__ import annotations

from sftdiag.probes.base import Probe
from sftdiag.probes.forgetting import ForgettingProbe
from sftdiag.probes.repetitive_output import RepetitiveOutputProbe
from sftdiag.probes.unnatural_replies import UnnaturalRepliesProbe

PROBES: tuple[type[Probe], ...] = (
    RepetitiveOutputProbe,
    ForgettingProbe,
    UnnaturalRepliesProbe,
)
"""In the order of their codes."""

__all__ = ["PROBES", "Probe"]
