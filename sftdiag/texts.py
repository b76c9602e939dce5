"""Texts: the toml files beside the units, one table a language.

A file is parsed once and kept beside the bytecode, as Python keeps modules: parsing, and loading
the parser, is more than a small log takes to judge.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Mapping
from functools import cache

from sftdiag.errors import ConfigError
from sftdiag.hints import Any

LANGUAGES = ("en", "zh")

Texts = Mapping[str, Any]
"""The texts of a unit in one language."""

_COUNTED = (
    *("steps", "records", "log rows", "rows", "epochs", "evaluations", "tokens"),
    *("training rows", "evaluation rows", "samples", "prompts", "runs", "trials", "ranks"),
)
_ONES = tuple(f"1 {what}" for what in _COUNTED)


def counted(text: str) -> str:
    """Return an English sentence with the singular where it counts one; others stay as they are.

    Examples:
        >>> counted("1 steps, 21 steps and 0.1 epochs, of 1 rows")
        '1 step, 21 steps and 0.1 epochs, of 1 row'
    """
    # Not by a regular expression: to compile one takes as long as hundreds of sentences.
    for many in _ONES:
        start = text.find(many)
        while start >= 0:
            end = start + len(many)
            before, after = text[start - 1 : start], text[end : end + 1]
            if not before.isdecimal() and before not in (".", ",") and not _in_a_word(after):
                text = text[: end - 1] + text[end:]
            start = text.find(many, start + 1)
    return text


def _in_a_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def check_language(language: str) -> str:
    """Return the language.

    Raises:
        ConfigError: there are no texts in it.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"lang must be one of {', '.join(LANGUAGES)}; got {language!r}")
    return language


@cache
def _read(path: str) -> dict[str, Any]:
    folder, name = os.path.split(path)
    kept = os.path.join(folder, "__pycache__", f"{name}.{sys.implementation.cache_tag}")
    state = os.stat(path)
    key = (state.st_mtime_ns, state.st_size)
    try:
        with open(kept, "rb") as file:
            content = file.read()
        # Whole: from a file marshal asks for a byte at a time.
        known, tables = marshal.loads(content)
        if known == key and isinstance(tables, dict):
            return tables
    except (OSError, EOFError, ValueError, TypeError):
        pass
    import tomllib

    with open(path, "rb") as file:
        tables = tomllib.load(file)
    if not sys.dont_write_bytecode:
        write_whole(kept, marshal.dumps((key, tables)))
    return tables


def write_whole(path: str, content: bytes) -> None:
    """Write a file whole or not at all; a folder that cannot be written to keeps nothing."""
    unfinished = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)
    except OSError:
        return


def load(module_file: str, name: str, language: str) -> Texts:
    """Return a unit's texts in one language.

    Args:
        module_file: ``__file__`` of a module in the folder of the texts.
        name: the toml file's name without its suffix; dashes are underscores.
        language: one of :data:`LANGUAGES`.

    Raises:
        ConfigError: no such language.
    """
    texts: Texts = _read(_path(module_file, name))[check_language(language)]
    return texts


@cache
def _path(module_file: str, name: str) -> str:
    return os.path.join(os.path.dirname(module_file), f"{name.replace('-', '_')}.toml")
