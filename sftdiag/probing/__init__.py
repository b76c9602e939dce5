"""Asking the model: its replies and its loss on general text, live and finished, left as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftdiag.probes.settings import Probes

if TYPE_CHECKING:
    from sftdiag.probing.prober import Prober


def prober_of(settings: Probes | None) -> Prober | None:
    """Return what asks the model as these settings say; torch loads only for a run that asks."""
    if settings is None:
        return None
    from sftdiag.probing.prober import Prober

    return Prober(settings)
