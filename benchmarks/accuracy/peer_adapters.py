"""How each peer is asked about a log, as its users ask it, and what its words stand for.

A finding counts when it is a warning or worse in the peer's own words. Three kinds are left out,
since they name no disease of the run:

* finetune-doctor's ``no_eval``, an opinion on how the run is set up;
* its ``incomplete``, which is true of every prefix;
* trainproof's TP-NO-RECORDS and TP-NO-LOSS, which say that it cannot judge (a prefix that begins
  with an evaluation).

The state has no ``best_metric``, so that finetune-doctor ranks on eval_loss.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

Finding = tuple[int, str]
"""Severity, the higher the worse, and code; one that does not count has a severity of 0."""


class Prefix(NamedTuple):
    """A log up to a cut.

    Attributes:
        path: its trainer_state.json.
        rows: its rows.
        whole: it is the whole log: a user looks at a run that has ended.
    """

    path: Path
    rows: list[dict[str, Any]]
    whole: bool


Peer = Callable[[Prefix], list[Finding]]
"""Returns the findings in the peer's own order."""

OTHER = "other"

FINETUNE_DOCTOR = {
    "overfitting": "SFT201",
    "loss_spikes": "SFT105",
    "not_learning": "SFT101",
    "loss_degenerate": "SFT107",
}
FINETUNE_DOCTOR_TITLES = {
    "Training loss went up": "SFT102",
    "NaN loss": "SFT106",
    "NaN gradients": "SFT106",
    "Zero gradients": "SFT107",
}
"""A check of finetune-doctor that says several things tells them apart by title."""

TRAINPROOF = {
    "TP-NAN": "SFT106",
    "TP-NAN-GRAD": "SFT106",
    "TP-ZERO-LOSS": "SFT107",
    "TP-ZERO-LOSS-ONSET": "SFT107",
    "TP-ZERO-GRAD": "SFT107",
    "TP-FLAT": "SFT101",
    "TP-DEAD-RUN": "SFT101",
    "TP-DIVERGE": "SFT104",
    "TP-OVERFIT": "SFT201",
}

TRAINPROOF_LOSSES = 10
"""Losses that trainproof waits for while a run goes on."""

RUNMEDIC = {
    "non_finite": "SFT106",
    "divergence": "SFT104",
    "no_learning": "SFT101",
    "overfitting": "SFT201",
    "loss_spikes": "SFT105",
}

LOSSLINT = {
    "nan_inf": "SFT106",
    "divergence": "SFT104",
    "loss_spike": "SFT105",
    "overfit_onset": "SFT201",
    "stagnation": "SFT101",
}

GRADSNITCH = {
    "GS001": "SFT106",
    "GS002": "SFT106",
    "GS004": "SFT201",
    "GS005": "SFT101",
    "GS006": "SFT104",
    "GS009": "SFT103",
}


def finetune_doctor() -> Peer:
    """Return finetune-doctor, as its README calls it from Python."""
    doctor = import_module("finetune_doctor")
    unjudged = ("no_eval", "incomplete")

    def judge(prefix: Prefix) -> list[Finding]:
        findings = doctor.diagnose(doctor.load(str(prefix.path))).findings
        return [
            (
                int(finding.severity) if finding.severity >= doctor.Severity.WARNING else 0,
                FINETUNE_DOCTOR_TITLES.get(finding.title)
                or FINETUNE_DOCTOR.get(finding.check, OTHER),
            )
            for finding in findings
            if finding.check not in unjudged
        ]

    return judge


def trainproof() -> Peer:
    """Return trainproof, as its ``watch`` and, of a whole log, its ``epoch`` command call it.

    ``watch`` and the callback are silent below ten losses; ``epoch`` calls one loss a flat curve.
    """
    check_epoch = import_module("trainproof.epoch").check_epoch
    ranks = {"WARN": 1, "FAIL": 2}
    unjudged = ("TP-NO-RECORDS", "TP-NO-LOSS")

    def judge(prefix: Prefix) -> list[Finding]:
        losses = sum("loss" in row for row in prefix.rows)
        if losses < TRAINPROOF_LOSSES and not prefix.whole:
            return []
        return [
            (ranks.get(finding["level"], 0), TRAINPROOF.get(finding["id"], OTHER))
            for finding in check_epoch(prefix.path)["findings"]
            if finding["id"] not in unjudged
        ]

    return judge


def runmedic() -> Peer:
    """Return runmedic, as its ``diagnose`` command calls it."""
    load = import_module("runmedic.loaders").load
    detect = import_module("runmedic.roles").detect
    run_checks = import_module("runmedic.checks").run_checks
    ranks = {"warning": 1, "critical": 2}

    def judge(prefix: Prefix) -> list[Finding]:
        return [
            (ranks.get(finding.severity, 0), RUNMEDIC.get(finding.check, OTHER))
            for run in load(str(prefix.path))
            for finding in run_checks(run, detect(run))
        ]

    return judge


def losslint() -> Peer:
    """Return losslint, as its ``check`` command calls it.

    Its overfitting and stagnation are never more than info, so they do not count.
    """
    load_run = import_module("losslint.parsing").load_run
    run_all_checks = import_module("losslint.checks").run_all_checks
    ranks = {"warning": 1, "error": 2}

    def judge(prefix: Prefix) -> list[Finding]:
        return [
            (ranks.get(finding.severity, 0), LOSSLINT.get(finding.check, OTHER))
            for finding in run_all_checks(load_run(prefix.path))
        ]

    return judge


def gradsnitch() -> Peer:
    """Return gradsnitch behind its own callback for transformers, which it has no reader besides.

    A table of the rows would not do: its rules take the empty loss of an evaluation for a NaN.
    """
    lint = import_module("gradsnitch").lint
    integrations = import_module("gradsnitch.integrations")
    # The callback needs no more of transformers than a base class.
    stub = types.ModuleType("transformers")
    stub.__dict__["TrainerCallback"] = object
    sys.modules.setdefault("transformers", stub)
    ranks = {"warning": 1, "error": 2}

    def judge(prefix: Prefix) -> list[Finding]:
        callback = integrations.hf()
        step = 0
        for row in prefix.rows:
            step = row.get("step", step)
            logs = {key: value for key, value in row.items() if key != "step"}
            callback.on_log(None, types.SimpleNamespace(global_step=step), None, logs=logs)
        return [
            (ranks.get(finding.severity, 0), GRADSNITCH.get(finding.code, OTHER))
            for finding in lint(callback.monitor.df())
        ]

    return judge


PEERS: dict[str, Callable[[], Peer]] = {
    "finetune-doctor": finetune_doctor,
    "trainproof": trainproof,
    "runmedic": runmedic,
    "losslint": losslint,
    "gradsnitch": gradsnitch,
}
