"""All modules that commands have loaded, their bytecode in one file beside that of each.

Python looks for a hundred modules in turn, in several places each, and reads as many files: as long
as a small log takes to judge. Here each costs a look at its source, which must still have the size
and the time that the bytecode is of, as for Python. What is not in the file, or changed since,
Python finds as ever, and is in it the next time.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Mapping
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader

from sftdiag.hints import Any

PACKAGE = "sftdiag."

_NUMBER = 4
"""Bytes of a number: the file begins with the length of the table behind it. The header of Python's
own files is four: its version, flags, and the source's time and size."""

_Place = tuple[str, str | None, tuple[int, int], int, int]
"""A module's file, where Python keeps its bytecode, the file's time and size; where its bytecode
begins here, behind the table, and its length."""

_LAYOUT = 2
"""Of the file: one with another, of another version of this module, is written anew."""


class _Loader(SourceFileLoader):
    """Loads a module whose bytecode is known."""

    def __init__(self, name: str, path: str, code: bytes) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> Any:
        """Return the module's code."""
        return marshal.loads(self._code)


class Bytecode:
    """Finds modules in the file before Python looks for them, and keeps there what it had to.

    A context: at its end the file is written anew where it lacked something.

    Args:
        program: the module that the process runs, beside whose bytecode the file is; None, as that
            of a script, has none, nor has what Python runs without a file of its own.
    """

    def __init__(self, program: ModuleSpec | None) -> None:
        beside = program.cached if program is not None else None
        self._path = f"{beside}.all" if beside and hasattr(os, "pread") else None
        # Copied elsewhere, it would name the files of another place.
        self._of = (_LAYOUT, sys.version, program.origin if program is not None else None)
        self._table: Mapping[str, _Place | None] = {}
        self._missed: list[str] = []
        self._file, self._begin = -1, 0

    def __enter__(self) -> None:
        if self._path is not None:
            self._open(self._path)
            sys.meta_path.insert(0, self)

    def __exit__(self, *raised: object) -> None:
        if self._path is None:
            return
        sys.meta_path.remove(self)
        if any(name in sys.modules for name in self._missed):
            self._keep(self._path)
        if self._file >= 0:
            os.close(self._file)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return where a module is, or None where Python has to look for it."""
        if not name.startswith(PACKAGE):
            return None
        place = self._table.get(name)
        if place is not None and (code := self._code(place)) is not None:
            return _spec(name, place[0], place[1], code)
        if place is not None or name not in self._table:
            self._missed.append(name)
        return None

    def _open(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY)
            length = int.from_bytes(os.pread(self._file, _NUMBER, 0), "little")
            of, table = marshal.loads(os.pread(self._file, length, _NUMBER))
        except (OSError, EOFError, ValueError, TypeError):
            return
        if of == self._of:
            self._table, self._begin = table, _NUMBER + length

    def _code(self, place: _Place) -> bytes | None:
        """Return a module's bytecode, none of one in C; None where its file has changed."""
        path, _, state, start, length = place
        try:
            if _state(os.stat(path)) != state:
                return None
            code = os.pread(self._file, length, self._begin + start) if length else b""
        except OSError:
            return None
        return code if len(code) == length else None

    def _keep(self, path: str) -> None:
        if sys.dont_write_bytecode or not os.access(os.path.dirname(path), os.W_OK):
            return
        from sftdiag.texts import write_whole

        names = [name for name in sys.modules if name.startswith(PACKAGE)]
        # What cannot be kept stands here too: that it is missing is no news the next time.
        table: dict[str, _Place | None] = dict.fromkeys((*self._table, *names))
        codes, start = [], 0
        for name in table:
            place = self._table.get(name)
            code = self._code(place) if place is not None else None
            if place is None or code is None:
                module = sys.modules.get(name)
                found = _compiled(module.__spec__) if module is not None else None
                if found is None:
                    continue
                place, code = found
            table[name] = (*place[:3], start, len(code))
            codes.append(code)
            start += len(code)
        head = marshal.dumps((self._of, table))
        write_whole(path, b"".join((len(head).to_bytes(_NUMBER, "little"), head, *codes)))


def _state(found: os.stat_result) -> tuple[int, int]:
    """Return the time and size of a file, as they stand in a header."""
    return int(found.st_mtime) & 0xFFFF_FFFF, found.st_size & 0xFFFF_FFFF


def _spec(name: str, path: str, cached: str | None, code: bytes) -> ModuleSpec:
    loader = _Loader(name, path, code) if code else ExtensionFileLoader(name, path)
    spec = ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    # Python would make it up again.
    spec.cached = cached
    folder, file = os.path.split(path)
    if file.startswith("__init__."):
        spec.submodule_search_locations = [folder]
    return spec


def _compiled(spec: ModuleSpec | None) -> tuple[_Place, bytes] | None:
    """Return where a loaded module is, and its bytecode as Python keeps it; None without."""
    if spec is None or spec.origin is None:
        return None
    from importlib.util import MAGIC_NUMBER

    try:
        state = _state(os.stat(spec.origin))
        place = (spec.origin, spec.cached, state, 0, 0)
        if type(spec.loader) is ExtensionFileLoader:
            return place, b""
        if not isinstance(spec.loader, SourceFileLoader) or spec.cached is None:
            return None
        with open(spec.cached, "rb") as file:
            content = file.read()
    except OSError:
        return None
    # With flags it is of the source's content, not of its time and size.
    numbers = b"".join(number.to_bytes(_NUMBER, "little") for number in (0, *state))
    header = MAGIC_NUMBER + numbers
    return (place, content[len(header) :]) if content.startswith(header) else None
