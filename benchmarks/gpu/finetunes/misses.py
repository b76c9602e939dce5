"""What is missed, one by one, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.gpu.finetunes.replay import Judged
from benchmarks.gpu.finetunes.results import Run
from benchmarks.gpu.finetunes.score import OVERFITTING, Scored

BEST_WITHIN = 0.01
"""A kept checkpoint is as good as the best where its evaluation loss is at most 1 % above it: the
issue's bound."""


@dataclass(frozen=True)
class Miss:
    """A run that is judged wrongly; ``what`` says in which way."""

    name: str
    what: str


def of_faulty(scored: Sequence[Scored]) -> list[Miss]:
    """Return the harmful runs without the right finding or cause, or whose best model is lost."""
    return [Miss(s.run.spec.name, what) for s in scored if s.harm for what in _wrong(s)]


def of_healthy(judged: Sequence[tuple[Run, Judged]]) -> list[Miss]:
    """Return the healthy runs with a warning at any step."""
    found = []
    for run, said in judged:
        step = said.warned()
        if step is not None:
            codes = ", ".join(f.code for f in said.report.findings if f.fired.keys() - {"info"})
            stop = "" if said.stop is None else f", stopped at step {said.stop}"
            found.append(Miss(run.spec.name, f"healthy, warned of {codes} at step {step}{stop}"))
    return found


def best_is_kept(scored: Scored) -> bool | None:
    """Say whether a stopped run has a checkpoint as good as its best; None where no stop was."""
    if scored.best is None:
        return None
    kept, best = scored.best
    return kept <= best * (1 + BEST_WITHIN)


def unexplained(found: Sequence[Miss], reasons: Mapping[str, str]) -> list[str]:
    """Return the names of what is missed without a reason."""
    return sorted({miss.name for miss in found if miss.name not in reasons})


def _wrong(scored: Scored) -> list[str]:
    primary = scored.judged.primary
    codes = ", ".join(sorted(scored.run.spec.named[0]))
    wrong = []
    if not scored.found:
        said = f"{primary.code} of step {primary.fired_step}" if primary else "nothing"
        wrong.append(f"said {said}; right: {codes}")
    elif not scored.explained:
        first = primary.causes[0].id if primary and primary.causes else "none"
        wrong.append(f"first cause: {first}")
    if scored.run.spec.fault in OVERFITTING and best_is_kept(scored) is False and scored.best:
        kept, best = scored.best
        wrong.append(f"stopped with a best kept evaluation loss of {kept:.3f}; lowest {best:.3f}")
    return wrong
