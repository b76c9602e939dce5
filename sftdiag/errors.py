"""The exceptions sftdiag raises on purpose; each prints as one line that a user can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sftdiag.hints import Any, Self


class SftdiagError(Exception):
    """Base class: catch it to catch everything that sftdiag raises on purpose.

    Attributes:
        key: names the sentence, for the command line's other language; None where it has none.
        values: the sentence's numbers and names.
    """

    key: str | None = None
    values: Mapping[str, Any] = MappingProxyType({})

    def keyed(self, key: str, **values: Any) -> Self:
        """Return this error with the name of its sentence."""
        self.key, self.values = key, values
        return self


def printable(text: str) -> str:
    """Return the text on one line: names of files and keys may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def meant(given: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` where one of the names is near, else nothing."""
    from difflib import get_close_matches

    names = {name.lower(): name for name in known}
    near = get_close_matches(given.lower(), names, 1)
    return f"; did you mean {names[near[0]]}?" if near else ""


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
