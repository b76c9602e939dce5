"""Sources: from a path to the rows of a run and what its files say of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

from sftdiag.context import RunContext
from sftdiag.errors import SourceError
from sftdiag.findings import StepRows
from sftdiag.hints import TYPE_CHECKING, Any
from sftdiag.observations import Outcome
from sftdiag.sources import decoding, journal, model_files, states, trainer_state
from sftdiag.sources.finding import STDIN, find_runs
from sftdiag.sources.states import STATE, checkpoints
from sftdiag.values import EMPTY, Value

__all__ = ("KEPT", "STATE", "Run", "checkpoints", "find_runs", "kept", "open_run")

CONTEXT_FILE = ("_sftdiag", "context.json")
"""Where the callback keeps what it knows of the run, below the run's folder."""

CHECKS_FILE = ("_sftdiag", "preflight.json")
"""Where the callback keeps what the checks before step 1 said."""

KEPT = "_sftdiag"
"""The folder in which a callback keeps what it knows; most runs have none."""

KEEPS_ITS_CONSOLE = ("axolotl",)
"""Frameworks whose console is kept in the run's own folder, where it is the framework's log."""

PEEK_BYTES = 4096
"""Bytes that tell a trainer_state.json, so that the most frequent log loads no other reader."""

TRAINER_STATE = "trainer_state"
"""The format of the Trainer's own log."""

if TYPE_CHECKING:
    from typing import TypeVar

    _Kept = TypeVar("_Kept", bound=Value)


class Run(Value):
    """A run on disk: where it was read, its rows as written, and what is known of it.

    ``starts``: how it was started and resumed, as far as a callback kept it. ``format``: how it was
    read; ``notes``: what that hides, as keys of notes.toml with their numbers. ``columns``: the
    tool's names to the Trainer's, None for those not known. ``checkpoints``: the steps of those in
    the run's folder.
    """

    path: str
    entries: Iterable[Mapping[str, Any]]
    context: RunContext
    starts: tuple[journal.Segment, ...] = ()
    checked: Outcome = Outcome()
    format: str = TRAINER_STATE
    notes: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    columns: Mapping[str, str | None] = EMPTY
    rows: tuple[StepRows, ...] = ()
    checkpoints: tuple[int, ...] = ()


def open_run(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] = EMPTY,
    logging_steps: int | None = None,
) -> Run:
    """Read one run: a log of any known format, a checkpoint's folder or a run's folder.

    Of a run's folder the newest state is read: the one at the highest step.

    Args:
        path: the log, or ``-`` for standard input.
        columns: the Trainer's name to the log's, for names that are not known.
        logging_steps: steps between two rows, for logs that show no step.

    Raises:
        SourceError: one line that says what the file looks like and what was expected.
    """
    given = os.fspath(path)
    if given == STDIN:
        return _from_stdin(columns, logging_steps)
    state = states.newest(given) if os.path.isdir(given) else None
    runs = [given] if state is not None else find_runs(given)
    if len(runs) > 1:
        raise SourceError(given, f"holds {len(runs)} runs ({runs[0]}, ...); expected one")
    if state is None and os.path.isdir(runs[0]):
        state = states.newest(runs[0])
    if state is None:
        return _open_file(given, runs[0], columns, logging_steps)
    try:
        return _open_state(given, state, columns)
    except SourceError:
        # A process that is killed while it saves leaves a torn one; the one before it is whole.
        for older in states.older(runs[0], state):
            try:
                run = _open_state(given, older, columns)
                torn, read = (os.path.relpath(each, runs[0]) for each in (state, older))
                return run.replace(notes=(("torn", {"torn": torn, "read": read}),))
            except SourceError:
                continue
        raise


def _open_file(given: str, path: str, columns: Mapping[str, str], logging_steps: int | None) -> Run:
    if os.path.isfile(path) and _is_state(path):
        return _open_state(given, path, columns)
    from sftdiag.sources import formats

    log = formats.read(path, columns, logging_steps)
    _find_columns(given, log.rows, log.columns.seen, columns)
    known = log.context
    here = os.path.abspath(path)
    folders: tuple[str, ...] = (here if os.path.isdir(here) else os.path.dirname(here),)
    beside = kept(folders, CONTEXT_FILE, RunContext()).plausible()
    if log.in_run_folder or beside.framework in KEEPS_ITS_CONSOLE:
        known = known.filled_from(beside).filled_from(model_files.context(folders))
    else:
        folders = ()
    entries = log.rows
    if folders:
        from sftdiag.sources import every_step

        if seen := next((seen for f in folders if (seen := every_step.read(f))), []):
            entries = every_step.merged(list(entries), seen, beyond=True)
    from sftdiag.sources import probes, step_rows

    if probed := next((rows for f in folders if (rows := probes.read(f))), []):
        entries = probes.merged(list(entries), probed)
    return Run(
        given,
        entries,
        known,
        tuple(next((led for f in folders if (led := journal.starts(journal.read(f)))), [])),
        kept(folders, CHECKS_FILE, Outcome()),
        log.format,
        tuple((note.key, note.values) for note in log.notes),
        dict(log.columns.seen),
        tuple(next((behind for f in folders if (behind := step_rows.read(f))), [])),
        tuple(step for folder in folders for step in checkpoints(folder)),
    )


