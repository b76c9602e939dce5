"""The exceptions sftdiag raises on purpose; each prints as one line that a user can act on."""

from __future__ import annotations


class SftdiagError(Exception):
    """Base class: catch it to catch everything that sftdiag raises on purpose."""


def printable(text: str) -> str:
    """Return the text on one line: names of files and keys may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class SourceError(SftdiagError):
    """A log that cannot be read: says which file and what was expected, on one line."""

    def __init__(self, path: object, problem: str) -> None:
        self.path = str(path)
        self.problem = problem
        super().__init__(printable(f"{self.path}: {problem}"))


class ConfigError(SftdiagError):
    """A setting that does not exist or has a value outside its domain."""


class UnhealthyRunError(SftdiagError):
    """A run that a policy (``raise_on=`` or ``Report.raise_for``) does not let pass."""
