"""The runs of the real model over all backends: makes them, and tells what they show."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.ranks.launch import over, run, told
from benchmarks.speed.measuring import ratio
from sftdiag.context import RunContext
from sftdiag.monitor import Monitor

BASE, ROWS = "RANKS_BASE", "RANKS_ROWS"
"""Environment variables that hold the folder of the base and the file of the rows."""

STEPS, AT = 32, 15
"""Steps of a run, an epoch of both sources' rows; those before a fault."""

METHODS = {"full": "full", "lora": "LoRA"}

PLACES = {"cuda": "", "one-gpu": ", gloo on one GPU", "cpu": ", gloo on the CPU"}
"""Devices, and how the page calls those that are not a GPU a rank."""

ABOUT = {
    "plain": "healthy, without sftdiag, twice",
    "watched": 'healthy, `guard=True`, `stop_on="warning"`',
    "poisoned": "one batch of rank 1 NaN, `guard=True`",
    "broken": 'every batch of rank 1 NaN from a step on, `stop_on="error"`',
}
"""The cases, by method each, in their order."""

COSTS = {"cost-guard": "every step seen, `guard=True`", "cost-steps": "every step seen"}

MOST_LOST = 0.01
"""Share by which a guarded run may end above a clean one."""

MOST_COST = 0.01
"""Share of the time that watching may take, upper end of the interval."""

GUARDED = ("ddp", "fsdp2")
"""Backends under which a guard can act."""

Result = Mapping[str, Any]
Run = Mapping[str, Any]


def make(chosen: argparse.Namespace) -> int:
    """Make the runs, or measure the cost, and write a file a backend; return what went wrong."""
    os.environ[BASE], os.environ[ROWS] = str(chosen.base.resolve()), str(chosen.rows.resolve())
    chosen.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + chosen.seconds
    names = list(COSTS) if chosen.cost else [f"{n}-{m}" for m in METHODS for n in ABOUT]
    names = [name for name in names if chosen.cases is None or name in chosen.cases]

    def one(backend: str) -> int:
        result = run(
            backend,
            chosen.device,
            [f"{name}:0" for name in names],
            limit=chosen.limit,
            deadline=deadline,
            suite="benchmarks.gpu.ranks.real",
        )
        more = "" if chosen.device == "cuda" else f"-{chosen.device}"
        name = ("cost" if chosen.cost else backend) + more
        kept = {**result, "cases": {key: _kept(seen) for key, seen in result["cases"].items()}}
        (chosen.out / f"{name}.json").write_text(json.dumps(kept) + "\n")
        return told(name, len(result["cases"]), len(names), problems(kept))

    return over(chosen.backends, chosen.device, one)


