"""The bytecode of a command's modules in one file, beside Python's own.

``sftdiag analyze`` loads a hundred modules; finding, opening and reading as many files costs a
fifteenth of its time on a small log. So the first process that runs a command keeps what it loaded,
and a later one reads one file. A module whose source has changed since, that is not in the file or
is damaged there is imported as ever, and so are all where nothing can be written.
"""

from __future__ import annotations

import marshal
import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    Place = tuple[str, tuple[int, int] | None, int, int]
    """A module's source, when it was written in ns and its size; where its code is in the rest."""

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

MADE_BY = (MAGIC_NUMBER, PACKAGE)
"""Code is this Python's, and of these sources, not of those that they were copied from."""


class _Loader(SourceFileLoader):
    """Loads a module whose code is at hand."""

    def __init__(self, name: str, path: str, code: memoryview) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code; from Python's own file where this one is damaged."""
        try:
            code = marshal.loads(self._code)
        except (EOFError, ValueError, TypeError):
            code = None
        return code if isinstance(code, CodeType) else super().get_code(fullname)


class Kept:
    """What earlier processes kept of a command's modules; one of ``sys.meta_path``."""

    def __init__(self, command: str) -> None:
        self.path = cache_from_source(os.path.join(PACKAGE, f"modules-of-{command}.py"))
        self._before = set(sys.modules)
        self._places: dict[str, Place] = {}
        self._codes = memoryview(b"")
        try:
            with open(self.path, "rb") as file:
                made_by, places = marshal.load(file)
                if made_by == MADE_BY:
                    self._places, self._codes = places, memoryview(file.read())
        except (OSError, EOFError, ValueError, TypeError):
            return

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module that is here as its source is now, else None."""
        place = self._places.get(name)
        if place is None or _written(place[0]) != place[1]:
            return None
        source, _, start, end = place
        loader = _Loader(name, source, self._codes[start:end])
        folder, base = os.path.split(source)
        spec = ModuleSpec(name, loader, origin=source, is_package=base == "__init__.py")
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(folder)
        return spec

    def keep(self) -> None:
        """Write down what this process has loaded, where not all of it was here."""
        loaders = {
            name: getattr(module, "__loader__", None)
            for name, module in sys.modules.items()
            if name.startswith("sftdiag.") and name not in self._before
        }
        if sys.dont_write_bytecode or all(type(loader) is _Loader for loader in loaders.values()):
            return
        # What other runs of the command have needed stays.
        codes = {
            name: (source, written, bytes(self._codes[start:end]))
            for name, (source, written, start, end) in self._places.items()
            if _written(source) == written
        }
        for name, loader in loaders.items():
            if isinstance(loader, SourceFileLoader):
                # In this order: a source that changes in between is a changed one.
                written = _written(loader.path)
                with suppress(OSError, SyntaxError):
                    codes[name] = loader.path, written, marshal.dumps(loader.get_code(name))
        places: dict[str, Place] = {}
        end = 0
        for name, (source, written, code) in codes.items():
            places[name] = source, written, end, end + len(code)
            end += len(code)
        from sftdiag.texts import write_whole

        whole = (marshal.dumps((MADE_BY, places)), *(code for _, _, code in codes.values()))
        write_whole(self.path, b"".join(whole))


def _written(source: str) -> tuple[int, int] | None:
    """Return when a source was written and its size, or None where it is gone."""
    try:
        state = os.stat(source)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
