"""What an error says in the language that was asked for."""

from __future__ import annotations

import argparse

from sftdiag import texts
from sftdiag.errors import SftdiagError, SourceError


def told(error: SftdiagError, options: argparse.Namespace | None) -> str:
    """Return the error's one line: in Chinese where that was asked for and it has such a text."""
    lang = getattr(options, "lang", None) or "en"
    words = texts.load(__file__, "told", "zh") if lang == "zh" else {}
    if error.key is None or error.key not in words:
        return str(error)
    line = str(words[error.key]).format(**error.values)
    return f"{error.path}：{line}" if isinstance(error, SourceError) else line
