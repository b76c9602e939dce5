"""What a file that is no log looks like, and where the log is: one line for each kind."""

from __future__ import annotations

import json

from sftdiag.sources.opening import Head
from sftdiag.sources.trainer_state import WHERE

FINDINGS = '{"event": "'
"""Begins what the callback says of a run, beside the run's log."""

_MAGIC = (
    (b"version https://git-lfs", "a Git LFS pointer, not the log; run `git lfs pull`"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet file"),
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
    if not head.text:
        return f"is no text and no tracker's file that is known; {WHERE}"
    return f"looks like {_text(head)}; {WHERE}"


def no_row(format: str) -> str:
    """Return what to do about a file of a known format that holds no row of a training."""
    return (
        f"looks like {format}, but holds no row with a loss; `sftdiag columns` shows what its "
        f"columns are read as, --columns loss=NAME names one; {WHERE}"
    )


def _text(head: Head) -> str:
    text = head.text.lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        return "HTML or XML"
    if text.startswith(("{", "[")):
        try:
            content = json.loads(text) if head.whole else None
        except (ValueError, RecursionError):
            return "JSON lines or text in braces without a row of a training log"
        if isinstance(content, dict):
            keys = ", ".join(ascii(str(key)[:40])[1:-1] for key in list(content)[:5]) or "none"
            return f"a JSON object without log_history (its keys are {keys})"
    first, *others = [*head.first_lines(2), ""]
    is_table = any(first.count(mark) == others[0].count(mark) > 0 for mark in ",;\t")
    kind = "a table without a column of a loss" if is_table else "text without a row of a log"
    first = first[:60]
    return f'{kind} (it begins "{first}")'
