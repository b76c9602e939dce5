"""Trackers: alerts where the run already reports to. Each is asked only when it is in use.

In use means: ``report_to`` names it and, where the tracker has one, its run is open. Nothing is
started, imported first or configured here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from sftdiag.errors import ConfigError, meant
from sftdiag.findings import Severity
from sftdiag.outlets.alerts import Alert

_LEVELS = {Severity.INFO: "INFO", Severity.WARNING: "WARN", Severity.ERROR: "ERROR"}

LONGEST_TITLE = 63
"""Characters that Weights & Biases takes."""

ALL, NO_TRACKER = "all", "none"
"""What transformers takes instead of names."""

LONGEST_TAG = 500
"""Characters of a tag's value that every MLflow server keeps."""


def trackio(alert: Alert, args: Any) -> None:
    """Raise an alert on the open trackio run."""
    library = sys.modules.get("trackio")
    run = library.context_vars.current_run.get() if library is not None else None
    if library is None or run is None:
        return
    level = library.AlertLevel[_LEVELS[alert.severity]]
    # trackio's own step counts its rows, of which an evaluation is one.
    run.alert(title=alert.title, text=alert.text, level=level, step=alert.step)


def wandb(alert: Alert, args: Any) -> None:
    """Raise an alert on the open Weights & Biases run."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    if run is not None:
        run.alert(alert.title[:LONGEST_TITLE], alert.text, level=_LEVELS[alert.severity])


def tensorboard(alert: Alert, args: Any) -> None:
    """Write the text into a run ``sftdiag`` below the trainer's own.

    TensorBoard reads one event file of a run at a time: a second one in the trainer's folder would
    end what it shows of the first.
    """
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(os.path.join(_log_folder(args), "sftdiag")) as writer:
        text = f"{alert.severity.label} · {alert.title}\n\n{alert.text}"
        writer.add_text(f"sftdiag/{alert.key}", text, alert.step)


def mlflow(alert: Alert, args: Any) -> None:
    """Set a tag on the open MLflow run, without waiting for its server."""
    library = sys.modules.get("mlflow")
    if library is None or library.active_run() is None:
        return
    text = f"{alert.severity.label}, step {alert.step}: {alert.text}"
    library.set_tag(f"sftdiag.{alert.key}", text[:LONGEST_TAG], synchronous=False)


TRACKERS: dict[str, Callable[[Alert, Any], None]] = {
    "trackio": trackio,
    "wandb": wandb,
    "tensorboard": tensorboard,
    "mlflow": mlflow,
}


WITH_RUNS = ("trackio", "wandb", "mlflow")
"""Those that have a run, which is open or not."""


def asked_for(report_to: object) -> list[str]:
    """Return the names of the trackers that a loop of one's own is to tell.

    Args:
        report_to: a name or several; ``"all"`` are those that have an open run, ``"none"`` and None
            are none, as transformers takes them.

    Raises:
        ConfigError: one of them is no tracker that takes alerts.
    """
    expected = f"expected some of {', '.join(sorted(TRACKERS))}, or 'all' or 'none'"
    names = [] if report_to is None else [report_to] if isinstance(report_to, str) else report_to
    if not isinstance(names, Iterable):
        raise ConfigError(f"report_to takes names of trackers, {expected}; got {report_to!r}")
    chosen = [name for name in names if name != NO_TRACKER]
    if chosen == [ALL]:
        return list(WITH_RUNS)
    for name in chosen:
        if name not in TRACKERS:
            near = meant(name, TRACKERS) if isinstance(name, str) else ""
            raise ConfigError(f"report_to: no tracker {name!r}; {expected}{near}")
    return chosen


def in_use(report_to: list[str] | str | None) -> list[str]:
    """Return the names of the trackers that a run reports to and that take alerts."""
    names = [report_to] if isinstance(report_to, str) else report_to or []
    return [name for name in TRACKERS if name in names]


def _log_folder(args: Any) -> str:
    """Return where transformers' TensorBoardCallback writes."""
    asked = os.environ.get("TENSORBOARD_LOGGING_DIR")
    if asked:
        return os.path.expanduser(asked)
    # A loop's folder may be none, and hold no runs: TensorBoard's own default is runs/.
    parent = os.path.join(args.output_dir or "", "runs")
    if not os.path.isdir(parent):
        return parent
    folders = [entry for entry in os.scandir(parent) if entry.is_dir()]
    newest = max(folders, key=lambda entry: entry.stat().st_mtime, default=None)
    return newest.path if newest is not None else parent