def _kept(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case without what the second rank repeats."""
    ranks = [dict(rank) for rank in seen["ranks"] if rank is not None]
    for rank in ranks[1:]:
        rank["runs"] = [
            {key: value for key, value in each.items() if key in ("step", "raised", "findings")}
            for each in rank.get("runs", ())
        ]
    return {**seen, "ranks": ranks}


def problems(result: Result) -> list[str]:
    """Return what did not go as it must: a line a case, and those that are missing."""
    return [*(f"{name}: not made" for name in result["left"]), *_wrong(result)]


def _wrong(result: Result) -> list[str]:
    wrong = []
    for key, seen in result["cases"].items():
        name = key.partition(":")[0]
        problem = _problem(name, seen, result)
        if problem:
            where = f"{result['backend']}{PLACES[result['device']]}"
            wrong.append(f"{where} {name}: {problem}")
    return wrong


def _problem(name: str, seen: Mapping[str, Any], result: Result) -> str | None:
    if "ended" in seen:
        return f"ended by the time limit or a crash: {seen['ended'][-600:]}"
    errors = [rank["error"] for rank in seen["ranks"] if "error" in rank]
    if errors:
        return str(errors[0])
    kind, _, method = name.partition("-")
    last = [rank["runs"][-1] for rank in seen["ranks"]]
    if len({(each["step"], str(each.get("findings"))) for each in last}) > 1:
        return f"the ranks differ: {[each['step'] for each in last]}"
    if kind == "cost":
        high = 1 / ratio(last[0]["ratios"]).low - 1
        return f"up to {high:.2%} of the time" if high > MOST_COST else None
    if kind == "broken":
        return None if AT < last[0]["step"] < STEPS else f"ended at step {last[0]['step']}"
    if last[0]["step"] != STEPS:
        return f"ended at step {last[0]['step']}"
    if kind == "watched" and _bad(last[0]):
        return f"found {_bad(last[0])}"
    if kind == "poisoned" and result["backend"] in GUARDED:
        if "SFT113" not in [found[1] for found in last[0]["findings"]]:
            return "no step was skipped"
        above = _above(method, result)
        if above is None or above > MOST_LOST:
            return f"ended {above} above the clean run"
    if kind == "poisoned" and result["backend"] not in GUARDED and not last[0]["findings"]:
        today = _today(last[0])
        return f"nothing was said{f'; by its log, today {today}' if today else ''}"
    return None


def _today(run_: Run) -> str:
    """Return what today's code says of a run under DeepSpeed, by its log."""
    monitor = Monitor(RunContext(deepspeed=True, precision="bf16", max_steps=STEPS))
    for step, loss, grad_norm in run_["log"]:
        monitor.feed_entry({"step": step, "loss": loss, "grad_norm": grad_norm})
    return ", ".join(f"{f.severity.label} {f.code}" for f in monitor.report().findings)


def _bad(run_: Run) -> list[str]:
    return [found[1] for found in run_["findings"] if found[0] in ("warning", "error")]


def _runs(result: Result, name: str) -> list[Run]:
    seen = result["cases"].get(f"{name}:0", {"ranks": [{}]})
    runs: list[Run] = seen["ranks"][0].get("runs", []) if seen["ranks"] else []
    return runs


def _above(method: str, result: Result) -> float | None:
    """Return by which share the poisoned run's last evaluation lies above the clean run's."""
    clean, poisoned = (_runs(result, f"{kind}-{method}") for kind in ("plain", "poisoned"))
    if not clean or not poisoned or not poisoned[0]["eval"]:
        return None
    return float(poisoned[0]["eval"][-1][1] / clean[0]["eval"][-1][1] - 1)


def lines(folder: Path, names: Mapping[str, str]) -> list[str]:
    """Return the section of docs/ranks.md; nothing where no runs are stored.

    Args:
        folder: of the results.
        names: what the page calls the backends.
    """
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    order = [(device, backend) for device in PLACES for backend in names]
    results = sorted(results, key=lambda each: order.index((each["device"], each["backend"])))
    made = [result for result in results if any(k.startswith("plain") for k in result["cases"])]
    costs = [result for result in results if any(k.startswith("cost") for k in result["cases"])]
    if not results:
        return []
    return [
        "\n## A real model\n",
        "SmolLM2-135M-Instruct, on two GPUs by NCCL in bf16 unless the column says otherwise",
        "(NCCL takes no two ranks on one GPU, gloo does), on tokenized conversations, one epoch",
        f"of {STEPS} steps, a log row every fourth, two evaluations; the fault is after step {AT}.",
        "A cell: the step at which the run ended on both ranks; what was found; the last",
        "evaluation; –: not made. Under DeepSpeed the guard says that it can skip nothing.\n",
        *_table(made, names),
        *_costs(costs),
        *(f"- {line}" for result in results for line in _wrong(result)),
    ]


def _table(results: Sequence[Result], names: Mapping[str, str]) -> list[str]:
    if not results:
        return []
    rows = []
    for kind, about in ABOUT.items():
        for method, said in METHODS.items():
            cells = " | ".join(_cell(kind, method, result) for result in results)
            rows.append(f"| {about}; {said} | {cells} |")
    heads = " | ".join(names[each["backend"]] + PLACES[each["device"]] for each in results)
    return [f"| case | {heads} |", "|---|" + "---|" * len(results), *rows, ""]


def _cell(kind: str, method: str, result: Result) -> str:
    runs = _runs(result, f"{kind}-{method}")
    if not runs:
        return "–"
    last = runs[-1]
    shown = [str(last["step"])]
    if kind != "plain":
        shown.append(", ".join(f"{f[0]} {f[1]}" for f in last["findings"]) or "nothing")
    if kind == "plain":
        shown.append("identical" if runs[0]["log"] == runs[1]["log"] else _apart(runs[0], runs[1]))
    if kind == "watched":
        clean = _runs(result, f"plain-{method}")
        same = any(last["log"] == each["log"] for each in clean)
        shown.append("identical" if same else _apart(clean[0], last) if clean else "?")
    if last["eval"] and kind != "broken":
        above = _above(method, result) if kind == "poisoned" else None
        beside = f" ({above:+.2%})" if above is not None else ""
        shown.append(f"{last['eval'][-1][1]:.4f}{beside}")
    return "; ".join(shown)


def _apart(one: Run, other: Run) -> str:
    """Return how far the losses of two runs lie apart, at most."""
    pairs = zip(one["log"], other["log"], strict=False)
    most = max((abs(a[1] - b[1]) / abs(a[1]) for a, b in pairs if a[1]), default=0.0)
    return f"losses {most:.1e} apart"


def _costs(results: Sequence[Result]) -> list[str]:
    rows = []
    for result in results:
        for name, about in COSTS.items():
            for run_ in _runs(result, name):
                middle, low, high = ratio(run_["ratios"])
                rows.append(
                    f"| {about}: {run_['batch']}, {run_['step_ms']:.1f} ms a step, "
                    f"{len(run_['ratios'])} blocks | {1 / middle - 1:+.2%} "
                    f"| {1 / high - 1:+.2%} to {1 / low - 1:+.2%} | {MOST_COST:.0%} "
                    f"| {run_['inside_ms']:.3f} ms |"
                )
    if not rows:
        return []
    return [
        "Time of a step under DDP with sftdiag over without, by stretches of five steps in one",
        "process (with, without, without, with); the blocks' median and its 95 % interval.\n",
        "| | more time | 95 % interval | upper end at most | on watching, a step |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
