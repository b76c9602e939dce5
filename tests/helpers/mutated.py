"""Mutated logs: windows of real logs, each with a few things wrong with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from logs import healthy, noisy, overfitting, train_rows

State = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("SFTDIAG_CORPUS", ROOT.parent / "shared" / "corpus"))
FOLDERS = ("tiny", "gpu", "real/runs", "peft/runs", "peft")
"""Of the labelled logs, where they are at hand."""

MOST_FILES = 12
"""Logs taken of each folder."""

STRANGE: tuple[Any, ...] = (
    *(0, -0.0, 1, -1, 1e-310, 5e-324, 1e-45, 1e-30, 1e30, -1e30, 3.4e38, -3.4e38, 1e200, 6e300),
    *(1.7e308, -1.7e308, float("nan"), float("inf"), -float("inf"), 2**53, 2**63 - 1, 10**30),
    *(10**400, -(10**400), True, False, None, [], {}, [1.0], {"loss": 1.0}, "", "NaN", "-Infinity"),
    *("1.5", " 2 ", "1e400", "12_000", "loss", "\u0663", "1e", "{}"),
)

NAMES = (
    *("step", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm", "entropy"),
    *("mean_token_accuracy", "num_tokens", "eval_other_loss", "eval_other_runtime"),
    *("eval_runtime", "train_loss", "train_runtime", "reward", "rewards/chosen", "lr"),
    *("probe/before", "probe/repetitive-output/prompts", "probe/repetitive-output/repeated"),
    *("probe/forgetting/texts", "probe/forgetting/rise", "probe/unnatural-replies/prompts"),
    *("_runtime", "eval_", "eval__loss", "x"),
)

PLAN = ("max_steps", "num_train_epochs", "train_batch_size", "global_step", "epoch")


@cache
def seeds() -> tuple[State, ...]:
    """Return the logs that are mutated: made ones, the project's and the labelled ones."""
    made = [{"log_history": rows, "max_steps": 200} for rows in (healthy(), overfitting())]
    tens = [{"step": step, "loss": 11.76} for step in range(10, 110, 10)]
    made += [{"log_history": tens, "max_steps": 100}, {"log_history": healthy(12, 3)}]
    losses = noisy([6.0] * 60, 0.003)
    made += [{"log_history": train_rows(losses, entropy=2.9, mean_token_accuracy=0.0)}]
    made += [{"log_history": [{"step": r["step"], "loss": r["loss"]} for r in train_rows(losses)]}]
    rates = [{**row, "learning_rate": 1e-6 * row["step"]} for row in train_rows(losses)]
    made += [{"log_history": rates, "max_steps": 1000}]
    made += [{"log_history": [row for row in overfitting() if "eval_loss" in row]}]
    made = 3 * made
    files = sorted((ROOT / "examples" / "runs").glob("*/trainer_state.json"))
    for folder in FOLDERS:
        found = sorted(p for p in (CORPUS / folder).glob("*.json") if "spec" not in p.name)
        files += found[:: max(1, len(found) // MOST_FILES)][:MOST_FILES]
    read = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return (*made, *(state for state in read if "log_history" in state))


values = st.one_of(
    st.sampled_from(STRANGE),
    st.sampled_from(STRANGE),
    st.floats(),
    st.integers(),
    st.floats(0.0, 20.0),
)

Mutation = Callable[[State], None]


def _place(rows: list[Any], share: float) -> int:
    return min(len(rows) - 1, int(share * len(rows)))


def _set(name: str, value: Any, start: float, length: int) -> Mutation:
    def mutate(state: State) -> None:
        rows = state["log_history"]
        at = _place(rows, start)
        for row in rows[at : at + length]:
            row[name] = value

    return mutate


def _scale(name: str, factor: float, start: float, length: int) -> Mutation:
    def mutate(state: State) -> None:
        rows = state["log_history"]
        at = _place(rows, start)
        for row in rows[at : at + length]:
            if type(row.get(name)) in (int, float) and -1e6 < row[name] < 1e6:
                row[name] = float(row[name]) * factor

    return mutate


def _rename(old: str, new: str) -> Mutation:
    def mutate(state: State) -> None:
        for row in state["log_history"]:
            if old in row:
                row[new] = row.pop(old)

    return mutate


def _move(start: float, length: int, target: float) -> Mutation:
    def mutate(state: State) -> None:
        rows = state["log_history"]
        at = _place(rows, start)
        moved = rows[at : at + length]
        del rows[at : at + length]
        to = int(target * len(rows))
        rows[to:to] = moved

    return mutate


def _repeat(start: float, length: int, times: int) -> Mutation:
    def mutate(state: State) -> None:
        rows = state["log_history"]
        at = _place(rows, start)
        state["log_history"] = rows[:at] + [
            dict(row) for _ in range(times) for row in rows[at : at + length]
        ]

    return mutate


def _insert(name: str, value: Any, ahead: int, start: float) -> Mutation:
    """Insert a row of one metric, made so many steps ahead of the row before it."""

    def mutate(state: State) -> None:
        rows = state["log_history"]
        at = _place(rows, start)
        step = rows[at].get("step")
        known = step if type(step) is int else 1
        rows.insert(at + 1, {name: value, "step": known + ahead})

    return mutate


def _every(name: str, every: int) -> Mutation:
    def mutate(state: State) -> None:
        for row in state["log_history"][::every]:
            row.pop(name, None)

    return mutate


def _steps(first: int, by: int) -> Mutation:
    def mutate(state: State) -> None:
        for number, row in enumerate(state["log_history"]):
            row["step"] = first + by * number

    return mutate


def _reverse(state: State) -> None:
    state["log_history"].reverse()


def _plan(name: str, value: Any) -> Mutation:
    def mutate(state: State) -> None:
        state[name] = value

    return mutate


shares, names = st.floats(0.0, 1.0), st.sampled_from(NAMES)
lengths = st.sampled_from((1, 1, 2, 3, 8, 40, 200))
factors = st.sampled_from(
    (0.0, -1.0, 1e-40, 1e-3, 10.0, 1e3, 1e15, 1e30, 1e38, 1e150, 1e299, 1e307)
)
mutations: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(_set, names, values, shares, lengths),
    st.builds(_set, st.sampled_from(NAMES[:8]), values, shares, lengths),
    st.builds(_scale, st.sampled_from(NAMES[1:8]), factors, shares, lengths),
    st.builds(_scale, st.sampled_from(("loss", "eval_loss")), factors, st.just(0.0), st.just(200)),
    st.builds(_rename, names, names),
    st.builds(_move, shares, lengths, shares),
    st.builds(_repeat, shares, lengths, st.integers(0, 4)),
    st.builds(
        _insert,
        st.sampled_from(("eval_loss", "loss", "train_loss")),
        values,
        st.sampled_from((0, 1, 600, -20)),
        shares,
    ),
    st.builds(_every, names, st.integers(1, 3)),
    st.builds(_steps, st.sampled_from((-3, 0, 1, 10**9, 10**18)), st.sampled_from((-1, 0, 1, 10))),
    st.just(_reverse),
    st.builds(_plan, st.sampled_from(PLAN), values),
)


@st.composite
def states(draw: st.DrawFn, most: int = 6) -> State:
    """Draw a state whose rows are objects, as the Trainer writes them, with strange values."""
    state = draw(st.sampled_from(seeds()))
    rows = state["log_history"]
    length = min(len(rows), draw(st.sampled_from((150, 90, 45, 24, 14, 8, 4, 2, 1))))
    start = int(draw(shares) * (len(rows) - length))
    kept = rows[start : start + length]
    changed = {**{name: state.get(name) for name in PLAN}, "log_history": [dict(r) for r in kept]}
    for mutate in draw(st.lists(mutations, max_size=most)):
        if changed["log_history"]:
            mutate(changed)
    return changed


KNOWN: dict[str, tuple[Any, ...]] = {
    "vocab_size": (0, 1, 2, 64, 32_000, 151_936, 10**12),
    "max_steps": (1, 60, 1000, 10**12),
    "learning_rate": (0.0, 1e-9, 2e-5, 3.0, 1e30),
    "lr_scheduler_type": ("linear", "cosine", "constant", "unheard of"),
    "warmup_steps": (0, 5, 10**9),
    "num_train_epochs": (0.001, 3.0, 1e5),
    "gradient_accumulation_steps": (0, 1, 4, 32),
    "world_size": (0, 1, 8),
    "per_device_train_batch_size": (1, 16),
    "train_samples": (0, 1, 640),
    "trainable_parameters": (0, 1, 10**9),
    "total_parameters": (0, 1, 10**9),
    "method": ("full", "lora", "qlora"),
    "lora_r": (1, 16, 4096),
    "lora_alpha": (0.0, 16.0),
    "lora_dropout": (0.0, 0.9),
    "precision": ("bf16", "fp16", "fp32"),
    "max_grad_norm": (0.0, 1.0),
    "optim": ("adamw_torch", "sgd"),
    "loss_type": ("nll", "dft"),
    "metric_for_best_model": ("eval_loss", "other_loss", "eval_accuracy"),
    "lost_state_steps": ([], [3]),
    "lora_b_zero_step": (0, 5),
    "logging_nan_inf_filter": (True, False),
}
"""Fields of context.json, and values that runs have."""


@st.composite
def beside(draw: st.DrawFn) -> dict[str, bytes]:
    """Draw the files beside a state, by name: mostly none."""
    found: dict[str, bytes] = {}
    if draw(st.integers(0, 2)):
        return found
    fields = draw(st.lists(st.sampled_from(sorted(KNOWN)), max_size=8, unique=True))
    context = {name: draw(st.sampled_from(KNOWN[name])) for name in fields}
    if fields and draw(st.booleans()):
        context[fields[0]] = draw(st.sampled_from(STRANGE))
    found["_sftdiag/context.json"] = json.dumps(context).encode()
    if draw(st.booleans()):
        changed = {name: [context[name], 7] for name in fields[:2]}
        start = {"event": "start", "step": draw(st.sampled_from((0, 20, 10**9, *STRANGE)))}
        lines = [{**start, "context": context, "changed": changed}]
        found["_sftdiag/findings.jsonl"] = b"\n".join(json.dumps(li).encode() for li in lines)
    if draw(st.booleans()):
        model = {"vocab_size": draw(st.sampled_from((*KNOWN["vocab_size"], *STRANGE)))}
        found["config.json"] = json.dumps(model).encode()
    return found


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a state's file, some of them cut, torn or of another shape."""
    state: Any = draw(states())
    kind = draw(st.integers(0, 11))
    if kind == 0 and state["log_history"]:
        at = _place(state["log_history"], draw(shares))
        state["log_history"][at] = draw(st.sampled_from(STRANGE))
    if kind == 1:
        state["log_history"] = draw(st.sampled_from(STRANGE))
    if kind == 2:
        state = draw(st.sampled_from((state["log_history"], *STRANGE)))
    content = json.dumps(state).encode()
    if kind == 3:
        content = content[: int(draw(shares) * len(content))]
    if kind == 4:
        content = content.decode().encode(draw(st.sampled_from(("utf-16", "utf-8-sig", "utf-32"))))
    if kind == 5:
        at = int(draw(shares) * len(content))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + 2 :]
    return content
