"""Leave one repository or one fault out: how right the constants are on what they never saw.

Every tuned constant has a grid. For each group that is left out, each constant takes the value that
does best on the other groups, the rest at their shipped values; among equals the middle one, so
that the shipped value has no advantage. The group is then judged with all these values at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import Pool
from typing import NamedTuple

from benchmarks.accuracy import judges
from benchmarks.accuracy.runs import Run

GRIDS: Mapping[tuple[str, str], tuple[float, ...]] = {
    ("_learning", "TOLERANCE"): (0.005, 0.01, 0.02, 0.03, 0.05),
    ("_learning", "TOLERANCE_SIGNED"): (0.02, 0.05, 0.1),
    ("_learning", "FLAT"): (0.01, 0.014, 0.018),
    ("_learning", "NEAR_CHANCE"): (0.7, 0.8, 0.9, 1.0),
    ("_learning", "MOVED_EVAL"): (0.01, 0.03, 0.1),
    ("_flat_signs", "CHANCE_SHARE"): (0.3, 0.4, 0.5, 0.6, 0.8),
    ("_flat_signs", "LOW_ACCURACY"): (0.1, 0.2, 0.3, 0.4),
    ("_flat_signs", "FLOOR_ACCURACY"): (0.05, 0.15, 0.25),
    ("_flat_signs", "LOSS_OVER_ENTROPY"): (1.1, 1.2, 1.4),
    ("_flat_signs", "WEAK_GRAD_NORM"): (0.25, 0.5, 1.0),
    ("train_loss_rebound", "NOISE_FACTOR"): (3.0, 4.5, 6.0, 8.0, 12.0),
    ("train_loss_rebound", "MIN_RISE"): (0.02, 0.03, 0.05, 0.08, 0.15),
    ("train_loss_rebound", "SHARE_OF_FALL"): (0.1, 0.15, 0.25, 0.4, 0.6),
    ("_swings", "CHANCE_SHARE"): (0.6, 0.7, 0.8, 0.9, 1.0),
    ("_swings", "CHANCE_SPREAD"): (0.03, 0.06, 0.1, 0.15, 0.2),
    ("_swings", "GROWN"): (2.0, 3.0, 5.0),
    ("_swings", "IN_PHASE"): (0.4, 0.6, 0.8),
    ("_swings", "GRAD_GROWN"): (1.2, 1.5, 2.5),
    ("_swings", "LEAST_RATE"): (0.03, 0.1, 0.3),
    ("_spikes", "NOISE_FACTOR"): (6.0, 10.0, 15.0),
    ("_spikes", "TAIL_FACTOR"): (2.0, 3.0, 4.5),
    ("_spikes", "LEVEL_SHARE"): (0.25, 0.5, 1.0),
    ("_spikes", "START_SHARE"): (0.05, 0.1, 0.3),
    ("loss_divergence", "SUDDEN_NOISE"): (6.0, 10.0, 15.0),
    ("loss_divergence", "BEYOND_GROUPING"): (1.5, 2.0, 3.0),
    ("loss_divergence", "AGAIN"): (1.25, 1.5, 2.0),
    ("loss_divergence", "ABOVE_START"): (1.0, 1.15, 1.3, 1.5, 2.0),
    ("loss_above_chance", "NO_ACCURACY"): (0.02, 0.05, 0.08, 0.12),
    ("loss_above_chance", "FIRST_RATIO"): (1.2, 1.35, 1.5, 1.8, 2.2),
    ("early_loss_jump", "NOISE_FACTOR"): (2.5, 3.5, 4.5, 5.5, 8.0),
    ("early_loss_jump", "NOISE_FACTOR_AGREED"): (2.0, 3.5, 5.5),
    ("early_loss_jump", "MIN_JUMP_EARLY"): (0.3, 0.5, 0.8),
    ("early_loss_jump", "MIN_JUMP"): (0.05, 0.1, 0.15, 0.25, 0.4),
    ("eval_loss_rising", "NOISE_FACTOR"): (2.0, 3.0, 5.0, 7.0, 10.0),
    ("eval_loss_rising", "MIN_RISE"): (0.005, 0.01, 0.03, 0.05, 0.1),
    ("eval_loss_rising", "CLEAR_FALL"): (0.03, 0.1, 0.3),
    ("eval_loss_rising", "STEADY_FACTOR"): (2.5, 4.0, 6.0),
    ("eval_loss_rising", "STEADY_RISE"): (0.01, 0.015, 0.02),
    ("eval_loss_rising", "STANDS"): (0.5, 2 / 3, 0.8),
    ("_eval_few", "FEW_RISE"): (0.03, 0.06, 0.1, 0.15, 0.25),
    ("_eval_few", "FEW_FALL"): (0.1, 0.2, 0.3),
    ("_eval_few", "FEW_RISE_LEARNED"): (0.03, 0.05, 0.08),
    ("_eval_rise", "TRAIN_FALL"): (0.003, 0.01, 0.03),
    ("_eval_rise", "TRAIN_NOISE_FACTOR"): (1.0, 2.0, 4.0),
    ("_eval_rise", "CLEAR_NOISE_FACTOR"): (2.0, 3.0, 4.0),
    ("memorization", "LOW_LOSS"): (0.02, 0.05, 0.1, 0.2, 0.4),
    ("memorization", "NO_LOSS"): (0.002, 0.005, 0.01, 0.03, 0.05),
    ("memorization", "SHARE_OF_START"): (0.05, 0.1, 0.2, 0.3, 0.5),
}
"""Module under sftdiag.detectors, constant, values tried. SFT204 and what decides between warning
and error are not among them: neither moves a right or wrong answer."""

COPIES: Mapping[tuple[str, str], str] = {
    ("_learning", "TOLERANCE"): "train_loss_flat",
    ("_learning", "TOLERANCE_SIGNED"): "train_loss_flat",
}
"""The module that has imported a constant by its name, and must be given the tried value, too."""

ALARM_COSTS = 3
"""A false alarm or a wrong disease against a right diagnosis, when a value is chosen."""

Setting = Mapping[tuple[str, str], float]


class Outcome(NamedTuple):
    """What the judge said of a run: right, or wrongly alarmed."""

    right: bool
    wrong: bool


@contextmanager
def _constants(setting: Setting) -> Iterator[None]:
    copies = {(COPIES[key], key[1]): setting[key] for key in setting if key in COPIES}
    wanted = {**setting, **copies}
    modules = {key: import_module(f"sftdiag.detectors.{key[0]}") for key in wanted}
    before = {key: getattr(module, key[1]) for key, module in modules.items()}
    for key, module in modules.items():
        setattr(module, key[1], wanted[key])
    try:
        yield
    finally:
        for key, module in modules.items():
            setattr(module, key[1], before[key])


def _outcomes(task: tuple[Setting, Sequence[Run]]) -> list[Outcome]:
    setting, runs = task
    with _constants(setting):
        found = []
        for run in runs:
            said = judges.sftdiag(run)
            right = run.warn == "yes" and said.primary in run.codes
            other = said.primary is not None and said.primary not in run.codes
            wrong = bool(said.alarms) if run.warn == "no" else run.warn == "yes" and other
            found.append(Outcome(right, wrong))
        return found


def _gain(outcomes: Sequence[Outcome], runs: Sequence[Run], left_out: str) -> int:
    pairs = zip(outcomes, runs, strict=True)
    return sum(o.right - ALARM_COSTS * o.wrong for o, run in pairs if run.kind != left_out)


def leave_one_out(runs: Sequence[Run]) -> tuple[int, int, int, int, list[str]]:
    """Score the runs that count, group by group, with constants chosen on the other groups.

    Returns:
        Right, sick, wrongly alarmed or diagnosed, all, and the names of the sick not named.
    """
    counted = [run for run in runs if run.warn in ("yes", "no")]
    tried = [(key, value) for key, grid in GRIDS.items() for value in grid]
    with Pool() as pool:
        tasks: list[tuple[Setting, Sequence[Run]]] = [({k: v}, counted) for k, v in tried]
        results = dict(zip(tried, pool.map(_outcomes, tasks, chunksize=1), strict=True))
        folds = sorted({run.kind for run in counted})
        chosen = [{key: _choose(results, counted, key, fold) for key in GRIDS} for fold in folds]
        parts = [[run for run in counted if run.kind == fold] for fold in folds]
        judged = pool.map(_outcomes, list(zip(chosen, parts, strict=True)))
    pairs = [
        (run, outcome)
        for part, outcomes in zip(parts, judged, strict=True)
        for run, outcome in zip(part, outcomes, strict=True)
    ]
    sick = [(run, outcome) for run, outcome in pairs if run.warn == "yes"]
    missed = [run.name for run, outcome in sick if not outcome.right]
    wrong = sum(outcome.wrong for _, outcome in pairs)
    return len(sick) - len(missed), len(sick), wrong, len(pairs), missed


def _choose(
    results: Mapping[tuple[tuple[str, str], float], Sequence[Outcome]],
    runs: Sequence[Run],
    key: tuple[str, str],
    left_out: str,
) -> float:
    gains = {value: _gain(results[key, value], runs, left_out) for value in GRIDS[key]}
    best = [value for value in GRIDS[key] if gains[value] == max(gains.values())]
    return best[len(best) // 2]
