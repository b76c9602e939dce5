"""Modules of frameworks that are not installed, as far as sftdiag meets them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest


def put(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    """Have ``import name`` give a module with these members; packages above it are made, too."""
    parent, _, own = name.rpartition(".")
    if parent and parent not in sys.modules:
        put(monkeypatch, parent)
    module = ModuleType(name)
    module.__path__ = []
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    if parent:
        monkeypatch.setattr(sys.modules[parent], own, module, raising=False)
    return module
