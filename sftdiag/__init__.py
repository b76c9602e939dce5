"""sftdiag tells what is going wrong in a fine-tuning run, why, and what to change.

The names below load on first use, so that ``import sftdiag`` costs next to nothing and never
imports a training library.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sftdiag.api import analyze, assert_healthy
    from sftdiag.comparisons.compare import assert_no_worse, compare
    from sftdiag.context import RunContext
    from sftdiag.errors import ConfigError, SftdiagError, SourceError, UnhealthyRunError
    from sftdiag.findings import Cause, Finding, Fix, Report, Severity, Status
    from sftdiag.fleets.fleet import fleet
    from sftdiag.live.attach import attach
    from sftdiag.live.callback import DiagnosticsCallback
    from sftdiag.live.loop import Loop
    from sftdiag.live.smoke import smoke_test
    from sftdiag.monitor import Monitor
    from sftdiag.probes.settings import Probes
    from sftdiag.records import LogRecord
    from sftdiag.searches.search import search
    from sftdiag.tuning.recommend import recommend
    from sftdiag.version import __version__

_HOME = {
    "Cause": "findings",
    "ConfigError": "errors",
    "DiagnosticsCallback": "live.callback",
    "Finding": "findings",
    "Fix": "findings",
    "LogRecord": "records",
    "Probes": "probes.settings",
    "Monitor": "monitor",
    "Report": "findings",
    "RunContext": "context",
    "Severity": "findings",
    "SftdiagError": "errors",
    "SourceError": "errors",
    "Status": "findings",
    "UnhealthyRunError": "errors",
    "__version__": "version",
    "analyze": "api",
    "assert_no_worse": "comparisons.compare",
    "assert_healthy": "api",
    "attach": "live.attach",
    "Guard": "live.bad_steps",
    "Loop": "live.loop",
    "compare": "comparisons.compare",
    "fleet": "fleets.fleet",
    "preflight": "rows.preflight",
    "recommend": "tuning.recommend",
    "search": "searches.search",
    "smoke_test": "live.smoke",
}

__all__ = [
    "Cause",
    "ConfigError",
    "DiagnosticsCallback",
    "Finding",
    "Fix",
    "Guard",
    "LogRecord",
    "Loop",
    "Monitor",
    "Probes",
    "Report",
    "RunContext",
    "Severity",
    "SftdiagError",
    "SourceError",
    "Status",
    "UnhealthyRunError",
    "__version__",
    "analyze",
    "assert_healthy",
    "assert_no_worse",
    "attach",
    "compare",
    "fleet",
    "preflight",
    "recommend",
    "search",
    "smoke_test",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'sftdiag' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"sftdiag.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
