"""Score a public labelled set: a folder with labels.csv and runs/, in the form of the corpus.

python -m benchmarks.accuracy --set FOLDER             # with the names of what is missed
python -m benchmarks.accuracy --set FOLDER --summary   # counts only: a blind set stays blind
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.accuracy import sets
from benchmarks.accuracy.runs import CODES, Judgement, Run
from benchmarks.accuracy.score import score
from benchmarks.accuracy.tables import share

Said = Mapping[str, Judgement]


def summary(runs: Sequence[Run], said: Said) -> list[str]:
    """Return the counts of a set: right, wrong, missed, alarmed; nothing that tells of one run."""
    s = score(runs, said)
    sick = [run for run in runs if run.warn == "yes"]
    silent = sum(not said[run.name].alarms for run in sick)
    unnamed = sum(not run.codes for run in sick)
    errors = sum(said[run.name].error for run in runs if run.warn == "no")
    lines = [
        f"{len(runs)} runs: {s.sick} sick, {s.healthy} healthy, "
        f"{len(runs) - s.sick - s.healthy} that count neither way",
        f"right at the end: {share(s.right, s.sick)}",
        f"named at some step: {share(s.seen, s.sick)}",
        f"wrong first diagnosis: {s.wrong}",
        f"missed, nothing said at any step: {silent}",
        f"healthy runs alarmed at any step: {share(s.alarmed, s.healthy)}, {errors} with an error; "
        f"at the end: {s.alarmed_at_end}",
    ]
    if unnamed:
        lines.append(f"sick runs whose label names no code, never right: {unnamed}")
    return lines


def classes(runs: Sequence[Run], said: Said) -> list[str]:
    """Return what is right of each label."""
    lines = []
    for label in dict.fromkeys(run.label for run in runs if run.warn == "yes"):
        s = score([run for run in runs if run.label == label], said)
        codes = ", ".join(sorted(CODES.get(label, ()))) or "no code"
        lines.append(f"{label} ({codes}): right {s.right} of {s.sick}, wrong {s.wrong}")
    return lines


def names(runs: Sequence[Run], said: Said) -> list[str]:
    """Return every run that is wrong, missed or alarmed, with what was said."""
    lines = []
    for run in runs:
        verdict = said[run.name]
        heard = ", ".join(f"{alarm.code}@{alarm.step}" for alarm in verdict.alarms) or "nothing"
        if run.warn == "no" and verdict.alarms:
            lines.append(f"alarmed: {run.name} ({run.label}): {heard}")
        elif run.warn == "yes" and verdict.primary not in run.codes:
            how = "missed" if verdict.primary is None else "wrong"
            first = f", first {verdict.primary}" if verdict.primary else ""
            lines.append(f"{how}: {run.name} ({run.label}): {heard}{first}")
    return lines


def lines(folder: Path, said: Said, runs: Sequence[Run], only_summary: bool) -> list[str]:
    """Return what is printed of a set."""
    text = [f"{folder.name}", *summary(runs, said)]
    if only_summary:
        return text
    return [*text, "", *classes(runs, said), "", *(names(runs, said) or ["nothing missed"])]


def load(folder: Path) -> list[Run]:
    """Return the runs of a folder."""
    return sets.labelled(folder)
