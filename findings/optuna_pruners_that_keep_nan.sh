#!/usr/bin/env bash
# One would guess: a trial whose loss has become NaN is pruned at its next report, by any pruner:
#   a NaN is no improvement, and SuccessiveHalvingPruner and ThresholdPruner do so.
# What happens: PatientPruner leaves out NaNs when it looks for the best of its window, and finds
#   none: a trial that is NaN from its first report on is never pruned, with a pruner inside of it
#   (which alone would prune at once) as little. WilcoxonPruner leaves NaNs out, too. MedianPruner
#   and PercentilePruner judge the best value so far: a trial that was ahead before it broke is
#   kept to the end. Such a trial costs all its steps and fails only then.
# Versions: optuna 5.0.0, scipy 1.17.1, numpy 2.4.6, Python 3.11.
# Output seen (10 reports a trial; after how many the trial was pruned):
#   MedianPruner: NaN from the first: 1; ahead, then NaN: never; ahead, then 90: never
#   PercentilePruner(25): NaN from the first: 1; ahead, then NaN: never; ahead, then 90: never
#   PatientPruner(MedianPruner, 2): NaN from the first: never; ahead, then NaN: never; ahead, then 90: never
#   PatientPruner(None, 2): NaN from the first: never; ahead, then NaN: never; ahead, then 90: 6
#   WilcoxonPruner: NaN from the first: never; ahead, then NaN: never; ahead, then 90: 8
#   SuccessiveHalvingPruner: NaN from the first: 1; ahead, then NaN: 4; ahead, then 90: 4
#   ThresholdPruner(upper=10): NaN from the first: 1; ahead, then NaN: 4; ahead, then 90: 4
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile optuna==5.0.0 scipy==1.17.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import math

import optuna
from optuna.pruners import (
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)

optuna.logging.set_verbosity(optuna.logging.ERROR)
nan = math.nan
GOOD = [[3 - 0.1 * step * (1 + trial / 10) for step in range(10)] for trial in range(6)]
CURVES = {
    "NaN from the first": [nan] * 10,
    "ahead, then NaN": [2.9, 2.0, 1.5] + [nan] * 7,
    "ahead, then 90": [2.9, 2.0, 1.5] + [90.0] * 7,
}


def median():
    return MedianPruner(n_startup_trials=3)


PRUNERS = {
    "MedianPruner": median,
    "PercentilePruner(25)": lambda: PercentilePruner(25, n_startup_trials=3),
    "PatientPruner(MedianPruner, 2)": lambda: PatientPruner(median(), patience=2),
    "PatientPruner(None, 2)": lambda: PatientPruner(None, patience=2),
    "WilcoxonPruner": WilcoxonPruner,
    "SuccessiveHalvingPruner": lambda: SuccessiveHalvingPruner(1, 2),
    "ThresholdPruner(upper=10)": lambda: ThresholdPruner(upper=10),
}


def judged(pruner, curve):
    """After how many reports the last of seven trials was pruned; None: never."""
    curves = [*GOOD, curve]

    def objective(trial):
        for step, value in enumerate(curves[trial.number], 1):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return curves[trial.number][-1]

    study = optuna.create_study(pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=7)
    last = study.trials[-1]
    pruned = last.state == optuna.trial.TrialState.PRUNED
    return len(last.intermediate_values) if pruned else None


seen = {}
for name, pruner in PRUNERS.items():
    for text, curve in CURVES.items():
        seen[name, text] = judged(pruner(), curve)
    told = (f"{text}: {seen[name, text] or 'never'}" for text in CURVES)
    print(f"{name}: {'; '.join(told)}")

first, ahead, large = CURVES
for name in ("PatientPruner(MedianPruner, 2)", "PatientPruner(None, 2)", "WilcoxonPruner"):
    assert seen[name, first] is None and seen[name, ahead] is None, name
for name in ("MedianPruner", "PercentilePruner(25)"):
    assert seen[name, first] == 1 and seen[name, ahead] is None, name
for name in ("SuccessiveHalvingPruner", "ThresholdPruner(upper=10)"):
    assert seen[name, first] is not None and seen[name, ahead] == 4, name
PY
