"""The tutorials' snippets run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("optuna")
pytest.importorskip("trl")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    # The Chinese page holds the same code, as the test below says.
    ["search.md", pytest.param("search.zh.md", marks=pytest.mark.acceptance)],
)
def test_the_tutorial(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 6
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(snippet, names)
    said = capsys.readouterr().out
    assert ("学习率" if "zh" in page else "Learning rate") in said
    assert (tmp_path / "search.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "sftdiag-search" / "journal.log").exists()


def test_both_tutorials_have_the_same_code() -> None:
    pages = [(ROOT / "docs" / f"search{lang}.md").read_text("utf-8") for lang in ("", ".zh")]
    parts = [re.findall(r"```python\n(.*?)```", page, re.DOTALL) for page in pages]
    bare = [
        [re.sub(r"#.*|, lang=\"zh\"|\s|,(?=\s*\))", "", part) for part in found] for found in parts
    ]
    assert bare[0] == bare[1]
