"""What could not be judged, and why: by the units' state, and what none looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sftdiag.config import Settings
from sftdiag.detectors import DETECTORS, Detector, Skip
from sftdiag.guide.symptoms import NAMES
from sftdiag.hints import TYPE_CHECKING
from sftdiag.signals.stream import Signals

if TYPE_CHECKING:
    from sftdiag.probes import Probe

_SELDOM = frozenset(kind.code for kind in DETECTORS if kind.seldom)
"""Codes of what few runs can show: not named where they did not."""


def unjudged(
    units: Iterable[Detector | Probe],
    broken: Mapping[str, str],
    settings: Settings,
    signals: Signals,
) -> dict[str, Skip]:
    """Return the names of what could not be judged, each with the reason.

    Args:
        units: that look at the run.
        broken: those that failed, with their error's name.
        settings: what to report.
        signals: the run so far.
    """
    skips: dict[str, Skip] = {}
    seen = {unit.code: unit for unit in units}
    for code, name in NAMES.items():
        if code in _SELDOM and code not in seen:
            continue
        if not settings.reports(code, name):
            skips[name] = Skip("not_selected")
        elif name in broken:
            skips[name] = Skip("broken", {"error": broken[name]})
        elif code not in seen:
            skips[name] = Skip("needs_model")
        else:
            skip = seen[code].skip(signals)
            if skip is not None:
                skips[name] = skip
    if (why := signals.context.step_signals) is not None:
        skips["every-step"] = Skip(f"steps_{why}")
    return skips
