"""Diagnose a log from Python: print the verdict, the likeliest cause and what to change.

python examples/check_log.py examples/runs/overfitting
"""

from __future__ import annotations

import sys

import sftdiag


def main(path: str) -> int:
    """Print three lines on the run; return 1 when it is not healthy."""
    report = sftdiag.analyze(path)
    print(f"verdict: {report.verdict}")
    finding = report.primary
    if finding is None:
        return 0
    print(f"seen: {finding.message}")
    cause = finding.causes[0]
    print(f"cause ({cause.status.name.lower()}): {cause.name}")
    for fix in cause.fixes:
        print(f"change: {fix.text}")
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/check_log.py PATH")
    raise SystemExit(main(sys.argv[1]))
