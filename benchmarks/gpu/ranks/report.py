"""What the runs show: whether each went as it must, and docs/ranks.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.ranks import delays, real_runs
from benchmarks.gpu.ranks.delays import STEPS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "ranks.md"

REAL = Path(__file__).parent / "results" / "real"
"""The runs of a real model."""

Result = Mapping[str, Any]
"""What one backend's file holds."""

NAMES = {
    "single": "one GPU",
    "ddp": "DDP",
    "fsdp2": "FSDP2",
    "zero2": "ZeRO-2",
    "zero3": "ZeRO-3",
}

MISSING = {"only-rank-0": (1, 0), "only-rank-1": (0, 1), "crashed-before": (1, 0)}
"""Cases in which a rank has no callback: that rank, and the one that says so."""


def load(folder: Path) -> list[Result]:
    """Return the stored results, in the order of NAMES within a device."""
    files = (path for path in sorted(folder.glob("**/*.json")) if path.parent.name != REAL.name)
    found = [json.loads(path.read_text()) for path in files]
    return sorted(found, key=_place)


def _place(result: Result) -> tuple[int, bool, int]:
    backend = list(NAMES).index(result["backend"])
    return result.get("world", 2), result["device"] != "cuda", backend


def problems(result: Result) -> list[str]:
    """Return what did not go as it must: a line a case."""
    wrong = []
    for name, seen in result["cases"].items():
        problem = _problem(name.partition(":")[0], seen, result)
        if problem:
            wrong.append(f"{result['backend']} {name}: {problem}")
    return wrong


def compact(result: Result) -> Result:
    """Return the result without what is looked at once: of repetitions that went well the steps."""
    cases = {}
    for name, seen in result["cases"].items():
        case, _, count = name.partition(":")
        ranks = [dict(rank) for rank in seen["ranks"] if rank is not None]
        for rank in ranks:
            rank.pop("traceback", None)
        if "ended" in seen:
            epochs = re.findall(r"'epoch': '([0-9.]+)'", seen["ended"]) or ["0"]
            cases[name] = {"ranks": ranks, "ended": True, "epoch": epochs[-1]}
            continue
        if _problem(case, seen, result) is not None or any("error" in rank for rank in ranks):
            cases[name] = {**seen, "ranks": ranks}
            continue
        for rank in ranks:
            rank["runs"] = [_compact(run, case, again=count != "0") for run in rank["runs"]]
            if count != "0":
                rank.pop("told", None)
        cases[name] = {"ranks": ranks}
        if not delays.late(case, seen["ranks"][0]["runs"][0]):
            cases[name]["well"] = True
    return {**result, "cases": cases}


def _compact(run: Mapping[str, Any], case: str, *, again: bool) -> dict[str, Any]:
    kept = {"step", "raised", "refused", "smoke", "error", "seconds"}
    if not again:
        kept |= {"verdict", "findings", "skipped", "reason", "smoke_steps"}
    if case in ("unwatched", "healthy") or delays.every(case):
        kept.add("log")
    return {key: value for key, value in run.items() if key in kept}


def _problem(name: str, seen: Mapping[str, Any], result: Result) -> str | None:
    """Return what is wrong with one repetition of a case."""
    if seen.get("well"):
        return None
    ranks = seen["ranks"]
    if "ended" in seen:
        return f"ended by the time limit or a crash; its last row was of epoch {seen.get('epoch')}"
    errors = [rank["error"] for rank in ranks if "error" in rank]
    if errors:
        return None if _foretold(seen) else str(errors[0])
    steps = [_steps(rank) for rank in ranks]
    if any(other != steps[0] for other in steps):
        return f"the ranks ended at different steps: {steps}"
    follow = [rank for number, rank in enumerate(ranks) if name != "fails-row" or number != 1]
    watched = [run for rank in follow for run in rank["runs"][-1:] if "verdict" in run]
    if any(run["findings"] != watched[0]["findings"] for run in watched):
        return "the ranks found different things"
    run = ranks[0]["runs"][0]
    if (late := delays.late(name, run)) and not _in_time_today(name, run, result):
        return late
    if name.startswith("rows") and not any("rank 1" in line for line in ranks[0]["told"]):
        return "it was not said that only rank 1's rows show it"
    if name in MISSING:
        lacks, says = MISSING[name]
        line = f"rank {lacks} of {len(ranks)} has no DiagnosticsCallback"
        if sum(text.startswith(line) for text in ranks[says]["told"]) != 1:
            return "it was not said which rank has no callback"
    return _of_broken(name, ranks) or _told_twice(ranks)


