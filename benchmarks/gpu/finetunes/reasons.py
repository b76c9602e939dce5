"""Why a run is missed, written after its curve was looked at: run -> reason."""

from __future__ import annotations

from collections.abc import Mapping

ALIKE: Mapping[str, tuple[str, ...]] = {}
"""Reason: the runs that it holds for."""

REASONS: Mapping[str, str] = {name: reason for reason, names in ALIKE.items() for name in names}
