"""The exceptions sftdiag raises on purpose; each prints as one line that a user can act on."""

from __future__ import annotations


class SftdiagError(Exception):
    """Base class: catch it to catch everything that sftdiag raises on purpose."""


class SourceError(SftdiagError):
    """A log that cannot be read: says which file and what was expected."""

    def __init__(self, path: object, problem: str) -> None:
        self.path = str(path)
        self.problem = problem
        super().__init__(f"{self.path}: {problem}")


class ConfigError(SftdiagError):
    """A setting that does not exist or has a value outside its domain."""


class UnhealthyRunError(SftdiagError):
    """A run that a policy (``raise_on=`` or ``Report.raise_for``) does not let pass."""
