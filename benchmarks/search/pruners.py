"""Prints the table of docs/search.md on pruners and NaN: ``python -m benchmarks.search.pruners``.

Six real trainings of a tiny model at six rates, then a seventh at the best of these whose weights
become NaN on the way. Optuna's pruners and Ray's schedulers, with their defaults, are told its
evaluations one by one, as a trainer would; sftdiag watches the training itself. Needs Ray.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna

from benchmarks import marked

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests" / "helpers")]

PAGES = {"en": ROOT / "docs" / "search.md", "zh": ROOT / "docs" / "search.zh.md"}
MARK = "<!-- python -m benchmarks.search.pruners --write -->"

RATES = (1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2)
EPOCHS = 3
EVERY = 2
"""Steps between evaluations: twelve a run."""

BREAKS = (1, 9, 19)
"""Steps at which a weight becomes NaN, counted from 0: before the first, the fifth and the tenth of
twelve evaluations, the last after a better start than most trials have at their end."""

Curve = Sequence[float]
Told = Callable[[int, float], bool]
"""Told an evaluation's number and loss, says whether the trial ends."""

WORDS = {
    "en": {
        "head": "| NaN from | evaluation 1 of 12 on | evaluation 5 on | evaluation 10 on |",
        "kept": "**trained to the end**",
        "ended": "ends at NaN evaluation {}",
        "row": "ends at NaN log row {}",
        "ours": "sftdiag",
    },
    "zh": {
        "head": "| 从何时起是 NaN | 12 次验证中的第 1 次 | 第 5 次 | 第 10 次 |",
        "kept": "**一直训练到结束**",
        "ended": "在第 {} 次 NaN 验证时结束",
        "row": "在第 {} 行 NaN 日志时结束",
        "ours": "sftdiag",
    },
}


def main() -> int:
    """Print the table, or write it into both pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write it into docs/search.md")
    write = parser.parse_args().write
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        found = measured()
    for language, page in PAGES.items():
        if write:
            marked.put(page, MARK, table(found, language))
        print(table(found, language))
    return 0


def measured() -> dict[str, list[int | None]]:
    """Return, by pruner and for each break, when the trial ends; None where it does not.

    In evaluations that were NaN, for sftdiag in log rows.
    """
    good = [curve_of(rate) for rate in RATES]
    best = RATES[min(range(len(RATES)), key=lambda place: good[place][-1])]
    found: dict[str, list[int | None]] = {}
    for step in BREAKS:
        broken = curve_of(best, step)
        for name, begin in pruners().items():
            found.setdefault(name, []).append(ended_at(begin, good, broken))
        found.setdefault("ours", []).append(ours(best, step))
    return found


def make_trainer(settings: dict[str, Any], breaks: int | None = None) -> Any:
    """Return a tiny trainer, of whose weights one becomes NaN at a step."""
    small = import_module("small_search")
    trainer = small.make_trainer(settings, eval_strategy="steps", eval_steps=EVERY, logging_steps=1)
    if breaks is not None:
        trainer.add_callback(small.Break(breaks))
    return trainer


def settings_of(rate: float) -> dict[str, Any]:
    """Return a trial's settings."""
    from sftdiag.searches.settings import usual_start

    return usual_start(
        {"learning_rate": rate, "num_train_epochs": EPOCHS, "gradient_accumulation_steps": 1}
    )


