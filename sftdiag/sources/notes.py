"""Notes: what is to be known of how a log was read, in a language."""

from __future__ import annotations

from sftdiag import texts
from sftdiag.sources import Run


def told(run: Run, language: str) -> tuple[str, ...]:
    """Return a run's notes as sentences, the format first."""
    words = texts.load(__file__, "notes", language)
    read_as = words["read_as"].format(format=words["formats"].get(run.format, run.format))
    return (read_as, *(words[key].format(**values) for key, values in run.notes))
