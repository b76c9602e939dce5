"""The judges: sftdiag, two that need no log, and the rules that others use, restated.

The restated rules are no part of the project; they are read from ``baselines/baselines.py`` beside
the corpus. Those from river need ``pip install river``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.accuracy.runs import Alarm, Judgement, Run
from benchmarks.accuracy.sets import corpus
from sftdiag.findings import Severity
from sftdiag.guide.catalogue import NOTES
from sftdiag.monitor import Monitor
from sftdiag.records import parse_entry

Judge = Callable[[Run], Judgement]

RULES: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "Hugging Face EarlyStopping, patience 3": ("hf_early_stopping", {"patience": 3}, "SFT201"),
    "SageMaker Overfit": ("sm_overfit", {}, "SFT201"),
    "SageMaker Overtraining": ("sm_overtraining", {}, "SFT201"),
    "SageMaker LossNotDecreasing": ("sm_loss_not_decreasing", {}, "SFT101"),
    "SageMaker ExplodingTensor": ("sm_exploding_tensor", {}, "SFT106"),
    "Prechelt UP, 3 strips": ("prechelt_up", {"s_strips": 3}, "SFT201"),
    "Page-Hinkley (river)": ("page_hinkley", {}, "SFT201"),
    "Page-Hinkley, scaled": ("page_hinkley_scaled", {}, "SFT201"),
    "ADWIN (river)": ("adwin", {}, "SFT201"),
}
"""Name in the table: function of the baselines, its settings, the code it stands for."""


def sftdiag(run: Run) -> Judgement:
    """Replay a run through a Monitor; an alarm counts at the step at which it fired."""
    return _replayed(run, Severity.WARNING)


def first_word(run: Run) -> Judgement:
    """Likewise, but findings that only inform count, too; notes of what is normal do not."""
    return _replayed(run, Severity.INFO)


def _replayed(run: Run, least: Severity) -> Judgement:
    monitor = Monitor(run.context)
    for row in run.rows:
        monitor.feed_entry(row)
    report = monitor.report()
    alarms = []
    error = False
    for finding in report.findings:
        fired = finding.fired.items()
        steps = [step for label, step in fired if Severity.parse(label) >= least]
        if steps and finding.name not in NOTES:
            alarms.append(Alarm(finding.code, min(steps)))
            error |= Severity.ERROR.label in finding.fired
    primary = report.primary
    first = primary.code if primary else None
    return Judgement(tuple(sorted(alarms, key=lambda a: a.step)), first, error)


def never(run: Run) -> Judgement:
    """Say nothing."""
    return Judgement((), None)


def always(run: Run) -> Judgement:
    """Call every run overfitting at its first row."""
    return Judgement((Alarm("SFT201", run.rows[0]["step"]),), "SFT201")


def baselines() -> dict[str, Judge]:
    """Return the restated rules that can run here."""
    path = corpus().parent / "baselines" / "baselines.py"
    spec = importlib.util.spec_from_file_location("baselines", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    river = importlib.util.find_spec("river") is not None
    return {
        name: _rule(getattr(module, function), settings, code)
        for name, (function, settings, code) in RULES.items()
        if river or "river" not in name
    }


def _rule(rule: Callable[..., dict[str, int]], settings: dict[str, Any], code: str) -> Judge:
    def judge(run: Run) -> Judgement:
        series: dict[str, tuple[list[int], list[float]]] = {"loss": ([], []), "eval_loss": ([], [])}
        for row in run.rows:
            for record in parse_entry(row):
                for name, (steps, values) in series.items():
                    value = record.get(name)
                    if value is not None:
                        steps.append(record.step)
                        values.append(value)
        fired = rule(*series["loss"], *series["eval_loss"], **settings)
        if not fired:
            return Judgement((), None)
        return Judgement((Alarm(code, min(fired.values())),), code)

    return judge