def _of_broken(name: str, ranks: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what is wrong with a run in which a step is skipped, or sftdiag failed on a rank."""
    last = ranks[0]["runs"][-1]
    told = [line for rank in ranks for line in rank["told"]]
    failed = [line for line in told if line.startswith("sftdiag failed on rank 1 of")]
    if name == "fails-row" and (last["step"] != STEPS or len(failed) != 1):
        return f"ended at step {last['step']}, and {len(failed)} lines say that rank 1 failed"
    if name == "fails-step" and last["step"] >= STEPS:
        return "it was not stopped"
    if name == "guard" and "SFT113" not in [found[1] for found in last["findings"]]:
        return "no step was skipped"
    if name in ("guard", "fails-guard", "slow") and last["step"] != STEPS:
        return f"ended at step {last['step']}"
    return None


def _told_twice(ranks: Sequence[Mapping[str, Any]]) -> str | None:
    """Return whether a finding stands twice on the console, or a run in the journal."""
    told = [
        line for rank in ranks for line in rank["told"] if line.startswith(("error", "stopped"))
    ]
    runs = [run["journal"] for run in ranks[0]["runs"] if run.get("journal")]
    if len(ranks[0]["runs"]) == 1 and len(set(told)) != len(told):
        return "a line was told twice"
    if any(ends != starts for starts, ends in runs):
        return f"the journal's starts and ends: {runs}"
    return None


def _foretold(seen: Mapping[str, Any]) -> bool:
    """Return whether torch ended the run on all ranks, as a line before step 1 said it would."""
    ended = all("mixed torch.Tensor and DTensor" in rank.get("error", "") for rank in seen["ranks"])
    return ended and any("meet at step" in line for line in seen["ranks"][0]["told"])


def _in_time_today(name: str, run: Mapping[str, Any], result: Result) -> bool:
    step = delays.today(run, result)
    return step is not None and 0 < delays.rows_since(name, run, step) <= delays.ROWS


def _steps(rank: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [(run["step"], run.get("raised", "")) for run in rank["runs"]]


FEW = 3
"""A file of fewer cases is a look at one question, and has no column."""


def page(stored: Sequence[Result]) -> str:
    """Return docs/ranks.md."""
    from benchmarks.gpu.ranks.cases import CASES

    large = [r for r in stored if r.get("world", 2) > 2]
    results = [
        r for r in stored if r not in large and (len(r["cases"]) >= FEW or r["backend"] == "single")
    ]
    return "\n".join(
        [
            "<!-- Written by benchmarks/gpu/ranks. -->\n",
            "# Several ranks\n",
            _INTRODUCTION,
            *_machines(results),
            "\n## Case by case\n",
            "A cell: the steps at which the runs of the case ended, on both ranks; × how often it",
            "was made; –: not made (without a GPU FSDP2 cannot save). Lines below it say what was",
            "refused and why. [n]: where today's code stops, going by the rows of that run.\n",
            "| case | "
            + " | ".join(_heading(r) for r in results if r["backend"] != "single")
            + " |",
            "|---|" + "---|" * sum(r["backend"] != "single" for r in results),
            *(
                f"| {case.about} | "
                + " | ".join(_cell(r, name) for r in results if r["backend"] != "single")
                + " |"
                for name, case in CASES.items()
            ),
            "",
            *_notes([r for r in stored if r not in large]),
            *real_runs.lines(REAL, NAMES),
            *_many(large),
            *_on_paper(),
            "\n## What is said\n",
            "By the stored runs, in the words of their day.\n",
            *_said(results),
            "\n## Healthy runs\n",
            *_healthy([*results, *large]),
            *_wrong([*results, *large]),
            "",
        ]
    )


_INTRODUCTION = """\
The callback belongs on every rank. Each rank announces itself in the key-value store of the process
group before its first step; at the end of that step, when every rank has begun it, they tell each
other what the checks say of their rows, go by rank 0's settings, and act on what any of them saw.
Where a rank is missing, nothing is stopped, raised or asked, and one line says which: a rank that
acts alone leaves the others waiting in their next collective. Rank 0 asks the model, and the others
take its numbers; weights that are sharded (FSDP, ZeRO-3) are not asked, since ranks whose replies
end at different tokens would wait for each other, and `smoke_test` refuses what it cannot put back.

What it may cost: a rank that has no callback, 2 s once; one that has one and does not answer, 30 s
once, and the run goes on without acting. `smoke_test` waits 30 s for the other ranks to call it.
"""


def _many(results: Sequence[Result]) -> list[str]:
    """Return the table of more than two ranks."""
    from benchmarks.gpu.ranks.cases import CASES

    if not results:
        return []
    return [
        "\n## More than two ranks\n",
        "Of the same runs; the ranks end at one step, one of them tells, one journal is kept.\n",
        f"| case | {' | '.join(map(_heading, results))} |",
        "|---|" + "---|" * len(results),
        *(
            f"| {case.about} | {' | '.join(_cell(r, name) for r in results)} |"
            for name, case in CASES.items()
            if case.many
        ),
        "",
    ]


WORD, ACTION = 2_000, 60
"""Bytes of a rank's first word, what the checks said of the healthy example with its settings; and
of its word before a stop."""


def _on_paper() -> list[str]:
    """Return how the cost grows, which nobody has measured."""
    lines = [
        "\n## On paper: more ranks than were tried\n",
        "A log row costs one all-reduce of the ring, 16 KB whatever the number of ranks; with a",
        "guard each step one of four numbers: their time grows as the backend's latency does, with",
        "the logarithm of the ranks in a tree, with their number in a ring. Words go through the",
        "store on rank 0, where each rank reads those of all: their bytes grow with the square.\n",
        "| ranks | steps of a tree | first meeting, once | before a stop or an exception, once |",
        "|---|---|---|---|",
    ]
    for count in (8, 64, 256, 1024):
        met, acted = (size * count * count / 1e6 for size in (WORD, ACTION))
        lines.append(
            f"| {count:,} | {(count - 1).bit_length()} | {met:,.1f} MB | {acted:,.2f} MB |"
        )
    last = "\nOver 1 GB/s the first meeting of 1,024 ranks takes about two seconds, once a run."
    return [*lines, last]


def _heading(result: Result) -> str:
    where = "" if result["device"] == "cuda" else ", gloo"
    count = result.get("world", 2)
    return NAMES[result["backend"]] + (f", {count} ranks" if count > 2 else "") + where


def _machines(results: Iterable[Result]) -> list[str]:
    lines = []
    for device, name in (("cuda", "two GPUs, NCCL, bf16"), ("cpu", "the CPU, gloo, fp32")):
        found = [r for r in results if r["device"] == device]
        if found:
            versions: dict[str, str] = {}
            for result in found:
                versions.update(result["versions"])
            shown = ", ".join(f"{package} {number}" for package, number in versions.items())
            lines.append(f"On {name}: {shown}; each case under {found[0]['limit']} s.")
    return lines


def _cell(result: Result, name: str) -> str:
    made = {key: seen for key, seen in result["cases"].items() if key.partition(":")[0] == name}
    if not made:
        return "–"
    wrong = {key: _problem(name, seen, result) is not None for key, seen in made.items()}
    bad = sum(wrong.values())
    texts = {_summary(name, seen, result) for key, seen in made.items() if not wrong[key]}
    good = " or ".join(sorted(texts)) + (f" × {len(made) - bad}" if len(made) > 1 else "")
    if bad:
        return f"**{bad} wrong**" + (f", {good}" if texts else "")
    return good


def _summary(name: str, seen: Mapping[str, Any], result: Result) -> str:
    if _foretold(seen):
        return "ended by torch, as said"
    runs = seen["ranks"][0]["runs"]
    if delays.late(name, runs[0]):
        return f"{runs[0]['step']} [{delays.today(runs[0], result)}]"
    return ", ".join(
        str(run["step"])
        + (" raised" if run.get("raised") else "")
        + (" refused" if run.get("refused") else "")
        + (f" {run['smoke']}" if run.get("smoke") else "")
        + (" failed" if run.get("error") else "")
        for run in runs
    )


def _first(result: Result, name: str) -> Mapping[str, Any] | None:
    seen: Mapping[str, Any] | None = result["cases"].get(f"{name}:0")
    return seen if seen and "ended" not in seen and "runs" in seen["ranks"][0] else None


def _notes(results: Iterable[Result]) -> list[str]:
    notes: dict[str, list[str]] = {}
    for result in results:
        seen = _first(result, "smoke")
        for run in seen["ranks"][0]["runs"] if seen else ():
            if "refused" in run:
                notes.setdefault(f"`smoke_test`: {run['refused']}", []).append(_heading(result))
        seen = _first(result, "eval-save")
        if seen is not None and result["backend"] == "fsdp2":
            together, apart = (
                run.get("error", f"went on to step {run['step']}")
                for run in seen["ranks"][0]["runs"]
            )
            used = ", ".join(f"{p} {result['versions'][p]}" for p in ("torch", "transformers"))
            note = f"evaluation and save at one step, {used}: {together}; apart: {apart}"
            notes.setdefault(note, []).append(_heading(result))
        seen = _first(result, "probes")
        for run in seen["ranks"][0]["runs"] if seen else ():
            for reason in {r for r in run.get("skipped", {}).values() if "sharded" in r}:
                notes.setdefault(f"`probes`: not asked, {reason}", []).append(_heading(result))
    return [f"- {note} ({', '.join(where)})" for note, where in notes.items()]


_SAID = (
    *(("ddp", name) for name in ("only-rank-0", "only-rank-1", "rows-stop", "nan-one-10")),
    ("zero2", "nan-gradient-10"),
)
"""Backend and case whose first line is shown."""


def _said(results: Sequence[Result]) -> list[str]:
    lines = []
    for backend, name in _SAID:
        result = next((r for r in results if r["backend"] == backend), None)
        seen = _first(result, name) if result is not None else None
        told = [line for rank in seen["ranks"] for line in rank["told"]] if seen else []
        lines += [f"- {NAMES[backend]}, `{name}`: {told[0]}"] if told else []
    return lines


def _healthy(results: Sequence[Result]) -> list[str]:
    lines = [
        "| | findings | two runs without sftdiag | with it |",
        "|---|---|---|---|",
    ]
    for result in results:
        plain, watched = _first(result, "unwatched"), _first(result, "healthy")
        if plain is None or watched is None:
            continue
        one, two = (run["log"] for run in plain["ranks"][0]["runs"])
        run = watched["ranks"][0]["runs"][0]
        found = ", ".join(f"{f[0]} {f[1]}" for f in run["findings"]) or "none"
        same = "identical" if one == two else "not identical"
        with_it = "identical" if run["log"] in (one, two) else "not identical"
        lines.append(f"| {_heading(result)} | {run['verdict']}: {found} | {same} | {with_it} |")
    return ["Losses and gradient norms of all steps, compared as numbers.\n", *lines]


def _wrong(results: Iterable[Result]) -> list[str]:
    wrong = [line for result in results for line in problems(result)]
    return ["\n## What did not go as it must\n", *(f"- {line}" for line in wrong)] if wrong else []
