"""The table of docs/gpu.md: each variant's runs, judged by the code as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from benchmarks.gpu.finetunes import results
from benchmarks.gpu.finetunes.replay import LOUD, of_run
from benchmarks.gpu.finetunes.results import Result, Run
from benchmarks.gpu.finetunes.score import Scored
from benchmarks.gpu.finetunes.smollm2.specs import Tune
from benchmarks.gpu.variants.cases import AGAIN, VARIANTS, Variant
from benchmarks.marked import END

STORED = Path(__file__).parent / "results.json.xz"
"""The results that docs/gpu.md is made of."""

MARK = "<!-- variants -->"
"""Where the part stands in docs/gpu.md."""

TITLE = "# How the step is computed"

ABOUT = """\
One healthy and one faulty full fine-tune of the second base with each (QLoRA: of its adapter), of
60 steps with a log row every fifth; the fault is a learning rate of 0.03 (QLoRA: 0.1). The healthy
one was made twice without sftdiag and once with it: *same* says that the log is the same to the
last digit, and otherwise how far the losses of log rows are apart at most, between the two without
and between the first of them and the one with. *Seen* counts the steps whose loss was seen one by
one; *not finite* those of them whose gradient was not, which fp16's scaler skips by itself.
Printed by `python -m benchmarks.gpu.variants report --write`.
"""

HEAD = (
    "| step | healthy run | without, again | with | seen | not finite | faulty run | log lacks |",
    "|---|---|---|---|---|---|---|---|",
)

USUAL = ("loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy")
"""What a log row of TRL's says that detectors read."""


class Made:
    """The runs of one variant.

    Args:
        variant: it.
        stored: all results, by name.
    """

    def __init__(self, variant: Variant, stored: Sequence[Mapping[str, Any]]) -> None:
        mine = [each for each in stored if each["spec"]["kind"].removesuffix(AGAIN) == variant.key]
        self.variant = variant
        self.plain = self._one(mine, variant.key, watched=False)
        self.again = self._one(mine, variant.key + AGAIN, watched=False)
        self.watched = self._one(mine, variant.key, watched=True)
        self.faulty = self._one(mine, variant.key, watched=True, faulty=True)

    @staticmethod
    def _one(
        mine: Sequence[Mapping[str, Any]], kind: str, *, watched: bool, faulty: bool = False
    ) -> Mapping[str, Any] | None:
        for each in mine:
            spec = each["spec"]
            right = spec["kind"] == kind and each["watched"] is watched
            if right and (spec["fault"] != "none") is faulty:
                return each
        return None

    @property
    def why_not(self) -> str | None:
        """Why there is no healthy run that was watched to its end, or None."""
        if self.watched is None:
            return "no time was left"
        error: str | None = self.watched["error"]
        return error

    def row(self) -> str:
        """Return the table's row."""
        title = self.variant.title
        if self.watched is None or self.why_not is not None:
            return f"| {title} | not judged: {self.why_not} | | | | | | |"
        steps = Result(self.watched)
        norms = [row.get("grad_norm") for row in steps.log if "loss" in row]
        odd = sum(norm is not None and not isfinite(norm) for norm in norms)
        cells = [
            title,
            self._healthy(self.watched),
            _apart(self.plain, self.again),
            _apart(self.plain, self.watched),
            f"{_seen(self.watched)} of {steps.steps}",
            str(odd),
            self._faulty(),
            ", ".join(_lacks(self.watched)) or "nothing",
        ]
        return f"| {' | '.join(cells)} |"

    @staticmethod
    def _healthy(result: Mapping[str, Any]) -> str:
        found = of_run(_run(result), stop_on=None).report.findings
        loud = [finding.code for finding in found if finding.worst.label in LOUD]
        return ", ".join(loud) or "silent"

    def _faulty(self) -> str:
        if self.faulty is None or self.faulty["error"] is not None:
            return f"not judged: {self.faulty['error'] if self.faulty else 'no time was left'}"
        run = _run(self.faulty)
        scored = Scored(run, None, "", 0, of_run(run, stop_on=None))
        primary = scored.judged.primary
        if primary is None:
            return "**missed**"
        cause = primary.causes[0].id if primary.causes else "no cause"
        said = f"{primary.code} at step {scored.detected or primary.fired_step}, {cause}"
        return said if scored.named and scored.explained else f"**{said}**"


def _run(result: Mapping[str, Any]) -> Run:
    return Run(Tune(**result["spec"]), None, Result(result))


def _losses(result: Mapping[str, Any]) -> list[float]:
    return [row["loss"] for row in result["log"] if "loss" in row]


def _apart(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """Return how far the losses of two logs are apart at most."""
    if one is None or other is None or one["error"] or other["error"]:
        return "-"
    if one["log"] == other["log"]:
        return "same"
    pairs = zip(_losses(one), _losses(other), strict=True)
    return f"{max(abs(a - b) for a, b in pairs):.1e}"


def _seen(result: Mapping[str, Any]) -> int:
    """Return how many steps were kept one by one."""
    from sftdiag.sources import every_step

    return len(every_step.decoded(result["every_step"], result["every_step_columns"]))


def _lacks(result: Mapping[str, Any]) -> list[str]:
    """Return what no row of the log says."""
    said = {name for row in result["log"] for name in row}
    return [f"`{name}`" for name in USUAL if name not in said]


def section(path: Path = STORED) -> list[str]:
    """Return the page's part; none where there are no results."""
    if not path.exists():
        return []
    content = results.read(path)
    rows = [Made(variant, content["runs"]).row() for variant in VARIANTS]
    where = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return [f"{TITLE}\n", ABOUT, f"{content['device']}; {where}.\n", *HEAD, *rows, ""]


def part() -> list[str]:
    """Return the page's part between its marks."""
    return [MARK, *section(), END]
