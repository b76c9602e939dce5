"""Prices what ``sftdiag recommend`` advises by public sweeps of learning rates.

    python -m benchmarks.recommend            # prints the page
    python -m benchmarks.recommend --write    # and writes docs/recommend_score.md

The sweeps are no part of the project; they are read from ``../shared`` or $SFTDIAG_SHARED.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import sftdiag
from benchmarks.recommend.sweep import Model, models
from sftdiag.ranges import SWEPT_BATCH
from sftdiag.tuning.numbers import number

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "recommend_score.md"
SAMPLES = SWEPT_BATCH * 780
"""Rows that the sweep trained on, once."""

MEDIAN, WORST = 0.002, 0.02
"""The most nats a token that the project allows itself to lose, in the median and at worst."""

PEFT_SAMPLES = 20_000
"""Rows that the PEFT comparison trains on: 5,000 steps of 4."""

CANDIDATES = (1e-4, 2e-4, 3e-4, 5e-4, 1e-3)

Rule = Callable[[Model], float | None]


def shared() -> Path:
    """Return the folder of the public sweeps."""
    return Path(os.environ.get("SFTDIAG_SHARED", ROOT.parent / "shared"))


def recommended(model: Model) -> float:
    """Return the rate that ``sftdiag.recommend`` gives for the sweep's set-up."""
    found = sftdiag.recommend(SAMPLES, model.parameters, method="lora")
    return float(found.sft_config["learning_rate"])


RULES: dict[str, Rule] = {
    "recommend": recommended,
    "guide, 2e-5": lambda _: 2e-5,
    "1e-4": lambda _: 1e-4,
    "2e-4": lambda _: 2e-4,
    "cookbook's rule": Model.cookbook_rate,
    "best tried": lambda model: model.best_rate,
}


def chosen_without_maker(found: Sequence[Model]) -> Rule:
    """Return the rule that is read off the models of other makers for each model."""

    def rule(model: Model) -> float:
        others = [other for other in found if other.maker != model.maker]
        alike = [other for other in others if recommended(other) == recommended(model)] or others
        return min(CANDIDATES, key=lambda rate: mean(other.nearest(rate) for other in alike))

    return rule


def by_rule(found: Sequence[Model]) -> tuple[list[str], bool]:
    """Return the table of rules, and whether recommend keeps its bounds."""
    rules = {**RULES, "chosen without its maker": chosen_without_maker(found)}
    lines = ["| rule | models | regret, median | worst | outside the rates tried |"]
    lines.append("|---|---|---|---|---|")
    kept = False
    for name, rule in rules.items():
        rates = [(model, rate) for model in found if (rate := rule(model)) is not None]
        priced = [loss for model, rate in rates if (loss := model.regret(rate)) is not None]
        outside = [model for model, rate in rates if not model.covers(rate)]
        if not priced:
            # Below every rate tried: at least what the lowest costs.
            least = [model.regret(min(model.cells)) or 0.0 for model, _ in rates]
            low, high = f"above {median(least):.4f}", f"above {max(least):.4f}"
        else:
            low, high = f"{median(priced):.4f}", f"{max(priced):.4f}"
        if name == "recommend":
            kept = median(priced) <= MEDIAN and max(priced) <= WORST
        lines.append(f"| {name} | {len(rates)} | {low} | {high} | {len(outside)} |")
    return lines, kept


def by_model(found: Sequence[Model]) -> list[str]:
    """Return a row a model."""
    lines = ["| model | best of the rates tried | recommended | regret |", "|---|---|---|---|"]
    for model in found:
        rate = recommended(model)
        loss = model.regret(rate)
        price = (
            f"{loss:.4f}" if loss is not None else f"not tried (up to {number(max(model.cells))})"
        )
        lines.append(f"| {model.name} | {number(model.best_rate)} | {number(rate)} | {price} |")
    return lines


def of_methods(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return what recommend would have set for each method of the PEFT comparison."""
    methods: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        methods[run["method"]].append(run)
    lines = ["| method | runs | best accuracy | its rate | recommended | recommended / its |"]
    lines.append("|---|---|---|---|---|---|")
    for method, found in sorted(methods.items()):
        best = max(found, key=lambda run: run["test_accuracy"])
        ours = sftdiag.recommend(
            PEFT_SAMPLES,
            float(best["total"]),
            method="full" if method == "full" else "lora",
            effective_batch=best["batch_size"],
        ).sft_config["learning_rate"]
        rate, accuracy = best["learning_rate"], best["test_accuracy"]
        lines.append(
            f"| {method} | {len(found)} | {accuracy:.3f} | {number(rate)} | {number(ours)} "
            f"| {ours / rate:.2g} |"
        )
    return lines


def page() -> tuple[str, bool]:
    """Return the page, and whether recommend keeps its bounds."""
    found = models(shared() / "research" / "tinker_sft_sweep.csv")
    runs = json.loads((shared() / "corpus" / "peft" / "metamathqa.json").read_text("utf-8"))
    rules, kept = by_rule(found)
    lines = [
        "# What `sftdiag recommend` advises, priced",
        "",
        "Printed by `python -m benchmarks.recommend --write`.",
        "",
        f"The Tinker sweep: LoRA without quantisation, {len(found)} models of 1B to 1T, tulu3, "
        f"{SWEPT_BATCH} rows an optimizer step, 780 steps. Regret: test loss at a rate above the "
        "best rate's of that model, in nats a token, each with the best of the ranks tried, "
        "interpolated in the logarithm of the rate. Runs that diverged are not among the rates "
        "tried. The rules of `recommend` were read off this same sweep: the figures say how much "
        "a rule of three rates loses against tuning every model. The last row says how it does on "
        "models unseen: for each model the rate of its size is chosen anew from 1e-4 to 1e-3, "
        "without the models of its maker.",
        "",
        *rules,
        "",
        f"Bounds of the project: {MEDIAN} in the median, {WORST} at worst: "
        f"{'kept' if kept else 'not kept'}.",
        "",
        "## Model by model",
        "",
        *by_model(found),
        "",
        "## The PEFT comparison",
        "",
        "63 fine-tunes of Llama 3.2 3B by other methods than LoRA, too, 4 rows an optimizer step, "
        "most of them at one rate only: the best run of each method against what `recommend` gives "
        "(its rate for LoRA; it knows no other adapter). A large or small ratio is no error of "
        "either: methods scale their updates differently, and recommend's rate is for LoRA.",
        "",
        *of_methods(runs),
        "",
    ]
    return "\n".join(lines), kept


def main() -> int:
    """Print the page; return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description="Prices what sftdiag recommend advises.")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} too")
    write = parser.parse_args().write
    text, kept = page()
    sys.stdout.write(text)
    if write:
        PAGE.write_text(text, encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
