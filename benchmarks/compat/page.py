"""docs/compat.md: the matrix, what is not judged and why, and what the tests ask."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.compat.cells import (
    ALONE,
    CELLS,
    FRAMEWORKS,
    NEWEST,
    PAIRS,
    TRANSFORMERS,
    TRL,
    Cell,
    pair,
)
from benchmarks.compat.run import CORE, NOT_JUDGED, PASSED
from benchmarks.frameworks.venvs import ROOT

PAGE = ROOT / "docs" / "compat.md"
RESULTS = Path(__file__).parent / "results.json"

Results = dict[str, dict[str, Any]]

NOT_RUN = "not run yet"

TOP = """\
# Versions of transformers and TRL

`sftdiag[trainer]` asks for transformers 4.46 and TRL 0.12 or newer; sftdiag alone, without the
extra, works with a transformers that is there, with no TRL and no peft. This page is printed by
`python -m benchmarks.compat --missing --write`: each cell is a venv of its own, with torch 2.13 on
the CPU and what pip resolves today beside the versions named, in which the core tests below are
run. Versions that do not train without sftdiag are not judged. CI runs the lowest, and all tests
with those of constraints.txt.
"""


def results() -> Results:
    """Return what became of the cells that have been run."""
    if not RESULTS.exists():
        return {}
    known: Results = json.loads(RESULTS.read_text(encoding="utf-8"))
    return known


def keep(found: Results) -> None:
    """Keep what became of cells."""
    kept = json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False)
    RESULTS.write_text(kept + "\n", encoding="utf-8")


def summary(found: Mapping[str, Any]) -> str:
    """Return a cell in a few words."""
    if found["state"] == NOT_JUDGED:
        return f"not judged: {found['why']}"
    count = f"{found.get('passed', 0)} passed"
    skipped = len(found.get("skipped", ()))
    more = f", {skipped} skipped" if skipped else ""
    if found["state"] == PASSED:
        return f"green: {count}{more}"
    return f"FAILED: {', '.join(found.get('failed', ())) or found.get('why')}; {count}{more}"


def text(found: Results) -> str:
    """Return the page."""
    return "\n".join(_lines(found)) + "\n"


def write(found: Results) -> None:
    """Write the page."""
    PAGE.write_text(text(found), encoding="utf-8")


def _lines(found: Results) -> Iterator[str]:
    yield TOP
    notes: list[str] = []
    yield from _matrix(found, notes)
    yield ""
    yield "| set | versions | |"
    yield "|---|---|---|"
    for cell in (*ALONE, *FRAMEWORKS):
        of = found.get(cell.name, {})
        yield f"| {cell.name} | {_versions(of)} | {_cell(cell, found, notes)} |"
    yield ""
    for number, note in enumerate(notes, 1):
        yield f"{number}. {note}"
    yield from _frameworks(found)
    yield from _environment(found)
    yield from _checks(found)
    yield "\n## What the core tests ask\n"
    yield f"Those of `{CORE}`, each with transformers' Trainer and with TRL's SFTTrainer:\n"
    yield from _asked()


def _matrix(found: Results, notes: list[str]) -> Iterator[str]:
    yield f"| transformers | {' | '.join(f'TRL {trl}' for trl in TRL)} |"
    yield "|---" * (len(TRL) + 1) + "|"
    for transformers in TRANSFORMERS:
        cells = (_cell(pair(transformers, trl), found, notes) for trl in TRL)
        yield f"| {transformers} | {' | '.join(cells)} |"


def _cell(cell: Cell, found: Results, notes: list[str]) -> str:
    of = found.get(cell.name)
    if of is None:
        return NOT_RUN
    if of["state"] != NOT_JUDGED:
        return summary(of)
    why = str(of["why"])
    if why not in notes:
        notes.append(why)
    return f"not judged: {notes.index(why) + 1}"


def _versions(of: Mapping[str, Any]) -> str:
    known = of.get("versions", {})
    shown = ("transformers", "trl", "peft", "accelerate", "datasets")
    return ", ".join(f"{name} {known[name]}" for name in shown if name in known)


def _frameworks(found: Results) -> Iterator[str]:
    yield "\n## Beside frameworks\n"
    yield "`pip install --dry-run` of the extra beside a framework, with torch 2.13:\n"
    yield "```"
    for cell in FRAMEWORKS:
        of = found.get(cell.name, {})
        if "resolved" in of:
            yield f"$ pip install --dry-run 'sftdiag[trainer]' {cell.framework}"
            yield f"resolves {of['resolved']} packages: {_versions(of)}"
        else:
            yield f"{cell.framework}: {summary(of) if of else NOT_RUN}"
    yield "```"


def _environment(found: Results) -> Iterator[str]:
    asked = [cell for cell in (*ALONE, *PAIRS) if cell.environment and cell.name in found]
    for name, value in dict(each for cell in asked for each in cell.environment).items():
        yield (
            f"\ntransformers {TRANSFORMERS[0]} resumes no run by itself with torch 2.6 or newer "
            f"(`Weights only load failed`, of the random number states that it saved): its cells "
            f"run with torch's own switch, `{name}={value}`."
        )
    skipped = sorted({each for of in found.values() for each in _reasons(of.get("skipped", ()))})
    if skipped:
        yield f"\nSkipped: {'; '.join(skipped)}."


def _checks(found: Results) -> Iterator[str]:
    """Tell which checks cannot judge a healthy run of some versions, and can one of the newest."""
    usual = found.get(NEWEST.name, {}).get("checks")
    if not usual:
        return
    less: dict[str, list[str]] = {}
    for cell in CELLS.values():
        for check, reason in found.get(cell.name, {}).get("checks", {}).items():
            if check not in usual:
                less.setdefault(f"{check} ({reason})", []).append(cell.name)
    yield f"\n## What is skipped there, and is not with {NEWEST.name}\n"
    yield "Of the checks before step 1, on the healthy run; the trainer stands first.\n"
    for check, cells in sorted(less.items()):
        yield f"- {check}: {'; '.join(cells)}"
    if not less:
        yield "Nothing."


def _reasons(skipped: Iterable[str]) -> Iterator[str]:
    for each in skipped:
        yield each.partition(": ")[2]


def _asked() -> Iterator[str]:
    for node in ast.parse((ROOT / CORE).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            title = node.name.removeprefix("test_").replace("_", " ")
            told = " ".join((ast.get_docstring(node) or "").split())
            yield f"- {title}{': ' + told if told else ''}"
