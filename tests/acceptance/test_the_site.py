"""The whole site, built strictly: no warning of the generator, and nothing of another host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from sftdiag.guide.catalogue import rules

pytestmark = pytest.mark.acceptance
pytest.importorskip("zensical")


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "docs.site", "--build", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "site"
    for rule in rules("en"):
        page = (folder / "codes" / rule.code / "index.html").read_text(encoding="utf-8")
        assert f"{rule.code} {rule.name}" in page or rule.code in page
        assert 'id="zh"' in page
    drawn = (folder / "codes" / "SFT201" / "index.html").read_text(encoding="utf-8")
    assert drawn.count('<svg class="curves"') >= 5
    assert "<figcaption>" in drawn
    assert (folder / "gallery" / "overfitting.html").exists()
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', text)
        assert [url for url in loaded if "canonical" not in url] == [], path
