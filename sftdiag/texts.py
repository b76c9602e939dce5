"""Texts: the toml files beside the units, one table a language."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from sftdiag.errors import ConfigError

LANGUAGES = ("en", "zh")

Texts = Mapping[str, Any]
"""The texts of a unit in one language."""


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
    import tomllib

    with open(path, "rb") as file:
        return tomllib.load(file)


def load(module_file: str, name: str, language: str) -> Texts:
    """Return a unit's texts in one language.

    Args:
        module_file: ``__file__`` of a module in the folder of the texts.
        name: the toml file's name without its suffix; dashes are underscores.
        language: one of :data:`LANGUAGES`.

    Raises:
        ConfigError: no such language.
    """
    path = os.path.join(os.path.dirname(module_file), f"{name.replace('-', '_')}.toml")
    texts: Texts = _read(path)[check_language(language)]
    return texts
