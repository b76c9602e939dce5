"""``python -m benchmarks.formats.capture``: ``sftdiag watch`` on a fine-tune, as docs/watch.svg.

The fine-tune of examples/finetune.py runs in another process, its console text is watched, and the
picture is that at the first warning.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console, Group

from benchmarks.formats.page import ROOT
from sftdiag.cli.watch_view import picture
from sftdiag.cli.watched import Watched
from sftdiag.config import Settings
from sftdiag.sources import open_run

COLUMNS = 100


def main() -> int:
    """Train, watch, draw."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "train.log"
        command = [sys.executable, str(ROOT / "examples" / "finetune.py")]
        command += ["--fault", "overfitting", "--output", str(Path(folder) / "out")]
        with open(log, "wb") as file:
            run = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        watched = Watched(str(log), open_run, Settings())
        while run.poll() is None:
            watched.look()
            if watched.report is not None and watched.report.at_least("warning"):
                break
            time.sleep(0.5)
        watched.look()
        report = watched.report
        assert report is not None
        watched.report, watched.path = report.replace(source="train.log"), "train.log"
        console = Console(record=True, width=COLUMNS, file=io.StringIO())
        console.print("$ torchrun train.py 2>&1 | tee train.log   # elsewhere", style="dim")
        console.print("$ sftdiag watch train.log", style="bold")
        console.print(Group(*picture(watched, COLUMNS, "en")))
        console.save_svg(str(ROOT / "docs" / "watch.svg"), title="sftdiag watch")
        run.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
