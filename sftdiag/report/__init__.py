"""Reports for people and programs: one renderer a format, found by the format's name."""

from __future__ import annotations

FORMATS = ("text", "json", "markdown", "sarif", "junit", "github", "html")
