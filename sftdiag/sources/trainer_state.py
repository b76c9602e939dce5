"""trainer_state.json, as transformers' Trainer and everything built on it writes it."""

from __future__ import annotations

from collections.abc import Mapping

from sftdiag.context import RunContext
from sftdiag.errors import SourceError
from sftdiag.hints import Any
from sftdiag.records import MAX_EPOCHS, as_float, as_positive

EXPECTED = "expected a trainer_state.json: a JSON object with a list log_history"

WHERE = (
    "the Trainer's log is trainer_state.json in the run's folder or its checkpoint-N/ "
    "(trainer.save_state() writes it); without one, save it by "
    'json.dump({"log_history": trainer.state.log_history}, open("log.json", "w")), '
    "or give the console's text"
)
"""Where the log is, and what to do where there is none."""


def entries(path: str, content: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a parsed trainer_state.json.

    Raises:
        SourceError: it is something else, or holds no row.
    """
    if not isinstance(content, Mapping):
        raise SourceError(path, f"{EXPECTED}; it holds a JSON {_kind(content)}")
    if "log_history" not in content:
        keys = ", ".join(str(key)[:40] for key in list(content)[:5]) or "none"
        raise SourceError(path, f"{EXPECTED}; its keys are {keys}")
    rows = content["log_history"]
    if not isinstance(rows, list):
        raise SourceError(path, f"{EXPECTED}; log_history is a JSON {_kind(rows)}")
    if not rows:
        raise SourceError(path, "log_history is empty: nothing has been logged yet")
    if {*map(type, rows)} == {dict}:
        return rows
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SourceError(
                path, f"log_history[{index}]: expected an object, got a JSON {_kind(row)}"
            )
    return rows


def context(content: Mapping[str, Any]) -> RunContext:
    """Return what the state itself says of the run."""
    return RunContext(
        max_steps=as_positive(content.get("max_steps")),
        num_train_epochs=_planned_epochs(content),
        per_device_train_batch_size=as_positive(content.get("train_batch_size")),
    )


def _planned_epochs(content: Mapping[str, Any]) -> float | None:
    """Return the epochs asked for; None where the steps were, or a part of an epoch.

    The Trainer rounds the epochs that max_steps takes up. Asked for whole epochs it plans as many
    steps in each, and misses of its rows at most what does not fill one accumulation.
    """
    epochs = as_float(content.get("num_train_epochs"))
    if epochs is None or not 0 < epochs < MAX_EPOCHS:
        return None
    done, reached = as_positive(content.get("global_step")), as_float(content.get("epoch"))
    steps = as_positive(content.get("max_steps"))
    if done and steps and reached is not None and reached > 0:
        each, rest = divmod(steps, epochs)
        return epochs if not rest and steps * reached / done > epochs * each / (each + 1) else None
    return epochs


def _kind(value: object) -> str:
    names = {list: "list", dict: "object", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
