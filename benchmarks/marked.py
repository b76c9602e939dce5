"""Places in pages of docs/ that a benchmark fills: from a mark of its own to the next end mark."""

from __future__ import annotations

from pathlib import Path

END = "<!-- end -->"


def put(page: Path, mark: str, content: str) -> None:
    """Put content between a mark and the next END; a page without the mark stays as it is."""
    head, found, tail = page.read_text(encoding="utf-8").partition(mark)
    if found:
        rest = tail.partition(END)[2]
        page.write_text(f"{head}{mark}\n{content}\n{END}{rest}", encoding="utf-8")
