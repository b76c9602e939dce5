"""States: the trainer_state.json files of a run's folder and its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sftdiag.errors import SourceError
from sftdiag.hints import Any
from sftdiag.sources import decoding, trainer_state

STATE = "trainer_state.json"


def checkpoints(folder: str) -> list[int]:
    """Return the steps of the checkpoints in a run's folder, in order."""
    try:
        parts = [name.rpartition("-") for name in os.listdir(folder)]
    except OSError:
        return []
    return sorted(int(n) for prefix, _, n in parts if prefix == "checkpoint" and n.isdecimal())


def newest(folder: str) -> str | None:
    """Return the state at the highest step among the folder's own and its checkpoints'."""
    states = ((n, os.path.join(folder, f"checkpoint-{n}", STATE)) for n in checkpoints(folder))
    found, step = None, -1
    for number, state in states:
        if os.path.isfile(state):
            found, step = state, number
    own = os.path.join(folder, STATE)
    if not os.path.isfile(own):
        return found
    if found is None:
        return own
    try:
        content = read(own)
    except SourceError:
        return found
    reached = content.get("global_step") if isinstance(content, Mapping) else None
    return own if not isinstance(reached, int) or reached >= step else found


def older(folder: str, than: str) -> list[str]:
    """Return the states of the other checkpoints, the newest first."""
    found = (os.path.join(folder, f"checkpoint-{n}", STATE) for n in reversed(checkpoints(folder)))
    return [state for state in found if state != than and os.path.isfile(state)]


def read(path: str) -> Any:
    """Return a JSON file's content.

    Raises:
        SourceError: it is none; one line says what it is and what was expected.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise SourceError(path, f"cannot be read: {error.strerror}") from None
    if (value := decoding.quickly(content)) is not decoding.NOTHING:
        return value
    text = _text(path, content)
    if (value := decoding.scanned(text)) is not decoding.NOTHING:
        return value
    import json  # says what is wrong with it

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


def _text(path: str, content: bytes) -> str:
    try:
        # By its first bytes: PowerShell writes UTF-16.
        text = content.decode(decoding.encoding(content))
    except UnicodeDecodeError as error:
        problem = f"is no text in UTF-8 (byte {error.start})"
        raise SourceError(path, f"{problem}; {trainer_state.EXPECTED}") from None
    if not text.strip():
        raise SourceError(path, f"is empty; {trainer_state.EXPECTED}")
    return text
