"""Reports for people and programs: one renderer a format."""

from __future__ import annotations

FORMATS = ("text", "json")
