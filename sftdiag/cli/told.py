"""What an error says in the language that was asked for."""

from __future__ import annotations

from sftdiag import texts
from sftdiag.errors import SftdiagError, SourceError


def told(error: SftdiagError, lang: str) -> str:
    """Return the error's one line: in Chinese where that was asked for and it has such a text."""
    words = texts.load(__file__, "told", "zh") if lang == "zh" else {}
    if error.key is None or error.key not in words:
        return str(error)
    line = str(words[error.key]).format(**error.values)
    return f"{error.path}：{line}" if isinstance(error, SourceError) else line
