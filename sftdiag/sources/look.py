"""What a file that is no log looks like, and where the log is: one line for each kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sftdiag.columns import plain
from sftdiag.records import as_float
from sftdiag.sources.opening import Head
from sftdiag.sources.trainer_state import WHERE

FINDINGS = '{"event": "'
"""Begins what the callback says of a run, beside the run's log."""

_SPACY = ["E", "#", "LOSS"]
"""Begin the head of spaCy's table."""

_SUMMARY = ('"_wandb"', '"_runtime"')
SUMMARY = (
    "looks like W&B's summary, the last number of each metric: it holds no curve; give the run's "
    ".wandb file, or an export of its history"
)
RUNS = (
    "looks like a table of runs, a row each: it holds no curve; expected the rows of one run, such "
    "as an export of its chart or history"
)
_OF_RUNS = frozenset(
    {"name", "state", "status", "user", "created", "runtime", "sweep", "tags", "notes"}
    | {"run_id", "run_uuid", "experiment_id", "start_time", "end_time", "duration"}
)
LEAST_LINES = 3
"""Lines with a loss that are a log, not a sentence about one."""

LEAST_OF_RUNS = 3
"""Columns of what a run is, in the table of a tracker's runs."""

MOST_NAMES = 8
"""Columns named at the most: a row of the Trainer has six."""

_OF_MLFLOW = re.compile(r"\d{13} \S{1,30} \d{1,15}\s*(?:\n|$)")

_MAGIC = (
    (b"version https://git-lfs", "a Git LFS pointer, not the log; run `git lfs pull`"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet file in which no column is a loss, or pyarrow is missing to read it"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a model's weights (GGUF)"),
    (b"SQLite format 3\0", "an SQLite database of none of the trackers that are known"),
    (b"PK\x03\x04", "a zip archive or a PyTorch file, such as training_args.bin or weights"),
    (b"\x80\x02", "a pickle, which is never opened"),
    (b"\x80\x04", "a pickle, which is never opened"),
    (b"ARROW1", "an Arrow file"),
)


def no_curve(head: Head) -> str | None:
    """Return what a file is that holds one row a run, not the rows of one; None for others."""
    text = head.text.lstrip("\ufeff \t\r\n")
    if text.startswith("{") and head.whole and any(mark in text for mark in _SUMMARY):
        try:
            return SUMMARY if "_step" in json.loads(text) else None
        except (ValueError, RecursionError):
            return None
    from sftdiag.sources import csv_rows

    names = {plain(name) for name in csv_rows.header(head)}
    return RUNS if len(names & _OF_RUNS) >= LEAST_OF_RUNS else None


def problem(head: Head) -> str:
    """Return what the file looks like and what to do, on one line."""
    if not head.data.strip():
        return f"is empty; {WHERE}"
    for start, what in _MAGIC:
        if head.data.startswith(start):
            return f"looks like {what}" if "pull" in what else f"looks like {what}; {WHERE}"
    if head.data[8:9] == b"{" and b"dtype" in head.data[:500]:
        return f"looks like a model's weights (safetensors); {WHERE}"
    if head.text.startswith(FINDINGS):
        return "looks like what sftdiag itself said of a run; give the run's folder"
    if (told := no_curve(head)) is not None:
        return told
    if not head.text:
        return f"is no text and no tracker's file that is known; {WHERE}"
    return f"looks like {_text(head)}; {WHERE}"


def no_row(format: str, head: Head | None) -> str:
    """Return what to do about a log of a known format that holds no row of a training."""
    names = numbers(head)[1] if head is not None else []
    return f"looks like {format}, but holds no row with a loss{_named(names)}; {WHERE}"


def numbers(head: Head) -> tuple[str, list[str]]:
    """Return which format's rows the file's numbers stand in, and their names; none: ``""``.

    Whatever they are called: for files of which no name is known.
    """
    from sftdiag.sources import csv_rows, json_rows
    from sftdiag.sources.console import dicts

    text = head.first_lines(json_rows.LOOKED_AT)
    if json_rows.recognises_list(head):
        return "json-list", _names([_first_object(head.text)])
    if objects := [row for line in text if (row := json_rows.parsed(line))]:
        return "jsonl", _names(objects)
    if printed := [row for line in text for row, _ in dicts.numbers(line) if row]:
        return "console", _names(printed)
    names = csv_rows.header(head)
    mark = csv_rows.delimiter(text[0]) if text else ""
    rows = [dict(zip(names, csv_rows.cells(line, mark), strict=False)) for line in text[1:]]
    return ("csv", _names(rows)) if len(names) > 1 else ("", [])


def _first_object(text: str) -> Mapping[str, Any]:
    from sftdiag.sources import json_rows

    try:
        found, _ = json.JSONDecoder().raw_decode(text.lstrip("\ufeff \t\r\n")[1:].lstrip())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else json_rows.of_tensorboard(found)


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns that hold numbers, in the order in which they stand."""
    numbers = (name for row in rows for name, value in row.items() if as_float(value) is not None)
    return list(dict.fromkeys(numbers))


def _named(names: list[str]) -> str:
    """Return what to do where one of the columns is the loss."""
    if not names:
        return ""
    shown = ", ".join(ascii(name[:40])[1:-1] for name in names[:MOST_NAMES])
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"; its columns of numbers are {shown}{more}: --columns loss=NAME says which is the loss"


def _text(head: Head) -> str:
    text = head.text.lstrip("\ufeff \t\r\n")
    if any(line.lstrip("# ").split()[:3] == _SPACY for line in text.splitlines()):
        return (
            "spaCy's training table, whose losses are sums over the steps since the row before, "
            "of batches that grow: it holds no mean loss"
        )
    if text.startswith("<"):
        return "HTML or XML"
    if text.startswith("{"):
        try:
            content = json.loads(text) if head.whole else None
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            keys = ", ".join(ascii(str(key)[:40])[1:-1] for key in list(content)[:5]) or "none"
            return f"a JSON object without log_history (its keys are {keys})"
    format, names = numbers(head)
    if format in ("jsonl", "console") or text.startswith("{"):
        rows = "JSON lines or text in braces" if format != "console" else "text with dicts"
        return f"{rows} without a row of a training log{_named(names)}"
    if _OF_MLFLOW.match(text):
        return "MLflow's file of one metric; give the run's folder, two above it"
    if (shown := _without_a_place(head)) is not None:
        return (
            f'text whose lines tell a loss but no step, epoch or bar ("{shown[:60]}"); expected '
            'them in one line, such as "step 10 loss 2.5"'
        )
    first, *others = [*head.first_lines(2), ""]
    if any(first.count(mark) == others[0].count(mark) > 0 for mark in ",;\t"):
        return f'a table without a column of a loss (it begins "{first[:60]}"){_named(names)}'
    return f'text without a row of a log (it begins "{first[:60]}")'


def _without_a_place(head: Head) -> str | None:
    """Return the first of many lines that tell a loss and nothing that orders them."""
    from sftdiag.sources.console import pairs

    told = [line.strip() for line in head.text.splitlines() if pairs.tells_only_a_loss(line)]
    return told[0] if len(told) >= LEAST_LINES else None
