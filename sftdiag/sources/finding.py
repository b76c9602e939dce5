"""Finding: the runs at a path, which may be a file, a folder, a pattern or standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sftdiag.errors import SourceError
from sftdiag.sources.states import STATE, newest
from sftdiag.sources.trainer_state import WHERE

STDIN = "-"

MAX_DEPTH = 3
"""Folders below the given one that are searched for runs."""

MAX_FILES = 500
"""Files of one folder that are looked into: a folder of data has more."""

_PATTERN = "*?["
"""A path with one of these is a pattern where no such file is there."""

AIM = ".aim"
"""The hidden folder of Aim's repository."""

SEVERAL = (b"SQLite format 3\0", b"PAR1")
"""Begin the files that may hold several runs."""

_NO_LOGS = (
    *(".py", ".md", ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".png", ".jpg", ".svg"),
    *(".parquet", ".arrow", ".yaml", ".yml", ".toml", ".model", ".lock", ".pdf", ".npy", ".so"),
)
"""Endings of files that lie beside logs and are none: a folder's are not even opened."""

_ORDER = (
    *("ms-swift", "llama-factory", "lightning", "litgpt", "ray", "jsonl", "json-list", "csv"),
    *("wandb", "trackio", "mlflow", "swanlab", "tensorboard", "clearml", "comet", "notebook"),
    *("parquet", "json-columns", "console"),
)
"""Which of a folder's formats is read: several are mostly the same run, the fullest first."""


def find_runs(path: str | os.PathLike[str]) -> list[str]:
    """Return the runs at a path, each as what to give to :func:`sftdiag.sources.open_run`.

    A file is a run. So is a folder with a trainer_state.json or with checkpoints of one, and what a
    callback kept of a run. Any other folder is searched, three levels deep, for such folders and
    for files of any known format; of the formats in one folder the fullest is taken. A pattern
    such as ``outputs/*/trainer_state.json`` stands for what it matches.

    Raises:
        SourceError: there is nothing at the path, or no run in the folder.
    """
    given = os.fspath(path)
    if given == STDIN:
        return [given]
    if os.path.isfile(given):
        return _in_file(given)
    if os.path.isdir(given):
        runs = list(_below(given, MAX_DEPTH))
        if not runs:
            raise SourceError(given, f"no log in this folder or below; {WHERE}")
        return runs
    if "://" in given:
        raise SourceError(given, f"is a URL; download the log first: {WHERE}")
    if any(mark in given for mark in _PATTERN):
        import glob

        matched = sorted(glob.glob(given, recursive=True))
        if matched:
            return [run for one in matched for run in (find_runs(one) if _holds(one) else ())]
    if os.path.isfile(given.rpartition("::")[0]):
        return [given]
    raise SourceError(given, f"no such file or folder; {WHERE}")


def _in_file(path: str) -> list[str]:
    """Return the runs in a file: trackers' databases may hold several."""
    try:
        with open(path, "rb") as file:
            several = file.read(len(SEVERAL[0])).startswith(SEVERAL)
    except OSError:
        several = False
    if not several:
        return [path]
    from sftdiag.sources.formats import runs_in

    return runs_in(path)


def _holds(path: str) -> bool:
    """Return whether a pattern's match is a file or a folder with a run: others are passed over."""
    return os.path.isfile(path) or next(_below(path, MAX_DEPTH), None) is not None


def _below(folder: str, depth: int) -> Iterator[str]:
    if newest(folder) is not None or _is_run(folder):
        yield folder
        return
    if os.path.basename(os.path.abspath(folder)) == AIM:
        yield from _of_aim(folder)
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise SourceError(folder, f"cannot be read: {error.strerror}") from None
    below = []
    if depth:
        subs = (os.path.join(folder, name) for name in names if not name.startswith("."))
        below = [run for sub in subs if os.path.isdir(sub) for run in _below(sub, depth - 1)]
    if not any(newest(run) for run in below if os.path.isdir(run)):
        # Beside folders with the Trainer's own logs, a text is what one of them printed.
        below = [*logs_in(folder, names), *below]
    # Aim's repository is hidden, and holds what other logs there hold.
    yield from below or _of_aim(os.path.join(folder, AIM))


def _of_aim(repository: str) -> list[str]:
    if not os.path.isdir(repository):
        return []
    from sftdiag.sources.aim_repo import runs

    return runs(repository)


def _is_run(folder: str) -> bool:
    """Return whether the folder is one run of a tracker's."""
    from sftdiag.sources.formats import of_folder

    return of_folder(folder) is not None


def logs_in(folder: str, names: list[str]) -> list[str]:
    """Return the logs among a folder's files: all of the fullest format there."""
    from sftdiag.sources import formats
    from sftdiag.sources.opening import Head

    found: dict[str, list[str]] = {}
    files = [n for n in names if not n.startswith(".") and not n.lower().endswith(_NO_LOGS)]
    for name in files[:MAX_FILES]:
        path = os.path.join(folder, name)
        if not os.path.isfile(path) or name == STATE:
            continue
        try:
            format = formats.recognised(Head(path))
        except SourceError:
            continue
        if format is not None:
            found.setdefault(format.name, []).append(path)
    best = min(found, key=_ORDER.index, default=None)
    files = found[best] if best is not None else []
    return [run for file in files for run in _in_file(file)]