def _find_columns(
    given: str,
    rows: Iterable[Mapping[str, Any]],
    seen: Mapping[str, object],
    own: Mapping[str, str],
) -> None:
    """Refuse a log without a column that the user named: another one would be taken for it.

    An evaluation's may be still to come, in a log that grows.
    """

    def absent() -> list[str]:
        asked = {name: column for name, column in own.items() if not name.startswith("eval_")}
        return [f"{name}={column}" for name, column in asked.items() if column not in seen]

    # A row behind the first ones may bring it.
    if absent() and all(absent() for _ in rows):
        names = ", ".join(seen) or "none"
        raise SourceError(
            given, f"--columns {','.join(absent())}: no such column; its columns are {names}"
        )


def _open_state(given: str, state: str, columns: Mapping[str, str] = EMPTY) -> Run:
    content = states.read(state)
    entries = trainer_state.entries(state, content)
    if columns:
        _find_columns(given, entries, {name: name for row in entries for name in row}, columns)
        asked = {column: name for name, column in columns.items()}
        entries = [{**row, **{asked[c]: row[c] for c in row if c in asked}} for row in entries]
    folder = os.path.dirname(os.path.abspath(state))
    # A checkpoint's run is the folder above it; any other folder's parent is not this run's.
    in_checkpoint = _is_checkpoint(state)
    folders = (folder, os.path.dirname(folder)) if in_checkpoint else (folder,)
    own = trainer_state.context(content)
    if not any(os.path.isdir(os.path.join(each, KEPT)) for each in folders):
        known = own.filled_from(model_files.context(folders))
        return Run(given, entries, known, checkpoints=tuple(checkpoints(folders[-1])))
    from sftdiag.sources import every_step, probes, step_rows

    known = kept(folders, CONTEXT_FILE, RunContext()).plausible()
    if known.max_steps is not None:
        # The state's epochs are rounded up from max_steps where that was given; the callback saw.
        own = own.replace(num_train_epochs=known.num_train_epochs)
    beside = known.filled_from(model_files.context(folders))
    led = next((led for f in folders if (led := journal.starts(journal.read(f)))), [])
    context = own.filled_from(beside)
    probed = next((rows for f in folders if (rows := probes.read(f))), [])
    seen = next((seen for f in folders if (seen := every_step.read(f))), [])
    # What a run did after its newest checkpoint counts, unless that checkpoint was asked for.
    whole = every_step.merged(entries, seen, beyond=not _is_checkpoint(given))
    return Run(
        given,
        probes.merged(whole, probed),
        context,
        tuple(led),
        kept(folders, CHECKS_FILE, Outcome()),
        rows=tuple(next((behind for f in folders if (behind := step_rows.read(f))), [])),
        checkpoints=tuple(checkpoints(folders[-1])),
    )


def _from_stdin(columns: Mapping[str, str], logging_steps: int | None) -> Run:
    """Read standard input through a file: most formats are read twice, and it may be large."""
    import shutil
    import tempfile

    from sftdiag.sources.log import Again

    folder = tempfile.TemporaryDirectory(prefix="sftdiag-")
    path = os.path.join(folder.name, "stdin")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    try:
        run = _open_file(STDIN, path, columns, logging_steps)
    except SourceError as error:
        raise SourceError(STDIN, error.problem) from None
    # The file goes when the rows do, and they are read once more.
    if isinstance(run.entries, Again):
        run.entries.holds = folder
        return run
    return run.replace(entries=list(run.entries))


def _is_checkpoint(path: str) -> bool:
    """Return whether a path is a checkpoint's folder, or a file in one."""
    path = os.path.abspath(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    return os.path.basename(folder).startswith("checkpoint-")


def _is_state(path: str) -> bool:
    """Return whether a file is a JSON object as the Trainer writes it, however damaged."""
    try:
        with open(path, "rb") as file:
            data = file.read(PEEK_BYTES)
    except OSError:
        return True
    text = data.decode(decoding.encoding(data), "replace").lstrip("\ufeff \t\r\n")
    if not text.startswith("{") or text[1:].lstrip()[:1] not in ('"', "}", ""):
        return False
    if '"log_history"' in text:
        return "global_step/max_steps" not in text
    lines = text.split("\n", 2)
    whole = lines[0].rstrip().endswith("}") or len(data) < PEEK_BYTES
    return not whole and '"cells"' not in text and len(lines) > 1


def kept(folders: tuple[str, ...], name: tuple[str, str], unknown: _Kept) -> _Kept:
    """Return what a callback kept of the run; an unreadable file says nothing."""
    for folder in folders:
        path = os.path.join(folder, *name)
        if os.path.isfile(path):
            import json  # most runs keep none

            try:
                with open(path, encoding="utf-8") as file:
                    return type(unknown).from_dict(json.load(file))
            except (OSError, ValueError, TypeError, AttributeError, RecursionError):
                continue
    return unknown
