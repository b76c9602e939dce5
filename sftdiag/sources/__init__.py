"""Sources: from a path to the rows of a run and what its files say of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from sftdiag.context import RunContext
from sftdiag.errors import SourceError
from sftdiag.observations import Outcome
from sftdiag.sources import decoding, journal, model_files, probes, trainer_state
from sftdiag.values import Value

STATE = "trainer_state.json"

CONTEXT_FILE = ("_sftdiag", "context.json")
"""Where the callback keeps what it knows of the run, below the run's folder."""

CHECKS_FILE = ("_sftdiag", "preflight.json")
"""Where the callback keeps what the checks before step 1 said."""

MAX_DEPTH = 3
"""Folders below the given one that are searched for runs."""

_Kept = TypeVar("_Kept", bound=Value)

_GIT_LFS = "version https://git-lfs"


class Run(Value):
    """A run on disk: where it was read, its rows as written, and what is known of it.

    ``starts``: how it was started and resumed, as far as a callback kept it.
    """

    path: str
    entries: list[Mapping[str, Any]]
    context: RunContext
    starts: tuple[journal.Segment, ...] = ()
    checked: Outcome = Outcome()


def find_runs(path: str | os.PathLike[str]) -> list[str]:
    """Return the runs at a path, each as the file or folder to give to :func:`open_run`.

    A file is a run. So is a folder with a trainer_state.json or with checkpoints of one; any other
    folder is searched for such folders, three levels deep.

    Raises:
        SourceError: there is nothing at the path, or no run in the folder.
    """
    given = os.fspath(path)
    if os.path.isfile(given):
        return [given]
    if not os.path.isdir(given):
        raise SourceError(given, f"no such file or folder; expected a {STATE} or a run's folder")
    runs = _runs_below(given, MAX_DEPTH)
    if not runs:
        raise SourceError(given, f"no {STATE} in this folder, its checkpoints or below")
    return runs


def open_run(path: str | os.PathLike[str]) -> Run:
    """Read one run: a trainer_state.json, a checkpoint's folder or a run's folder.

    Of a run's folder the newest state is read: the one at the highest step.

    Raises:
        SourceError: one line that says which file and what was expected.
    """
    given = os.fspath(path)
    runs = find_runs(given)
    if len(runs) > 1:
        raise SourceError(given, f"holds {len(runs)} runs ({runs[0]}, ...); expected one")
    state = _newest_state(runs[0]) if os.path.isdir(runs[0]) else runs[0]
    if state is None:
        raise SourceError(given, f"no {STATE} in this folder")
    content = _read_json(state)
    entries = trainer_state.entries(state, content)
    folder = os.path.dirname(os.path.abspath(state))
    # A checkpoint's run is the folder above it; any other folder's parent is not this run's.
    in_checkpoint = os.path.basename(folder).startswith("checkpoint-")
    folders = (folder, os.path.dirname(folder)) if in_checkpoint else (folder,)
    known = kept(folders, CONTEXT_FILE, RunContext()).plausible()
    own = trainer_state.context(content)
    if known.max_steps is not None:
        # The state's epochs are rounded up from max_steps where that was given; the callback saw.
        own = own.replace(num_train_epochs=known.num_train_epochs)
    beside = known.filled_from(model_files.context(folders))
    led = next((led for f in folders if (led := journal.starts(journal.read(f)))), [])
    context = own.filled_from(beside)
    probed = next((rows for f in folders if (rows := probes.read(f))), [])
    return Run(
        given,
        probes.merged(entries, probed),
        context,
        tuple(led),
        kept(folders, CHECKS_FILE, Outcome()),
    )


def checkpoints(folder: str) -> list[int]:
    """Return the steps of the checkpoints in a run's folder, in order."""
    try:
        parts = [name.rpartition("-") for name in os.listdir(folder)]
    except OSError:
        return []
    return sorted(int(n) for prefix, _, n in parts if prefix == "checkpoint" and n.isdecimal())


def kept(folders: tuple[str, ...], name: tuple[str, str], unknown: _Kept) -> _Kept:
    """Return what a callback kept of the run; an unreadable file says nothing."""
    for folder in folders:
        path = os.path.join(folder, *name)
        if os.path.isfile(path):
            try:
                with open(path, encoding="utf-8") as file:
                    return type(unknown).from_dict(json.load(file))
            except (OSError, ValueError, TypeError, AttributeError, RecursionError):
                continue
    return unknown


def _read_json(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            content = file.read()
        if (value := decoding.quickly(content)) is not decoding.NOTHING:
            return value
        # By its first bytes: PowerShell writes UTF-16.
        text = content.decode(json.detect_encoding(content))
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        problem = f"is no text in UTF-8 (byte {error.start})"
        raise SourceError(path, f"{problem}; {trainer_state.EXPECTED}") from None
    if text.startswith(_GIT_LFS):
        raise SourceError(path, "is a Git LFS pointer, not the log; run `git lfs pull`")
    if not text.strip():
        raise SourceError(path, f"is empty; {trainer_state.EXPECTED}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        shown = text.rstrip()
        cut = text.lstrip()[0] in "{[" and (shown[-1] not in "}]" or error.pos >= len(shown))
        problem = "JSON that ends too early" if cut else "not JSON"
        where = f"{problem} (line {error.lineno})"
        raise SourceError(path, f"{where}; {trainer_state.EXPECTED}") from None
    except (ValueError, RecursionError) as error:
        # Python reads whole numbers of up to 4300 digits.
        deep = isinstance(error, RecursionError)
        problem = "JSON nested too deep" if deep else "a number of too many digits"
        raise SourceError(path, f"holds {problem}; {trainer_state.EXPECTED}") from None


def _runs_below(folder: str, depth: int) -> list[str]:
    if _newest_state(folder) is not None:
        return [folder]
    if depth == 0:
        return []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise SourceError(folder, f"cannot be read: {error.strerror}") from None
    below = (os.path.join(folder, name) for name in names if not name.startswith("."))
    return [run for sub in below if os.path.isdir(sub) for run in _runs_below(sub, depth - 1)]


def _newest_state(folder: str) -> str | None:
    """Return the state at the highest step among the folder's own and its checkpoints'."""
    states = ((n, os.path.join(folder, f"checkpoint-{n}", STATE)) for n in checkpoints(folder))
    newest, step = None, -1
    for number, state in states:
        if os.path.isfile(state):
            newest, step = state, number
    own = os.path.join(folder, STATE)
    if not os.path.isfile(own):
        return newest
    if newest is None:
        return own
    try:
        content = _read_json(own)
    except SourceError:
        return newest
    reached = content.get("global_step") if isinstance(content, Mapping) else None
    return own if not isinstance(reached, int) or reached >= step else newest
