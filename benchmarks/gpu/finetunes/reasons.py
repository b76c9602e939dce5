"""Why a run is missed, written after its curve was looked at: run -> reason."""

from __future__ import annotations

from collections.abc import Mapping

ALIKE: Mapping[str, tuple[str, ...]] = {
    "The loss falls smoothly from 6.2 to 4.6, as a slow healthy run's does, and levels out "
    "because the schedule ends; the rate is 1/200 of the twin's. Nothing in this log says that "
    "there was more to learn, and the guide's ranges are not for models of this size.": (
        "learning-rate-too-low.full.4000x2.b16.adamw-1e-06.log5.s0",
    ),
}
"""Reason: the runs that it holds for."""

REASONS: Mapping[str, str] = {name: reason for reason, names in ALIKE.items() for name in names}
