"""Finding: the runs below folders, however deep, and what tells whether one has changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from sftdiag.errors import SourceError
from sftdiag.sources import KEPT, STATE, checkpoints

BESIDE = ("config.json", "adapter_config.json")
"""Files beside the log of which a diagnosis makes use."""

Signature = tuple[tuple[str, int, int], ...]
"""Name, size and time of change in nanoseconds of each file that a diagnosis reads."""


def runs_below(roots: Sequence[str]) -> list[str]:
    """Return the runs below the given folders, each once, in order; a file is a run.

    A folder with a trainer_state.json, its own or a checkpoint's, is a run, and is not searched
    further; in any other, files of every known format are.

    Raises:
        SourceError: there is nothing at a path, or no run below any of them.
    """
    seen: set[tuple[int, int]] = set()
    found: list[str] = []
    for root in roots:
        if os.path.isdir(root):
            found += _below(root, seen)
        elif os.path.exists(root):
            found.append(root)
        else:
            raise SourceError(root, "no such file or folder; expected folders with runs below them")
    if not found:
        raise SourceError(", ".join(roots), f"no {STATE} in these folders or below")
    return list(dict.fromkeys(found))


def _below(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        place = os.stat(folder)
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    # A link to a folder above would be searched for ever.
    if (place.st_dev, place.st_ino) in seen:
        return
    seen.add((place.st_dev, place.st_ino))
    if _is_run(inside):
        yield folder
        return
    # Logs of other tools are known by what they hold.
    from sftdiag.sources.finding import logs_in
    from sftdiag.sources.formats import of_folder

    if of_folder(folder) is not None:
        yield folder
        return
    subs = [e.path for e in inside if not e.name.startswith(".") and e.is_dir()]
    below = [run for sub in subs for run in _below(sub, seen)]
    names = [entry.name for entry in inside if entry.is_file()]
    if names and not any(map(os.path.isdir, below)):
        # Beside folders of runs, a text is what one of them printed.
        yield from logs_in(folder, names)
    yield from below


def _is_run(inside: Sequence[os.DirEntry[str]]) -> bool:
    return any(
        entry.name == STATE
        or (
            entry.name.startswith("checkpoint-") and os.path.isfile(os.path.join(entry.path, STATE))
        )
        for entry in inside
    )


def signature(run: str) -> Signature:
    """Return what changes with a run's log or with what is kept beside it."""
    if not os.path.isdir(run):
        # One of several in a file is named behind it.
        folder, name = os.path.split(run if os.path.exists(run) else run.rpartition("::")[0])
        return (*_state_of(folder, (name, *BESIDE)), *_kept(folder))
    steps = checkpoints(run)
    folders = ("", *(f"checkpoint-{step}" for step in steps[-1:]))
    names = [os.path.join(folder, name) for folder in folders for name in (STATE, *BESIDE)]
    if not any(os.path.isfile(os.path.join(run, name)) for name in names if STATE in name):
        walked = ((place, name) for place, _, files in os.walk(run) for name in sorted(files))
        names = [os.path.relpath(os.path.join(*parts), run) for parts in walked]
    return (*_state_of(run, names), *_kept(run))


def _state_of(folder: str, names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    for name in names:
        try:
            state = os.stat(os.path.join(folder, name))
        except OSError:
            continue
        yield name, state.st_size, state.st_mtime_ns


def _kept(folder: str) -> Iterator[tuple[str, int, int]]:
    try:
        names = sorted(os.listdir(os.path.join(folder, KEPT)))
    except OSError:
        return iter(())
    return _state_of(folder, [os.path.join(KEPT, name) for name in names])


def modified(files: Signature) -> float:
    """Return when the newest of the files was written, in seconds since 1970."""
    return max((time for _, _, time in files), default=0) / 1e9