def curve_of(rate: float, breaks: int | None = None) -> Curve:
    """Train to the end, unwatched, and return the evaluations."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer({**settings_of(rate), "output_dir": folder}, breaks)
        trainer.train()
        return [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row]


def ours(rate: float, breaks: int) -> int | None:
    """Train it as a trial of a search, and return the log rows from the NaN on."""
    from sftdiag.searches.trial import run_trial

    with tempfile.TemporaryDirectory() as folder:
        outcome = run_trial(lambda given: make_trainer(given, breaks), settings_of(rate), folder)
    return outcome.log_rows - breaks if outcome.last_step < outcome.steps else None


def ended_at(begin: Callable[[], Callable[[], Told]], good: list[Curve], broken: Curve) -> Any:
    """Return at which of its NaN evaluations a trial ends after the good ones; None for none."""
    trial = begin()
    for curve in good:
        run(trial(), curve)
    ended = run(trial(), broken)
    before = sum(loss == loss for loss in broken)
    # At its last evaluation a trial ends by itself.
    return None if ended in (None, len(broken)) else ended - before


def run(told: Told, curve: Curve) -> int | None:
    """Tell a trial's evaluations; return the number of the one at which it ends, or None."""
    return next((at for at, loss in enumerate(curve, 1) if told(at, loss)), None)


def pruners() -> dict[str, Callable[[], Callable[[], Told]]]:
    """Return what begins a study by name; the study begins its trials."""
    from ray.tune import schedulers

    most = EPOCHS * 8 // EVERY
    known: dict[str, Any] = {
        "Optuna MedianPruner": optuna.pruners.MedianPruner(),
        "Optuna PercentilePruner(25)": optuna.pruners.PercentilePruner(25.0),
        "Optuna PatientPruner(Median)": optuna.pruners.PatientPruner(
            optuna.pruners.MedianPruner(), patience=1
        ),
        "Optuna SuccessiveHalvingPruner": optuna.pruners.SuccessiveHalvingPruner(),
        "Optuna HyperbandPruner": optuna.pruners.HyperbandPruner(max_resource=most),
        "Optuna ThresholdPruner(upper=100)": optuna.pruners.ThresholdPruner(upper=100.0),
    }
    of_ray: dict[str, Callable[[], Any]] = {
        "Ray ASHAScheduler": lambda: schedulers.ASHAScheduler(max_t=most),
        "Ray MedianStoppingRule": lambda: schedulers.MedianStoppingRule(
            time_attr="training_iteration", grace_period=1
        ),
    }
    found: dict[str, Callable[[], Callable[[], Told]]] = {
        name: lambda pruner=pruner: of_optuna(pruner)  # type: ignore[misc]
        for name, pruner in known.items()
    }
    return found | {name: lambda made=made: of_tune(made()) for name, made in of_ray.items()}


def of_optuna(pruner: Any) -> Callable[[], Told]:
    """Return what begins the trials of a study with a pruner."""
    # Hyperband draws a trial's bracket from the name.
    study = optuna.create_study(study_name="pruners", pruner=pruner)
    under_way: list[Any] = []

    def trial() -> Told:
        if under_way:
            study.tell(under_way.pop(), 1.0)
        under_way.append(study.ask())

        def told(at: int, loss: float) -> bool:
            under_way[0].report(loss, at)
            return bool(under_way[0].should_prune())

        return told

    return trial


def of_tune(scheduler: Any) -> Callable[[], Told]:
    """Return what begins the trials that a scheduler of Ray Tune sees."""
    from ray.tune.experiment import Trial

    scheduler.set_search_properties("eval_loss", "min")
    controller = SimpleNamespace(get_live_trials=list)

    def trial() -> Told:
        made = Trial("a trial", stub=True)
        scheduler.on_trial_add(controller, made)

        def told(at: int, loss: float) -> bool:
            result = {"training_iteration": at, "eval_loss": loss}
            action = scheduler.on_trial_result(controller, made, result)
            return bool(action == scheduler.STOP)

        return told

    return trial


def table(found: dict[str, list[int | None]], language: str) -> str:
    """Return the table in a language."""
    words = WORDS[language]
    lines = [words["head"], "|---|---|---|---|"]
    for name, ended in found.items():
        cells = [told(one, words, ours=name == "ours") for one in ended]
        lines.append(f"| {words.get(name, name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def told(ended: int | None, words: dict[str, str], *, ours: bool) -> str:
    """Return what a cell says."""
    if ended is None:
        return words["kept"]
    if ours:
        return words["row"].format(ended)
    return words["ended"].format(ended)


if __name__ == "__main__":
    raise SystemExit(main())
