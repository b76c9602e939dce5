"""Why a run is missed, written after its curve was looked at: run -> reason."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {}
