"""A console log of a gigabyte is read in a stream."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

BYTES, MOST_KILOBYTES = 10**9, 300 * 1024

SCRIPT = """
import resource, sys
from sftdiag.cli.main import main
code = main(["analyze", sys.argv[1]])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.timeout(7200)
def test_it_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    path, steps, written = tmp_path / "run.log", 0, 0
    with open(path, "w") as file:
        while written < BYTES:
            steps += 10
            loss = 1.0 + 2.0 * 0.99999**steps + 0.05 * ((steps * 7919) % 1000 / 1000 - 0.5)
            row = f"{{'loss': '{loss:.4g}', 'grad_norm': '1', 'epoch': '{steps / 1e6:.4g}'}}\n"
            bars = "".join(
                f"\r  1%|#         | {steps + n}/50000000 [00:10<10:00,  1.00it/s]"
                for n in range(10)
            )
            written += file.write(row + bars + "\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True
    )
    code, kilobytes = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert int(kilobytes) < MOST_KILOBYTES
    assert f"{steps:,} of 50,000,000 steps" in done.stdout
