"""Notes: what is to be known of how a log was read, in a language."""

from __future__ import annotations

from sftdiag import texts
from sftdiag.sources import TRAINER_STATE, Run


def told(run: Run, language: str) -> tuple[str, ...]:
    """Return a run's notes as sentences, the format first, but of the Trainer's own log."""
    words = texts.load(__file__, "notes", language)
    notes = tuple(texts.counted(words[key].format(**values)) for key, values in run.notes)
    if run.format == TRAINER_STATE:
        return notes
    return (words["read_as"].format(format=words["formats"].get(run.format, run.format)), *notes)
