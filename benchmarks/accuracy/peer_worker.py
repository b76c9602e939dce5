"""Replays logs through the peers; runs in their environment, where sftdiag is not installed.

Reads runs as JSON lines, ``{"name", "rows", "cuts", "max_steps"}``, and answers each with
``{"name", "judgements": {peer: {"alarms": [[code, step], ...], "primary": code}}}``. The last line
is ``{"crashes": {peer: {error: cuts}}, "seconds": {peer: [total, longest]}, "cuts": cuts}``.

At every cut the peers get the log up to there as the trainer_state.json that a run of that length
has. A finding counts when it is a warning or worse in the peer's own words. Three kinds are left
out, since they name no disease of the run:

* finetune-doctor's ``no_eval``, an opinion on how the run is set up;
* its ``incomplete``, which is true of every prefix;
* trainproof's TP-NO-RECORDS and TP-NO-LOSS, which say that it cannot judge (a prefix that begins
  with an evaluation).

The state has no ``best_metric``, so that finetune-doctor ranks on eval_loss.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
import types
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
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


class Replay:
    """Runs all peers on prefixes and counts what they cost.

    Attributes:
        crashes: peer to error to number of cuts that it crashed on.
        seconds: peer to all seconds and the longest cut's.
        cuts: number of cuts so far.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trainer_state.json"
        self._peers = {name: make() for name, make in PEERS.items()}
        self.crashes: dict[str, Counter[str]] = defaultdict(Counter)
        self.seconds: dict[str, list[float]] = {name: [0.0, 0.0] for name in PEERS}
        self.cuts = 0

    def run(self, rows: list[dict[str, Any]], cuts: list[int], max_steps: int) -> dict[str, Any]:
        """Return every peer's alarms, and its primary finding at the last cut."""
        alarms: dict[str, dict[str, int]] = {name: {} for name in PEERS}
        primary: dict[str, str | None] = dict.fromkeys(PEERS)
        texts = [json.dumps(row) for row in rows]
        steps = list(_steps(rows))
        for cut in cuts:
            self.cuts += 1
            self._write(texts[:cut], rows[cut - 1].get("epoch"), steps[cut - 1], max_steps)
            prefix = Prefix(self._path, rows[:cut], cut == len(rows))
            for name in PEERS:
                findings = [f for f in self._judge(name, prefix) if f[0] > 0]
                for _, code in findings:
                    alarms[name].setdefault(code, steps[cut - 1])
                # The first of the most severe ones.
                primary[name] = max(findings, key=lambda f: f[0])[1] if findings else None
        return {
            name: {"alarms": list(alarms[name].items()), "primary": primary[name]} for name in PEERS
        }

    def _write(self, texts: list[str], epoch: Any, step: int, max_steps: int) -> None:
        head = json.dumps({"epoch": epoch, "global_step": step, "max_steps": max_steps})
        log = ", ".join(texts)
        self._path.write_text(f'{head[:-1]}, "log_history": [{log}]}}\n', encoding="utf-8")

    def _judge(self, name: str, prefix: Prefix) -> list[Finding]:
        started = time.perf_counter()
        try:
            return self._peers[name](prefix)
        except Exception as error:
            # A peer that crashes says nothing of this prefix.
            self.crashes[name][f"{type(error).__name__}: {error}"[:100]] += 1
            return []
        finally:
            passed = time.perf_counter() - started
            total, longest = self.seconds[name]
            self.seconds[name] = [total + passed, max(longest, passed)]


def _steps(rows: list[dict[str, Any]]) -> Iterator[int]:
    """Return each row's step; a row without one has the step of the row before."""
    step = 0
    for row in rows:
        step = row.get("step", step)
        yield step


def main() -> None:
    """Answer the runs of standard input on standard output."""
    warnings.simplefilter("ignore")
    answers = sys.stdout
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        replay = Replay(Path(folder))
        for line in sys.stdin:
            task = json.loads(line)
            judgements = replay.run(task["rows"], task["cuts"], task["max_steps"])
            answers.write(json.dumps({"name": task["name"], "judgements": judgements}) + "\n")
            answers.flush()
        tally = {"crashes": replay.crashes, "seconds": replay.seconds, "cuts": replay.cuts}
        answers.write(json.dumps(tally) + "\n")


if __name__ == "__main__":
    main()
