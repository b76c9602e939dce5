"""Write the pages that the code knows: every code of the guide, the command line, the picture.

python docs/generate.py           # write them
python docs/generate.py --check   # fail when one is out of date
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

# A fixed width, so that every machine writes the same help.
os.environ["COLUMNS"] = "80"

sys.path.insert(0, str(ROOT))

from docs import guide, printed, reports  # noqa: E402
from sftdiag.api import analyze  # noqa: E402
from sftdiag.cli.main import COMMANDS, main  # noqa: E402
from sftdiag.config import Settings  # noqa: E402
from sftdiag.fleets import text as fleet_text  # noqa: E402
from sftdiag.fleets.fleet import Fleet, look  # noqa: E402
from sftdiag.guide.catalogue import CURVES, explain, rules  # noqa: E402
from sftdiag.outlets import alerts, webhook  # noqa: E402
from sftdiag.report import text  # noqa: E402
from sftdiag.texts import LANGUAGES  # noqa: E402
from sftdiag.tuning.formats import render_python  # noqa: E402
from sftdiag.tuning.recommend import recommend  # noqa: E402

NOTE = "<!-- Written by docs/generate.py from the code. -->\n\n"
TITLES = {"en": "# Findings", "zh": "# 诊断结果"}
COLUMNS = {
    "en": "| code | name | severity | how | what |",
    "zh": "| 代码 | 名称 | 严重程度 | 如何发现 | 内容 |",
}


def findings_page(lang: str) -> str:
    """Return the page with every code, its causes and its fixes."""
    lines = [f"{NOTE}{TITLES[lang]}\n", COLUMNS[lang], "|---|---|---|---|---|"]
    for rule in rules(lang):
        cells = (rule.code, rule.name, rule.severity, rule.seen_by, rule.title)
        lines.append(f"| {' | '.join(cells)} |")
    for topic in [*dict.fromkeys(rule.code for rule in rules(lang)), CURVES]:
        title, _, body = explain(topic, lang).partition("\n")
        lines += ["", f"## {title}", "", _as_markdown(body.strip())]
    return "\n".join(lines) + "\n"


def _as_markdown(body: str) -> str:
    """Indent the fixes as a list below their cause."""
    lines = []
    for line in body.split("\n"):
        lines.append(f"  - {line.strip()}" if line.startswith("    ") else line)
    return "\n".join(lines)


def command_line_page() -> str:
    """Return the help of every command."""
    lines = [f"{NOTE}# Command line\n"]
    for command in ((), *((name,) for name in COMMANDS)):
        out = io.StringIO()
        stdout, sys.stdout = sys.stdout, out
        try:
            main([*command, "--help"])
        finally:
            sys.stdout = stdout
        lines += [f"## {' '.join(('sftdiag', *command))}", "", f"```\n{out.getvalue()}```", ""]
    return "\n".join(lines)


RECOMMENDED = (
    ("800 rows, a model of 0.5B, one GPU of 24 GiB", 800, 0.5e9, None, 24, 300),
    ("12,000 rows, a model of 7B, one GPU of 24 GiB", 12_000, 7e9, None, 24, 900),
    ("90,000 rows, a model of 32B, QLoRA on one GPU of 80 GiB", 90_000, 32e9, "qlora", 80, 3000),
)


def recommend_page() -> str:
    """Return what `sftdiag recommend` prints for three set-ups."""
    lines = [
        f"{NOTE}# Recommended settings\n",
        "What `sftdiag recommend` prints for three set-ups.\n",
    ]
    for title, samples, parameters, method, memory, length in RECOMMENDED:
        found = recommend(samples, parameters, method, gpu_memory=memory, lengths={0.95: length})
        lines += [f"## {title}\n", f"```python\n{render_python(found)}```\n"]
    return "\n".join(lines)


def alerts_page() -> str:
    """Return what each kind of webhook is sent for a finding of ``examples/runs/overfitting``."""
    (finding, *_) = analyze(ROOT / "examples" / "runs" / "overfitting").findings
    alert = alerts.of_finding(finding, "en")
    sent = {
        "Slack": webhook.slack(alert, "my-run"),
        "Discord": webhook.discord(alert, "my-run"),
        "Any other address": {
            **webhook.plain(alert, "my-run"),
            "timestamp": "2026-01-31T12:00:00+00:00",
        },
    }
    lines = [
        f"{NOTE}# Alerts\n",
        "What a webhook is sent when SFT201 of `examples/runs/overfitting` becomes an error.\n",
    ]
    for receiver, payload in sent.items():
        shown = json.dumps(payload, indent=2, ensure_ascii=False)
        lines += [f"## {receiver}\n", f"```json\n{shown}\n```\n"]
    return "\n".join(lines)


def picture() -> str:
    """Return the terminal after ``sftdiag analyze examples/runs/overfitting`` as SVG."""
    from rich.console import Console

    console = Console(record=True, width=100, file=io.StringIO(), highlight=False)
    report = analyze(ROOT / "examples" / "runs" / "overfitting")
    console.print("$ sftdiag analyze examples/runs/overfitting")
    text.write_to(console, report.replace(source="examples/runs/overfitting"))
    svg = console.export_svg(title="sftdiag", unique_id="sftdiag")
    # The reader's own monospace font will do; the picture asks no other host for one.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def fleet_page() -> str:
    """Return what `sftdiag fleet examples/runs` prints."""
    found = look([str(ROOT / "examples" / "runs")], Settings(), jobs=1, cached=False)
    rows = [row.replace(run=os.path.relpath(row.run, ROOT)) for row in found.rows]
    shown = fleet_text.render(Fleet.of(rows, "en"))
    return f"{NOTE}# A fleet\n\nWhat `sftdiag fleet examples/runs` prints.\n\n```\n{shown}```\n"


def pages() -> dict[Path, str]:
    """Return every generated file with its content."""
    written = {DOCS / f"findings.{lang}.md": findings_page(lang) for lang in LANGUAGES}
    written[DOCS / "command_line.md"] = command_line_page()
    written[DOCS / "fleet.md"] = fleet_page()
    written[DOCS / "recommend.md"] = recommend_page()
    written[DOCS / "alerts.md"] = alerts_page()
    written[DOCS / "reports.md"] = NOTE + reports.page()
    written[DOCS / "guide.md"] = NOTE + guide.page()
    written[DOCS / "analyze.svg"] = picture()
    written[DOCS / "gates.md"] = printed.filled((DOCS / "gates.md").read_text(encoding="utf-8"))
    return written


def run() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description="Writes the generated pages of docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when out of date")
    check = parser.parse_args().check
    wanted = pages()
    stale = [
        path
        for path, content in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]
    for path in stale:
        if not check:
            path.write_text(wanted[path], encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of date' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(run())
