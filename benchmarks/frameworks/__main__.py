"""Trains with frameworks; prints what was seen, and writes consoles of docs/frameworks.md."""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from benchmarks.frameworks import FRAMEWORKS, inputs, page
from benchmarks.frameworks.runs import Framework, own_log, run
from benchmarks.frameworks.venvs import Unavailable


def main() -> int:
    """Run the frameworks asked for; return 1 where one cannot be had."""
    parser = argparse.ArgumentParser(description="Train a tiny model with frameworks.")
    parser.add_argument("names", nargs="*", default=list(FRAMEWORKS), help=", ".join(FRAMEWORKS))
    parser.add_argument("--kind", choices=inputs.KINDS, help="one kind of run only")
    parser.add_argument("--folder", type=Path, help="keep the runs there")
    parser.add_argument("--write", action="store_true", help="write docs/frameworks.md, too")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="frameworks-"))
    missing = 0
    for name in chosen.names:
        framework: Framework = importlib.import_module(FRAMEWORKS[name])
        for kind in (chosen.kind,) if chosen.kind else inputs.KINDS:
            try:
                ran = run(framework, kind, (folder / name / kind).resolve())
            except Unavailable as error:
                print(f"{name}: {error}")
                missing = 1
                break
            report = own_log(framework, ran.folder)
            seen = [finding["id"] for finding in ran.findings]
            said = report.primary.code if report.primary else "-"
            end = f"{ran.verdict} at {ran.end.get('step')} by {ran.end.get('stopped_by')}"
            print(f"{name} {kind}: exit {ran.code}, {end}: {', '.join(seen)}", flush=True)
            print(f"    its own log: {report.verdict} {said}; {ran.folder / 'console.txt'}")
            if chosen.write and kind == inputs.BLOW_UP:
                page.write(framework.NAME, ran.console)
    return missing


if __name__ == "__main__":
    raise SystemExit(main())
